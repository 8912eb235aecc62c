import CCapstone
import Code

/// Where libssl has the shared secret computed: its calls of two virtual functions of `SSLKeyShare`, in straight code between two
/// conditional jumps. To step over such a call itself would cost more than it tells.
///
/// The functions are known by their places in a class's table and by how many parameters are passed.
struct AgreementCalls {
    struct Site: Hashable {
        /// The jump before the call, and the one that looks at what it returned.
        var begin: UInt64
        var exit: UInt64
    }

    let code: CodeReader
    let marks: CodeMarks

    /// A virtual function's place, and the registers of its parameters but the object: what is to be encapsulated for, the secret,
    /// the alert, the peer's share and its length; or without the first.
    private static let functions: [Int64: (needed: UInt16, not: UInt16)] = [
        0x20: (set(1...5), 0), 0x28: (set(1...4), set(5...5)),
    ]

    private static func set(_ parameters: ClosedRange<Int>) -> UInt16 {
        parameters.reduce(0) { $0 | 1 << UInt16(Register.parameters[$1]) }
    }

    /// Functions of libssl are near each other, unless the linker had an order of its own.
    private static let margin: UInt64 = 128 << 10
    private static let widest: UInt64 = 4 << 20
    private static let candidateLimit = 512
    /// Instructions before the call in which its parameters are set, and from the call to the jump behind it.
    private static let reach = 24

    /// - Parameter near: functions of libssl.
    func sites(near functions: [UInt64]) -> [Site] {
        guard let first = functions.min(), let last = functions.max(), last - first <= Self.widest else { return [] }
        let area = first - min(first, Self.margin)..<last.addingClamped(Self.margin)
        var places: [UInt64] = []
        // `call [register + 0x20]`, or 0x28; a prefix may stand before it.
        CodeSearch.visit(code.file, opcode: 0xff, in: area) { address, number in
            guard number & 0xf8 == 0x50, number & 7 != 4, Self.functions[Int64(number >> 8 & 0xff)] != nil,
                places.count < Self.candidateLimit
            else { return }
            places.append(address)
        }
        let beginnings = marks.beginning(of: places)
        return Set(places.compactMap { place in beginnings[place].flatMap { site(place, in: $0) } })
            .sorted { $0.begin < $1.begin }
    }

    /// - Parameter start: of the function that holds the place.
    private func site(_ place: UInt64, in start: UInt64) -> Site? {
        let end = code.file.functionExtent(containing: place)?.upperBound ?? place.addingClamped(256)
        let body = code.instructions(in: start..<end, limit: 20_000)
        guard let index = body.firstIndex(where: { $0.address == place || $0.address &+ 1 == place }),
            body[index].kind == TLSWATCH_OP_CALL, body[index].first.isMemory,
            let function = Self.functions[body[index].first.value]
        else { return nil }
        let before = body[max(0, index - Self.reach)..<index]
        var written: UInt16 = 0
        var begin: UInt64?
        for instruction in before.reversed() {
            guard ![TLSWATCH_OP_CALL, TLSWATCH_OP_JMP, TLSWATCH_OP_RET].contains(instruction.kind) else { break }
            if instruction.kind == TLSWATCH_OP_JCC, begin == nil { begin = instruction.address }
            if [TLSWATCH_OP_MOV, TLSWATCH_OP_LEA, TLSWATCH_OP_MOVZX, TLSWATCH_OP_XOR].contains(instruction.kind) {
                written |= instruction.written
            }
        }
        guard written & function.needed == function.needed, written & function.not == 0, let begin,
            let exit = exit(body, behind: index)
        else { return nil }
        // A class of two such (AWS-LC's hybrid groups) calls theirs: that is part of it.
        guard !code.file.hasPointer(to: start) else { return nil }
        // Nobody may come in between the two.
        let between = begin + 1...body[index].address
        guard !body.contains(where: { $0.directTarget.map(between.contains) ?? false && $0.kind != TLSWATCH_OP_CALL })
        else { return nil }
        return Site(begin: begin, exit: exit)
    }

    private func exit(_ body: [Instruction], behind index: Int) -> UInt64? {
        for instruction in body[(index + 1)...].prefix(Self.reach) {
            switch instruction.kind {
            case TLSWATCH_OP_JCC: return instruction.address
            case TLSWATCH_OP_CALL, TLSWATCH_OP_JMP, TLSWATCH_OP_RET, TLSWATCH_OP_TRAP: return nil
            default: break
            }
        }
        return nil
    }
}

import CCapstone
import Code

/// The loop of `mbedtls_ssl_handshake(context)`: `while (state != OVER) { result = step(context); if (result) break; }`.
struct HandshakeLoop {
    /// Offset in the context of the state, four bytes, and its value once there is nothing more to do.
    let state: Int32
    let over: UInt8
    /// Holds the context in the loop, and around it.
    let object: ObjectPlace
    /// A jump that leads into the loop, once.
    private(set) var begin: UInt64?
    /// The first instruction behind the loop that the kernel emulates, and what is returned.
    private(set) var exit: (address: UInt64, result: ValuePlace)?

    private static let limit = 400
    /// Instructions from one part of the loop to another.
    private static let reach = 10
    /// States are few: 18 in 2.28, 30 in 3.6.
    private static let states: ClosedRange<Int64> = 8...64

    init?(_ code: CodeReader, _ function: ELFSymbol?) {
        guard let function, let extent = code.file.functionExtent(containing: function.address) else { return nil }
        let body = code.instructions(in: extent, limit: Self.limit)
        // `cmp dword [context + state], OVER`, and a jump back.
        guard
            let test = body.indices.first(where: { Self.isStateTest(body, $0) }),
            let top = body.firstIndex(where: { $0.address == body[test + 1].directTarget }),
            let (call, register) = Self.call(body, from: top), register == body[test].first.base,
            let over = UInt8(exactly: body[test].second.value), let state = Int32(exactly: body[test].first.value)
        else { return nil }
        self.state = state
        self.over = over
        object = ObjectPlace(register: register)
        begin = Self.begin(body, top, test)
        exit = Self.exit(body, behind: call)
    }

    private static func isStateTest(_ body: [Instruction], _ index: Int) -> Bool {
        let instruction = body[index]
        let operand = instruction.first
        guard instruction.kind == TLSWATCH_OP_CMP, operand.isMemory, operand.width == 4, !operand.rip_relative,
            !operand.opaque_address, operand.index == UInt8(TLSWATCH_NO_REGISTER),
            !Register.clobbered.contains(Int(operand.base)), instruction.second.isImmediate,
            states.contains(instruction.second.value), (0..<0x1000).contains(operand.value), index + 1 < body.count,
            body[index + 1].kind == TLSWATCH_OP_JCC, let target = body[index + 1].directTarget
        else { return false }
        return target < instruction.address && target >= body[0].address
    }

    /// The step's call, and the register that has the context.
    private static func call(_ body: [Instruction], from top: Int) -> (index: Int, object: UInt8)? {
        var object: UInt8?
        for index in top..<min(body.count, top + reach) {
            let instruction = body[index]
            if instruction.kind == TLSWATCH_OP_MOV, instruction.first.isRegister, instruction.second.isRegister,
                Int(instruction.first.reg) == Register.parameters[0], instruction.first.width == 8
            {
                object = instruction.second.reg
            }
            if instruction.kind == TLSWATCH_OP_CALL { return object.map { (index, $0) } }
        }
        return nil
    }

    /// The jump before the loop's top that leads to its test.
    private static func begin(_ body: [Instruction], _ top: Int, _ test: Int) -> UInt64? {
        var index = top - 1
        while index > 0, body[index].kind == TLSWATCH_OP_NOP { index -= 1 }
        guard index > 0, body[index].kind == TLSWATCH_OP_JMP, SiteChooser.isEmulated(body[index]),
            body[index].directTarget == body[test].address,
            !body.contains(where: { $0.kind != TLSWATCH_OP_CALL && $0.directTarget == body[index].address })
        else { return nil }
        return body[index].address
    }

    private static func exit(_ body: [Instruction], behind call: Int) -> (address: UInt64, result: ValuePlace)? {
        var result: UInt8?
        for index in (call + 1)..<min(body.count, call + reach) {
            let instruction = body[index]
            if instruction.kind == TLSWATCH_OP_MOV, instruction.first.isRegister, instruction.second.isRegister,
                Int(instruction.second.reg) == Register.rax, !Register.clobbered.contains(Int(instruction.first.reg))
            {
                result = instruction.first.reg
            }
            guard instruction.kind == TLSWATCH_OP_JCC else { continue }
            guard let result, let start = body.firstIndex(where: { $0.address == instruction.directTarget }),
                start > index
            else { return nil }
            for place in start..<min(body.count, start + reach) {
                if SiteChooser.isEmulated(body[place]) {
                    return (body[place].address, ValuePlace(register: result))
                }
                guard body[place].written >> UInt16(result) & 1 == 0, body[place].kind != TLSWATCH_OP_RET else {
                    return nil
                }
            }
            return nil
        }
        return nil
    }
}

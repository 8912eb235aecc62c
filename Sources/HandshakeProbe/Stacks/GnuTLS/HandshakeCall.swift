import CCapstone
import Code

/// Where `gnutls_handshake(session)` begins a handshake or goes on with one, and where it returns.
///
/// The beginning is behind its first test: a session of TLS 1.3 that has had its handshake, whose calls update keys or do nothing,
/// does not come there. A build with a stack protector leaves through one conditional jump, which the kernel emulates; of others
/// an instruction of the epilogue is single-stepped.
struct HandshakeCall {
    struct Exit: Equatable {
        var address: UInt64
        var mode: SiteMode
        /// Holds what is returned.
        var result: ValuePlace
    }

    let begin: UInt64
    private(set) var exits: [Exit] = []
    /// Holds the session at all of them.
    let object: ValuePlace
    /// Offset in the session of the state of the handshake, four bytes.
    let state: Int32
    /// Of the byte that is 1 once a handshake has completed.
    let negotiated: Int32

    /// Instructions of the function, and of its beginning.
    private static let bodyLimit = 20_000
    private static let prologue = 40

    init(_ code: CodeReader, _ function: UInt64) throws(AnalysisError) {
        guard let extent = code.file.functionExtent(containing: function), extent.lowerBound == function else {
            throw AnalysisError("the file does not say where gnutls_handshake ends")
        }
        let body = code.instructions(in: extent, limit: Self.bodyLimit)
        // A byte that is no instruction may hide a way out.
        guard body.last?.end == extent.upperBound else {
            throw AnalysisError("gnutls_handshake has bytes that are no instructions")
        }
        guard
            let held = Register.copyOfParameter(
                in: body, within: Self.prologue, before: [TLSWATCH_OP_JCC, TLSWATCH_OP_JMP, TLSWATCH_OP_CALL])?
                .register,
            let start = Self.start(body, held)
        else {
            throw AnalysisError("gnutls_handshake has no known shape: where a handshake begins is not clear")
        }
        (begin, state, negotiated) = (start.site, start.state, start.negotiated)
        object = ValuePlace(register: UInt8(held))
        let targets = Set(body.compactMap { $0.kind == TLSWATCH_OP_CALL ? nil : $0.directTarget })
        for (index, instruction) in body.enumerated() where instruction.kind == TLSWATCH_OP_RET {
            guard let exit = Self.exit(body, before: index, held, targets) else {
                throw AnalysisError("gnutls_handshake has no known shape: a way out of it is not clear")
            }
            exits.append(exit)
        }
        guard !exits.isEmpty else { throw AnalysisError("gnutls_handshake has no way out") }
    }

    // MARK: the beginning

    /// Instructions from the first test to the second.
    private static let reach = 6

    /// `cmp byte [session + negotiated], 0` and its jump, then `cmp dword [session + state], 0` and the jump that is the site.
    private static func start(_ body: [Instruction], _ held: Int) -> (site: UInt64, state: Int32, negotiated: Int32)? {
        guard let index = body.prefix(prologue).firstIndex(where: { isZeroTest($0, width: 1, held) }),
            let negotiated = Int32(exactly: body[index].first.value),
            let branch = body[(index + 1)...].prefix(3).first(where: { $0.kind == TLSWATCH_OP_JCC })
        else { return nil }
        let next: UInt64? =
            switch branch.condition {
            case Condition.notEqual: branch.end
            case Condition.equal: branch.directTarget
            default: nil
            }
        guard let next, let first = body.firstIndex(where: { $0.address == next }) else { return nil }
        var state: Int32?
        var loaded: UInt8?
        for instruction in body[first...].prefix(reach) {
            switch instruction.kind {
            case TLSWATCH_OP_MOV where isField(instruction.second, width: 4, held) && instruction.first.isRegister:
                (state, loaded) = (Int32(exactly: instruction.second.value), instruction.first.reg)
            case TLSWATCH_OP_CMP where isZeroTest(instruction, width: 4, held):
                (state, loaded) = (Int32(exactly: instruction.first.value), nil)
            case TLSWATCH_OP_TEST:
                guard let loaded, instruction.first.isRegister, instruction.second.isRegister,
                    instruction.first.reg == loaded, instruction.second.reg == loaded
                else { return nil }
            case TLSWATCH_OP_JCC:
                guard let state,
                    instruction.condition == Condition.notEqual || instruction.condition == Condition.equal,
                    SiteChooser.isEmulated(instruction)
                else { return nil }
                // Besides the way around the test of the version nothing leads back to it.
                let back = body.filter { other in
                    other.kind != TLSWATCH_OP_CALL && other.address > instruction.address
                        && other.directTarget.map { body[0].address...instruction.address ~= $0 } ?? false
                }
                guard back.count <= 1, back.allSatisfy({ $0.directTarget == next }) else { return nil }
                return (instruction.address, state, negotiated)
            case TLSWATCH_OP_CALL, TLSWATCH_OP_JMP, TLSWATCH_OP_RET: return nil
            default: break
            }
        }
        return nil
    }

    private static func isZeroTest(_ instruction: Instruction, width: UInt8, _ held: Int) -> Bool {
        instruction.kind == TLSWATCH_OP_CMP && isField(instruction.first, width: width, held)
            && instruction.second.isImmediate && instruction.second.value == 0
    }

    /// Of the session: by the parameter's register or its copy.
    private static func isField(_ operand: Operand, width: UInt8, _ held: Int) -> Bool {
        operand.isMemory && operand.width == width && !operand.rip_relative && !operand.opaque_address
            && (Int(operand.base) == held || Int(operand.base) == Register.parameters[0])
            && operand.index == UInt8(TLSWATCH_NO_REGISTER) && (0..<0x10000).contains(operand.value)
    }

    // MARK: the exits

    /// A site in the straight code that leads to a `ret`, before the session's register is restored.
    private static func exit(_ body: [Instruction], before ret: Int, _ held: Int, _ targets: Set<UInt64>) -> Exit? {
        var first = ret
        while first > 0, !targets.contains(body[first].address), body[first - 1].kind != TLSWATCH_OP_JMP,
            body[first - 1].kind != TLSWATCH_OP_RET
        {
            first -= 1
        }
        let tail = body[first...ret]
        let restored = tail.firstIndex { $0.kind == TLSWATCH_OP_POP && $0.written >> UInt16(held) & 1 != 0 } ?? ret
        // The stack protector's test: what does not pass it does not return.
        let guarded = tail[..<restored].indices.last { index in
            index > first && tail[index].kind == TLSWATCH_OP_JCC && SiteChooser.isEmulated(tail[index])
                && tail[index - 1].comparesStackGuard
        }
        // Any other branch leaves the tail.
        guard !tail.contains(where: { $0.kind == TLSWATCH_OP_JCC && $0.address != guarded.map { body[$0].address } })
        else { return nil }
        let site = guarded ?? first
        guard site < restored, tail[site].kind != TLSWATCH_OP_CALL, let result = result(tail, from: site) else {
            return nil
        }
        return Exit(
            address: body[site].address, mode: guarded == nil ? .singleStep : .emulated,
            result: ValuePlace(register: UInt8(result)))
    }

    /// The register that has at the site what rax has at the end.
    private static func result(_ tail: ArraySlice<Instruction>, from site: Int) -> Int? {
        var register = Register.rax
        for instruction in tail[site...].reversed() where instruction.written >> UInt16(register) & 1 != 0 {
            guard instruction.kind == TLSWATCH_OP_MOV, instruction.second.isRegister, instruction.second.width >= 4
            else { return nil }
            register = Int(instruction.second.reg)
        }
        return register
    }
}

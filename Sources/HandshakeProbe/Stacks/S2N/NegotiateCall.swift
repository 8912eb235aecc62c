import CCapstone
import Code

/// Where `s2n_negotiate(connection, blocked)` begins and returns.
///
/// A call begins behind the test that refuses to be entered from inside another one, by a callback. Behind its implementation's
/// call the result is in a register; releases since 2026 also look at the library's error number there, which is a variable of the
/// thread's, and then each outcome has a place of its own.
struct NegotiateCall {
    struct Exit: Equatable {
        var address: UInt64
        /// What the call returns; where it has failed or waits, the error number plus `S2NState.errorBase`, if that is known.
        var result: ValuePlace
    }

    let begin: UInt64
    private(set) var exits: [Exit] = []
    /// Holds the connection at all of them.
    let object: ValuePlace
    /// Whether a call that does not return 0 tells the error number.
    let tellsError: Bool
    /// What goes over the messages: `s2n_negotiate_impl`.
    let implementation: UInt64

    private static let bodyLimit = 4_000
    /// Instructions from the beginning to the test, and from a branch to what it leads to.
    private static let prologue = 40
    private static let reach = 16

    init(_ code: CodeReader, _ function: UInt64) throws(AnalysisError) {
        guard let extent = code.file.functionExtent(containing: function), extent.lowerBound == function else {
            throw AnalysisError("the file does not say where s2n_negotiate ends")
        }
        let body = code.instructions(in: extent, limit: Self.bodyLimit)
        guard body.last?.end == extent.upperBound else {
            throw AnalysisError("s2n_negotiate has bytes that are no instructions")
        }
        guard let held = Register.copyOfParameter(in: body, within: Self.prologue),
            let mark = Self.mark(body, held.register),
            let site = Self.straightSite(body, from: mark + 1), held.index < site,
            !Self.isJumpedTo(body, after: mark, upTo: site)
        else { throw AnalysisError("s2n_negotiate has no known shape: where a call begins is not clear") }
        begin = body[site].address
        object = ValuePlace(register: UInt8(held.register))
        guard let result = Self.result(body), let call = Self.implementation(body, result, behind: mark),
            let target = body[call].directTarget
        else { throw AnalysisError("s2n_negotiate has no known shape: what it returns is not clear") }
        implementation = target
        let returned = ValuePlace(register: UInt8(result))
        guard let exit = Self.straightSite(body, from: call + 2) else {
            throw AnalysisError("s2n_negotiate has no known shape: its way out is not clear")
        }
        if let outcomes = Self.outcomes(body, result, behind: exit) {
            tellsError = true
            exits = [
                Exit(address: body[outcomes.done].address, result: returned),
                Exit(
                    address: body[outcomes.failed].address,
                    result: ValuePlace(register: UInt8(Register.parameters[0]), offset: S2NState.errorBase)),
            ]
        } else {
            tellsError = false
            exits = [Exit(address: body[exit].address, result: returned)]
        }
    }

    // MARK: the beginning

    /// `cmp byte [connection + in use], 0`, a jump away, and `mov byte [connection + in use], 1`: the last one's index.
    private static func mark(_ body: [Instruction], _ held: Int) -> Int? {
        guard
            let test = body.prefix(prologue).firstIndex(where: { instruction in
                instruction.kind == TLSWATCH_OP_CMP && isByte(instruction.first, held)
                    && instruction.second.isImmediate && instruction.second.value == 0
            })
        else { return nil }
        let flag = body[test].first.value
        return body[test...].prefix(reach).firstIndex { instruction in
            instruction.kind == TLSWATCH_OP_MOV && isByte(instruction.first, held) && instruction.first.value == flag
                && instruction.second.isImmediate && instruction.second.value == 1
        }
    }

    /// A byte of the connection, by the parameter's register or its copy.
    private static func isByte(_ operand: Operand, _ held: Int) -> Bool {
        operand.isMemory && operand.width == 1 && !operand.rip_relative && !operand.opaque_address
            && (Int(operand.base) == held || Int(operand.base) == Register.parameters[0])
            && operand.index == UInt8(TLSWATCH_NO_REGISTER) && operand.value > 0
    }

    /// The first jump at or behind an instruction, if the kernel emulates it: whoever comes to `index` passes it. Calls come back.
    private static func straightSite(_ body: [Instruction], from index: Int) -> Int? {
        guard body.indices.contains(index) else { return nil }
        for (place, instruction) in zip(body.indices[index...], body[index...]).prefix(reach) {
            switch instruction.kind {
            case TLSWATCH_OP_JCC, TLSWATCH_OP_JMP: return SiteChooser.isEmulated(instruction) ? place : nil
            case TLSWATCH_OP_RET, TLSWATCH_OP_TRAP: return nil
            default: break
            }
        }
        return nil
    }

    /// Whether a jump leads behind one instruction, up to another, or back from behind that one to before it.
    private static func isJumpedTo(_ body: [Instruction], after first: Int, upTo last: Int) -> Bool {
        body.contains { instruction in
            guard instruction.kind != TLSWATCH_OP_CALL, let target = instruction.directTarget else { return false }
            return (body[first].end...body[last].address).contains(target)
                || (instruction.address >= body[last].address
                    && (body[0].address...body[last].address).contains(target))
        }
    }

    // MARK: the exits

    /// The register that has what is returned: all ways out move it from there.
    private static func result(_ body: [Instruction]) -> Int? {
        var registers: Set<Int> = []
        for (index, instruction) in body.enumerated() where instruction.kind == TLSWATCH_OP_RET {
            guard let move = body[..<index].last(where: { $0.written >> UInt16(Register.rax) & 1 != 0 }),
                move.kind == TLSWATCH_OP_MOV, move.second.isRegister, move.second.width == 4
            else { return nil }
            registers.insert(Int(move.second.reg))
        }
        guard registers.count == 1, let register = registers.first, !Register.clobbered.contains(register) else {
            return nil
        }
        return register
    }

    /// The one call whose result is what is returned.
    private static func implementation(_ body: [Instruction], _ result: Int, behind mark: Int) -> Int? {
        let moves = body.indices.filter { index in
            body[index].kind == TLSWATCH_OP_MOV && body[index].first.isRegister && Int(body[index].first.reg) == result
                && body[index].second.isRegister && Int(body[index].second.reg) == Register.rax
        }
        guard moves.count == 1, let move = moves.first, move > mark + 1, body[move - 1].kind == TLSWATCH_OP_CALL else {
            return nil
        }
        return move - 1
    }

    /// `S2N_ERR_T_BLOCKED` (s2n.h).
    private static let blocked: Int64 = 3

    /// Behind the test of what is returned: a jump that only 0 leads to, and the call that asks for the type of the error, which
    /// stands in the first parameter's register.
    private static func outcomes(_ body: [Instruction], _ result: Int, behind exit: Int) -> (done: Int, failed: Int)? {
        guard
            let test = body.indices.first(where: { index in
                index > exit && body[index].kind == TLSWATCH_OP_TEST && body[index].first.isRegister
                    && body[index].second.isRegister && Int(body[index].first.reg) == result
                    && Int(body[index].second.reg) == result
            }), test + 1 < body.count, body[test + 1].kind == TLSWATCH_OP_JCC, let target = body[test + 1].directTarget,
            let taken = body.firstIndex(where: { $0.address == target })
        else { return nil }
        let (zero, other): (Int, Int)
        switch body[test + 1].condition {
        case Condition.notEqual: (zero, other) = (test + 2, taken)
        case Condition.equal: (zero, other) = (taken, test + 2)
        default: return nil
        }
        guard let done = straightSite(body, from: zero), let failed = errorCall(body, from: other),
            !isJumpedInto(body, zero, done), !isJumpedInto(body, other, failed)
        else { return nil }
        return (done, failed)
    }

    /// `mov edi, [error]`, a call, `cmp eax, S2N_ERR_T_BLOCKED`.
    private static func errorCall(_ body: [Instruction], from index: Int) -> Int? {
        var isLoaded = false
        for place in body.indices[index...].prefix(reach) {
            let instruction = body[place]
            switch instruction.kind {
            case TLSWATCH_OP_CALL:
                if isLoaded, place + 1 < body.count, body[place + 1].kind == TLSWATCH_OP_CMP,
                    body[place + 1].first.isRegister, Int(body[place + 1].first.reg) == Register.rax,
                    body[place + 1].second.isImmediate, body[place + 1].second.value == blocked
                {
                    return SiteChooser.isEmulated(instruction) ? place : nil
                }
                isLoaded = false
            case TLSWATCH_OP_JCC, TLSWATCH_OP_JMP, TLSWATCH_OP_RET, TLSWATCH_OP_TRAP: return nil
            default:
                guard instruction.written >> UInt16(Register.parameters[0]) & 1 != 0 else { continue }
                isLoaded =
                    instruction.kind == TLSWATCH_OP_MOV && instruction.second.isMemory && instruction.second.width == 4
                    && instruction.second.base != UInt8(TLSWATCH_NO_REGISTER) && instruction.second.value == 0
            }
        }
        return nil
    }

    /// Whether a jump leads between two instructions, the second included.
    private static func isJumpedInto(_ body: [Instruction], _ first: Int, _ last: Int) -> Bool {
        guard first < last else { return false }
        return body.contains { instruction in
            instruction.kind != TLSWATCH_OP_CALL
                && instruction.directTarget.map { (body[first].end...body[last].address).contains($0) } ?? false
        }
    }
}

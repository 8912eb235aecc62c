import CCapstone
import Code

/// Calls whose result is tested for 0 right behind them: `mov rdi, object; call f; test eax, eax; jne failed`.
final class TestedCalls {
    /// A call's address, and where the function begins that it is in.
    struct Place {
        var address: UInt64
        var function: UInt64
    }

    struct Call {
        /// The beginning of the function that it is in.
        var function: UInt64
        /// The jump, with the result still in rax.
        var jump: UInt64
        /// The first parameter, in a register that calls leave alone.
        var object: ObjectPlace
        var failure: Failure?
    }

    /// An instruction that the kernel emulates, and that the call's failure comes to, with the result in a register.
    struct Failure: Equatable {
        var address: UInt64
        var object: ObjectPlace
        var result: ValuePlace
        /// Whether nothing else comes to it; else it is the jump itself.
        var isOnlyFailure: Bool
    }

    private let code: CodeReader
    private let finder: CallFinder
    private var bodies: [UInt64: [Instruction]] = [:]

    private static let bodyLimit = 20_000
    /// Instructions before a call in which its parameters are set, behind it to the jump, and from there to a site.
    private static let setting = 24
    private static let testing = 8
    private static let reach = 24

    init(_ code: CodeReader) {
        self.code = code
        finder = CallFinder(file: code.file)
    }

    /// The calls of a function that the file names.
    func places(of name: String) -> [Place] {
        finder.calls(of: name).sorted().compactMap { address in
            guard let call = code.instruction(at: address), SiteChooser.isEmulated(call),
                let extent = code.file.functionExtent(containing: address)
            else { return nil }
            return Place(address: address, function: extent.lowerBound)
        }
    }

    /// Those that are tested.
    func of(_ name: String) -> [Call] { places(of: name).compactMap(tested) }

    private func body(of function: UInt64) -> [Instruction] {
        if let known = bodies[function] { return known }
        guard let extent = code.file.functionExtent(containing: function) else { return [] }
        let body = code.instructions(in: extent, limit: Self.bodyLimit)
        bodies[function] = body
        return body
    }

    private func tested(_ place: Place) -> Call? {
        let body = body(of: place.function)
        guard let index = body.firstIndex(where: { $0.address == place.address }), let object = object(body, index),
            let (jump, copies) = test(body, behind: index)
        else { return nil }
        let register = ObjectPlace(register: object)
        return Call(
            function: place.function, jump: body[jump].address, object: register,
            failure: failure(body, jump, copies, register))
    }

    /// The register that the first parameter is copied from, or was copied to where it is the caller's own.
    private func object(_ body: [Instruction], _ call: Int) -> UInt8? {
        let parameter = UInt8(Register.parameters[0])
        var copy: UInt8?
        for instruction in body[..<call].suffix(Self.setting).reversed() {
            if instruction.kind == TLSWATCH_OP_CALL { return nil }
            let isMove =
                instruction.kind == TLSWATCH_OP_MOV && instruction.first.isRegister && instruction.second.isRegister
                && instruction.first.width == 8
            if instruction.written >> UInt16(parameter) & 1 != 0 {
                guard isMove, !Register.clobbered.contains(Int(instruction.second.reg)) else { return nil }
                return instruction.second.reg
            }
            if isMove, instruction.second.reg == parameter, !Register.clobbered.contains(Int(instruction.first.reg)) {
                copy = copy ?? instruction.first.reg
            }
        }
        // As the function got it.
        return call <= Self.setting ? copy : nil
    }

    /// The jump behind a call that tests its result, and the registers that have the result there, rax among them.
    private func test(_ body: [Instruction], behind call: Int) -> (jump: Int, copies: UInt16)? {
        var copies: UInt16 = 1 << UInt16(Register.rax)
        for index in (call + 1)..<min(body.count, call + 1 + Self.testing) {
            let instruction = body[index]
            let (first, second) = (instruction.first, instruction.second)
            switch instruction.kind {
            case TLSWATCH_OP_MOV where first.isRegister && second.isRegister && copies >> UInt16(second.reg) & 1 != 0:
                copies |= 1 << UInt16(first.reg)
            case TLSWATCH_OP_TEST:
                guard first.isRegister, second.isRegister, first.reg == second.reg, first.width == 4,
                    copies >> UInt16(first.reg) & 1 != 0, copies >> UInt16(Register.rax) & 1 != 0,
                    index + 1 < body.count,
                    case let jump = body[index + 1], jump.kind == TLSWATCH_OP_JCC, SiteChooser.isEmulated(jump),
                    jump.condition == Condition.equal || jump.condition == Condition.notEqual
                else { return nil }
                return (index + 1, copies)
            case _ where instruction.branches: return nil
            default: copies &= ~instruction.written
            }
        }
        return nil
    }

    private func failure(_ body: [Instruction], _ jump: Int, _ copies: UInt16, _ object: ObjectPlace) -> Failure? {
        let itself = Failure(
            address: body[jump].address, object: object, result: .result, isOnlyFailure: false)
        let isTaken = body[jump].condition == Condition.notEqual
        guard let start = isTaken ? body[jump].directTarget : body[jump].end,
            let first = body.firstIndex(where: { $0.address == start })
        else { return nil }
        var copies = copies
        for index in first..<min(body.count, first + Self.reach) {
            let instruction = body[index]
            if SiteChooser.isEmulated(instruction) {
                guard let result = Register.first(of: copies) ?? (copies & 1 != 0 ? Register.rax : nil),
                    isPrinted(instruction, copies) || comesAlone(body, first, index, isTaken ? nil : jump)
                else { return itself }
                return Failure(
                    address: instruction.address, object: object, result: ValuePlace(register: UInt8(result)),
                    isOnlyFailure: true)
            }
            let (target, source) = (instruction.first, instruction.second)
            let isCopy =
                instruction.kind == TLSWATCH_OP_MOV && target.isRegister && source.isRegister
                && copies >> UInt16(source.reg) & 1 != 0
            copies &= ~instruction.written
            if isCopy { copies |= 1 << UInt16(target.reg) }
            guard instruction.kind != TLSWATCH_OP_RET, instruction.written >> UInt16(object.register) & 1 == 0 else {
                return itself
            }
        }
        return itself
    }

    /// Whether the result is the last of a call's six parameters: that is how the library prints why a function fails, whoever
    /// comes there.
    private func isPrinted(_ instruction: Instruction, _ copies: UInt16) -> Bool {
        instruction.kind == TLSWATCH_OP_CALL && copies >> UInt16(Register.parameters[5]) & 1 != 0
    }

    /// Whether only jumps that have found a result come to the straight code from one instruction to another, and where it is not
    /// jumped to the instruction before it.
    private func comesAlone(_ body: [Instruction], _ first: Int, _ last: Int, _ before: Int?) -> Bool {
        if before == nil, first > 0 {
            switch body[first - 1].kind {
            case TLSWATCH_OP_JMP, TLSWATCH_OP_RET, TLSWATCH_OP_NOP, TLSWATCH_OP_TRAP: break
            default: return false
            }
        }
        let range = body[first].address...body[last].address
        return body.indices.allSatisfy { index in
            guard let target = body[index].directTarget, body[index].kind != TLSWATCH_OP_CALL, range.contains(target)
            else { return true }
            guard body[index].kind == TLSWATCH_OP_JCC,
                body[index].condition == Condition.notEqual, index > 0, case let test = body[index - 1]
            else { return false }
            return test.kind == TLSWATCH_OP_TEST && test.first.isRegister && test.first.width == 4
        }
    }
}

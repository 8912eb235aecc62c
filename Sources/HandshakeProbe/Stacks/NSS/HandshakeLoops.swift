import CCapstone
import Code

/// How handshakes are entered and left: the loop over a handshake's steps (`ssl_Do1stHandshake`), of which a compiler may have
/// made copies, and exported functions that go on with one.
struct HandshakeLoops {
    /// A loop of steps: `while (next) { result = next(socket); if (result) break; }`.
    struct Loop {
        /// The jump that looks whether there is a step, where the socket is then, and the step.
        var entry: UInt64
        var object: ObjectPlace
        var next: ValuePlace
        /// The first jump behind a step.
        var exit: UInt64
        var exitObject: ObjectPlace
        var exitNext: ValuePlace
    }

    /// A call inside an exported function that goes on with a handshake.
    struct Resumption {
        var entry: UInt64
        var object: ObjectPlace
        /// The first instruction behind the call that the kernel emulates, with the result still in rax.
        var exit: UInt64
        var exitObject: ObjectPlace
    }

    let layout: SocketLayout
    private var code: CodeReader { layout.code }

    /// Instructions from the load of a step to the jump before its call, and from the call to the jump behind it.
    private static let reach = 8
    /// Loops of one file: 1 by gcc, 4 by clang.
    private static let mostLoops = 6

    // MARK: loops

    func loops() -> [Loop] {
        let uses = FieldUses.find(code, offset: layout.step).sorted { $0.key < $1.key }
        return Array(uses.flatMap { loops($0.value) }.prefix(Self.mostLoops))
    }

    private func loops(_ uses: [FieldUses.Use]) -> [Loop] {
        let loads = uses.filter { Self.isLoad($0.instruction) }
        return loads.compactMap { load in
            // The load behind the call, for the next round: the one before it is the entry's.
            guard let call = load.body[..<load.index].last, call.kind == TLSWATCH_OP_CALL, call.first.isRegister,
                let entry = loads.last(where: { $0.index < load.index && $0.instruction.first.reg == call.first.reg }),
                let before = jump(behind: entry, kept: load.index - 1), let after = exit(behind: load),
                !Register.clobbered.contains(load.base)
            else { return nil }
            return Loop(
                entry: before, object: ObjectPlace(register: UInt8(entry.base)),
                next: ValuePlace(register: entry.instruction.first.reg), exit: after,
                exitObject: ObjectPlace(register: UInt8(load.base)),
                exitNext: ValuePlace(register: load.instruction.first.reg))
        }
    }

    private static func isLoad(_ instruction: Instruction) -> Bool {
        instruction.kind == TLSWATCH_OP_MOV && instruction.first.isRegister && instruction.second.isMemory
            && instruction.first.width == 8
    }

    /// The jump that tests the loaded step, if it comes before the call and neither the step nor the socket has moved.
    private func jump(behind load: FieldUses.Use, kept call: Int) -> UInt64? {
        let step = load.instruction.first.reg
        guard Int(step) != load.base else { return nil }
        var isTested = false
        for instruction in load.body[(load.index + 1)..<call].prefix(Self.reach) {
            if instruction.kind == TLSWATCH_OP_JCC { return isTested ? instruction.address : nil }
            if instruction.kind == TLSWATCH_OP_TEST, instruction.first.isRegister, instruction.first.reg == step {
                isTested = true
            }
            guard instruction.written & (1 << UInt16(step) | 1 << UInt16(load.base)) == 0 else { return nil }
        }
        return nil
    }

    /// The jump behind a step, with the next step and the result still in their registers.
    private func exit(behind load: FieldUses.Use) -> UInt64? {
        let kept: UInt16 = 1 << UInt16(load.instruction.first.reg) | 1 << UInt16(load.base) | 1 << UInt16(Register.rax)
        for instruction in load.body[(load.index + 1)...].prefix(Self.reach) {
            if instruction.kind == TLSWATCH_OP_JCC { return instruction.address }
            guard instruction.written & kept == 0, instruction.kind != TLSWATCH_OP_CALL,
                instruction.kind != TLSWATCH_OP_JMP, instruction.kind != TLSWATCH_OP_RET
            else { return nil }
        }
        return nil
    }

    // MARK: resumptions

    /// A number that nothing in the library is.
    private static let token: UInt64 = 0x5a17_c0de

    /// `SSL_ForceHandshake`, of a handshake that has begun: it reads what there is, flags 0.
    func force() -> Resumption? { resumption("SSL_ForceHandshake", second: 0, parameters: [:]) }

    /// Exported functions that go on with a handshake that has waited for the application, and hand on their second parameter.
    func completion(_ name: String) -> Resumption? {
        resumption(name, second: Self.token, parameters: [1: .constant(Self.token)])
    }

    private func resumption(_ name: String, second: UInt64, parameters: [Int: AbstractValue]) -> Resumption? {
        guard let function = layout.symbols[name] else { return nil }
        var interpreter = layout.interpreter
        interpreter.followsTailJumps = false
        interpreter.mergesPaths = true
        let walk = interpreter.walk(
            function.address, parameters: parameters.merging([0: .unknown]) { given, _ in given })
        let calls = walk.arguments.filter { address, arguments in
            layout.offset(arguments[0]) == 0 && arguments[1] == .constant(second)
                && walk.targets[address].map(isInside) ?? false
        }.keys
        guard calls.count == 1, let call = calls.first, let entry = entry(function.address, walk),
            let exit = exit(behind: call, walk)
        else { return nil }
        return Resumption(entry: entry.site, object: entry.object, exit: exit.site, exitObject: exit.object)
    }

    /// A function of the library, rather than a stub.
    private func isInside(_ target: AbstractValue) -> Bool {
        guard case .constant(let address) = target, let first = code.instruction(at: address) else { return false }
        return first.kind != TLSWATCH_OP_JMP
    }

    private func entry(
        _ function: UInt64, _ walk: AbstractInterpreter.Walk
    ) -> (site: UInt64, object: ObjectPlace)? {
        guard let extent = code.file.functionExtent(containing: function) else { return nil }
        let body = code.instructions(in: extent, limit: 200)
        guard let found = body.firstIndex(where: { $0.directTarget == layout.findSocket }),
            let jump = body[(found + 1)...].prefix(Self.reach).first(where: { $0.kind == TLSWATCH_OP_JCC }),
            let held = walk.passed[jump.address], let register = Register.first(of: held) ?? rax(held)
        else { return nil }
        return (jump.address, ObjectPlace(register: UInt8(register)))
    }

    private func rax(_ held: UInt16) -> Int? { held >> UInt16(Register.rax) & 1 != 0 ? Register.rax : nil }

    private func exit(
        behind call: UInt64, _ walk: AbstractInterpreter.Walk
    ) -> (site: UInt64, object: ObjectPlace)? {
        guard var address = code.instruction(at: call)?.end else { return nil }
        for _ in 0..<Self.reach {
            guard let instruction = code.instruction(at: address) else { return nil }
            if SiteChooser.isEmulated(instruction), instruction.kind != TLSWATCH_OP_PUSH {
                guard let held = walk.passed[address], let register = Register.first(of: held) else { return nil }
                return (address, ObjectPlace(register: UInt8(register)))
            }
            guard instruction.written >> UInt16(Register.rax) & 1 == 0 else { return nil }
            address = instruction.end
        }
        return nil
    }
}

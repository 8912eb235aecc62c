import CCapstone
import Code

/// The probe sites of a package: around the indirect call of `c.handshakeFn` in handshakeContext, which every handshake of either
/// role passes once, over TCP and QUIC; and behind the calls of a few steps.
///
/// No site is at a function's beginning: where the stack has to grow, that is run twice.
struct GoSites {
    private(set) var sites: [ProbeSite] = []
    private(set) var notes: [String] = []
    private let code: CodeReader
    private let package: String
    private let functions: [String: GoFunction]

    private static let bodyLimit = 4_000
    /// Instructions between a jump and the call that belongs to it.
    private static let before = 45
    private static let after = 13
    private static let rdx: UInt8 = 2
    private static let rbx: UInt8 = 3

    init(package: String, layout: GoLayout, functions: [String: GoFunction], code: CodeReader) throws(AnalysisError) {
        (self.package, self.functions, self.code) = (package, functions, code)
        guard let function = functions[package + Go.method] else {
            throw AnalysisError("\(GoLayout.importPath(package)) has no handshakeContext in its table of functions")
        }
        try addHandshake(function, layout)
        addSteps()
    }

    // MARK: the handshake's beginning and end

    private mutating func addHandshake(_ function: GoFunction, _ layout: GoLayout) throws(AnalysisError) {
        let body = code.instructions(in: function.addresses, limit: Self.bodyLimit)
        let calls = body.indices.filter { index in
            body[index].kind == TLSWATCH_OP_CALL && body[index].first.isRegister
                && Self.loadOfFunction(body, before: index, offset: layout.handshakeFunction) != nil
        }
        guard calls.count == 1, let call = calls.first,
            let load = Self.loadOfFunction(body, before: call, offset: layout.handshakeFunction)
        else { throw AnalysisError("its handshakeContext has \(calls.count) calls of handshakeFn, not one") }
        guard let exit = Self.exit(body, call: call, error: layout.handshakeError) else {
            throw AnalysisError("the code behind the call of handshakeFn is of no known shape")
        }
        guard let entry = Self.entry(body, call: call, load: load) else {
            throw AnalysisError("the code before the call of handshakeFn is of no known shape")
        }
        let object = ObjectPlace.memory(.rsp, offset: exit.slot)
        try add(.call, "handshakeContext before handshakeFn", body[entry], object: object)
        try add(
            .callExit, "handshakeContext behind handshakeFn", body[exit.jump],
            object: exit.register.map { ObjectPlace(register: $0) } ?? object, argument: .result,
            argument2: ValuePlace(register: Self.rbx))
    }

    /// `mov rdx, [c + offset]`: a method value's context, which a call through it passes in rdx.
    private static func loadOfFunction(_ body: [Instruction], before call: Int, offset: Int32) -> Int? {
        for index in stride(from: call - 1, through: max(0, call - 12), by: -1) {
            let load = body[index]
            guard load.kind == TLSWATCH_OP_MOV, load.first.isRegister, load.first.reg == rdx, load.first.width == 8,
                load.second.isMemory
            else { continue }
            return load.second.value == Int64(offset) ? index : nil
        }
        return nil
    }

    /// The first conditional jump behind the call: the error is still in rax and rbx.
    private static func exit(_ body: [Instruction], call: Int, error: Int32)
        -> (jump: Int, register: UInt8?, slot: Int32)?
    {
        let targets = Set(body.compactMap { $0.kind == TLSWATCH_OP_CALL ? nil : $0.directTarget })
        var register: UInt8?
        var slots: [UInt8: Int32] = [:]
        var slot: Int32?
        for index in (call + 1)..<min(body.count, call + 1 + after) {
            let instruction = body[index]
            // Whoever comes here has come from the call.
            if targets.contains(instruction.address) { return nil }
            switch instruction.kind {
            case TLSWATCH_OP_JCC:
                guard let slot else { return nil }
                return (index, register, slot)
            case TLSWATCH_OP_CALL, TLSWATCH_OP_JMP, TLSWATCH_OP_RET, TLSWATCH_OP_TRAP: return nil
            default: break
            }
            let (first, second) = (instruction.first, instruction.second)
            if instruction.kind == TLSWATCH_OP_MOV, first.isMemory, first.value == Int64(error),
                second.isRegister, second.reg == UInt8(Register.rax), second.width == 8, let known = slots[first.base]
            {
                (register, slot) = (first.base, known)
            }
            if instruction.written & (1 << UInt16(Register.rax) | 1 << UInt16(rbx)) != 0 { return nil }
            for number in UInt8(0)..<16 where instruction.written >> UInt16(number) & 1 != 0 {
                slots[number] = nil
                if register == number { register = nil }
            }
            if instruction.kind == TLSWATCH_OP_MOV, first.isRegister, first.width == 8, second.isMemory,
                second.base == UInt8(Register.rsp), second.index == UInt8(TLSWATCH_NO_REGISTER)
            {
                slots[first.reg] = Int32(clamping: second.value)
            }
        }
        return nil
    }

    /// The last conditional jump before the call: whoever jumps into what lies between has passed it.
    private static func entry(_ body: [Instruction], call: Int, load: Int) -> Int? {
        for index in stride(from: load - 1, through: max(0, load - before), by: -1)
        where body[index].kind == TLSWATCH_OP_JCC {
            let between = body[index].end...body[call].address
            let isPassed = body.allSatisfy { jump in
                guard jump.kind != TLSWATCH_OP_CALL, let target = jump.directTarget, between.contains(target) else {
                    return true
                }
                return between.contains(jump.address) || jump.address == body[index].address
            }
            return isPassed ? index : nil
        }
        return nil
    }

    private mutating func add(
        _ hook: HookKind, _ symbol: String, _ instruction: Instruction, object: ObjectPlace?,
        argument: ValuePlace? = nil,
        argument2: ValuePlace? = nil, phases: Phases = .all
    ) throws(AnalysisError) {
        guard SiteChooser.isEmulated(instruction), SiteChooser.leavesStack(instruction),
            let offset = code.file.fileOffset(ofAddress: instruction.address)
        else { throw AnalysisError("\(symbol): no jump that the kernel emulates") }
        sites.append(
            ProbeSite(
                hook: hook, symbol: symbol, fileOffset: offset, address: instruction.address, mode: .emulated,
                object: object, argument: argument, argument2: argument2, context: .goroutine, phases: phases))
    }

    // MARK: steps

    /// Methods whose return is a moment of the handshake.
    private static let steps: [(hook: HookKind, method: String)] = [
        (.keyChange, "(*clientHandshakeStateTLS13).establishHandshakeKeys"),
        (.keyChange, "(*serverHandshakeStateTLS13).sendServerParameters"),
        (.keyChange, "(*clientHandshakeState).establishKeys"), (.keyChange, "(*serverHandshakeState).establishKeys"),
        (.alpnSelect, "negotiateALPN"), (.alpnAnswer, "(*clientHandshakeStateTLS13).readServerParameters"),
        (.alpnAnswer, "(*clientHandshakeState).processServerHello"),
    ]

    private mutating func addSteps() {
        let methods = Self.steps.map { "\(package).\($0.method)" }
        let calls = calls(of: Set(methods.compactMap { functions[$0]?.addresses.lowerBound }))
        for (step, name) in zip(Self.steps, methods) {
            // A linker leaves out what nothing calls: a program that is a client alone has no server's steps.
            guard let target = functions[name]?.addresses.lowerBound else { continue }
            let jumps = (calls[target] ?? []).compactMap(jump(behind:))
            if jumps.isEmpty { notes.append("no moment of \(step.method): its call is of no known shape") }
            for jump in jumps.prefix(Self.callLimit) {
                try? add(
                    step.hook, "\(step.method) result", jump, object: nil,
                    argument: step.hook == .keyChange ? .result : nil, phases: [.on, .full])
            }
        }
    }

    /// Calls of one step; there are two at most.
    private static let callLimit = 3
    private static let functionLimit = 1 << 16

    /// The direct calls of these functions in the package, wherever the compiler has put them.
    private func calls(of targets: Set<UInt64>) -> [UInt64: [(call: UInt64, caller: GoFunction)]] {
        var found: [UInt64: [(call: UInt64, caller: GoFunction)]] = [:]
        for function in functions.values.sorted(by: { $0.addresses.lowerBound < $1.addresses.lowerBound }) {
            let start = function.addresses.lowerBound
            let bytes = code.file.bytes(
                at: start, upTo: min(Int(clamping: function.addresses.count), Self.functionLimit))
            DataSearch.find([0xe8], in: bytes) { at in
                if let distance = bytes.u32(at: at + 1) {
                    let next = start &+ UInt64(at) &+ 5
                    let target = next &+ UInt64(bitPattern: Int64(Int32(bitPattern: distance)))
                    if targets.contains(target) { found[target, default: []].append((next &- 5, function)) }
                }
                return false
            }
        }
        return found
    }

    /// The first conditional jump behind a call: the first result is still in rax.
    private func jump(behind site: (call: UInt64, caller: GoFunction)) -> Instruction? {
        // From the function's beginning: a call's bytes inside another instruction are no call.
        let body = code.instructions(in: site.caller.addresses, limit: Self.bodyLimit)
        guard let call = body.firstIndex(where: { $0.address == site.call && $0.kind == TLSWATCH_OP_CALL }) else {
            return nil
        }
        for instruction in body[(call + 1)...].prefix(Self.after) {
            switch instruction.kind {
            case TLSWATCH_OP_JCC: return instruction
            case TLSWATCH_OP_CALL, TLSWATCH_OP_JMP, TLSWATCH_OP_RET, TLSWATCH_OP_TRAP: return nil
            default: break
            }
            if instruction.written & 1 << UInt16(Register.rax) != 0 { return nil }
        }
        return nil
    }
}

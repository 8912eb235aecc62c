import CCapstone
import Code

/// The probe sites of a package: around the indirect call of `c.handshakeFn` in handshakeContext, which every handshake of either
/// role passes once, over TCP and QUIC; and behind the calls of a few steps.
///
/// No site is at a function's beginning: where the stack has to grow, that is run twice.
struct GoSites {
    var sites: [ProbeSite] = []
    var notes: [String] = []
    let code: CodeReader
    let package: String
    let functions: [String: GoFunction]

    static let bodyLimit = 4_000
    /// Instructions between a jump and the call that belongs to it.
    private static let before = 45
    static let after = 13
    private static let rdx: UInt8 = 2
    private static let rbx: UInt8 = 3

    init(package: String, layout: GoLayout, functions: [String: GoFunction], code: CodeReader) throws(AnalysisError) {
        (self.package, self.functions, self.code) = (package, functions, code)
        guard let function = functions[package + Go.method] else {
            throw AnalysisError("\(GoLayout.importPath(package)) has no handshakeContext in its table of functions")
        }
        try addHandshake(function, layout)
        addOuter(layout)
        addSteps()
        addShares()
        if !layout.keepsGroup { addGroups() }
    }

    // MARK: the handshake's beginning and end

    private mutating func addHandshake(_ function: GoFunction, _ layout: GoLayout) throws(AnalysisError) {
        let (body, call, load) = try call(in: function, layout)
        guard let exit = Self.exit(body, call: call, error: layout.handshakeError, outer: nil), let slot = exit.slot
        else {
            throw AnalysisError("the code behind the call of handshakeFn is of no known shape")
        }
        guard let entry = Self.entry(body, call: call, load: load) else {
            throw AnalysisError("the code before the call of handshakeFn is of no known shape")
        }
        let object = ObjectPlace.memory(.rsp, offset: slot)
        try add(.call, "handshakeContext before handshakeFn", body[entry], object: object)
        try add(
            .callExit, "handshakeContext behind handshakeFn", body[exit.jump],
            object: exit.register.map { ObjectPlace(register: $0) } ?? object, argument: .result,
            argument2: ValuePlace(register: Self.rbx), argument3: Self.context(body, load: load, call: call))
    }

    /// The one call of `c.handshakeFn` in a function, and where its context is loaded.
    private func call(in function: GoFunction, _ layout: GoLayout) throws(AnalysisError) -> (
        body: [Instruction], call: Int, load: Int
    ) {
        let body = code.instructions(in: function.addresses, limit: Self.bodyLimit)
        let calls = body.indices.filter { index in
            body[index].kind == TLSWATCH_OP_CALL && body[index].first.isRegister
                && Self.loadOfFunction(body, before: index, offset: layout.handshakeFunction) != nil
        }
        guard calls.count == 1, let call = calls.first,
            let load = Self.loadOfFunction(body, before: call, offset: layout.handshakeFunction)
        else { throw AnalysisError("its handshakeContext has \(calls.count) calls of handshakeFn, not one") }
        return (body, call, load)
    }

    /// A client's connection of a type of its own (UConn) has a handshakeContext of its own, and a method value that it calls:
    /// in that one, the connection is in a register where the handshake is called.
    private mutating func addOuter(_ layout: GoLayout) {
        guard let outer = layout.outer, let function = functions[package + ".(*UConn).handshakeContext"],
            let handshake = functions[package + ".(*UConn).clientHandshake"]?.addresses.lowerBound,
            let wrapper = functions[package + ".(*UConn).clientHandshake-fm"]
        else { return }
        let before = sites
        do throws(AnalysisError) {
            let (body, call, load) = try call(in: function, layout)
            guard let exit = Self.exit(body, call: call, error: layout.handshakeError, outer: outer),
                let register = exit.register,
                let entry = code.instructions(in: wrapper.addresses, limit: Self.bodyLimit).first(where: {
                    $0.kind == TLSWATCH_OP_CALL && $0.directTarget == handshake
                })
            else { throw AnalysisError("the code around the call of handshakeFn is of no known shape") }
            try add(.call, "UConn.clientHandshake", entry, object: .memory(.result, offset: outer))
            try add(
                .callExit, "UConn.handshakeContext behind handshakeFn", body[exit.jump],
                object: ObjectPlace(register: register), argument: .result, argument2: ValuePlace(register: Self.rbx),
                argument3: Self.context(body, load: load, call: call))
        } catch {
            sites = before
            notes.append("handshakes of its UConn are not observed: \(error)")
        }
    }

    /// The stack slot of the context that the call passes: it is in rbx, the second half of the first argument, and stays in its
    /// slot behind the call.
    private static func context(_ body: [Instruction], load: Int, call: Int) -> ValuePlace? {
        for index in stride(from: call - 1, through: max(0, load - 4), by: -1) {
            let (first, second) = (body[index].first, body[index].second)
            guard body[index].written & 1 << UInt16(rbx) != 0 else { continue }
            guard body[index].kind == TLSWATCH_OP_MOV, first.isRegister, first.reg == rbx, first.width == 8,
                second.isMemory, second.base == UInt8(Register.rsp), second.index == UInt8(TLSWATCH_NO_REGISTER)
            else { return nil }
            return .memory(.rsp, offset: Int32(clamping: second.value))
        }
        return nil
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

    /// The first conditional jump behind the call: the error is still in rax and rbx, and the connection is known by where the
    /// error is stored.
    ///
    /// - Parameter outer: in what the stack has, of the pointer to the connection; `nil`: it has the connection itself.
    private static func exit(_ body: [Instruction], call: Int, error: Int32, outer: Int32?)
        -> (jump: Int, register: UInt8?, slot: Int32?)?
    {
        let targets = Set(body.compactMap { $0.kind == TLSWATCH_OP_CALL ? nil : $0.directTarget })
        var register: UInt8?
        /// Registers that hold what the stack has, and of those that the connection was loaded through `outer` into.
        var slots: [UInt8: Int32] = [:]
        var inner: Set<UInt8> = []
        var slot: Int32?
        var isKnown = false
        for index in (call + 1)..<min(body.count, call + 1 + after) {
            let instruction = body[index]
            // Whoever comes here has come from the call.
            if targets.contains(instruction.address) { return nil }
            switch instruction.kind {
            case TLSWATCH_OP_JCC:
                return isKnown ? (index, register, slot) : nil
            case TLSWATCH_OP_CALL, TLSWATCH_OP_JMP, TLSWATCH_OP_RET, TLSWATCH_OP_TRAP: return nil
            default: break
            }
            let (first, second) = (instruction.first, instruction.second)
            if instruction.kind == TLSWATCH_OP_MOV, first.isMemory, first.value == Int64(error),
                second.isRegister, second.reg == UInt8(Register.rax), second.width == 8,
                outer == nil ? slots[first.base] != nil : inner.contains(first.base)
            {
                (register, slot, isKnown) = (first.base, outer == nil ? slots[first.base] : nil, true)
            }
            let loadsInner =
                instruction.kind == TLSWATCH_OP_MOV && first.isRegister && first.width == 8 && second.isMemory
                && slots[second.base] != nil && second.index == UInt8(TLSWATCH_NO_REGISTER)
                && outer.map { second.value == Int64($0) } == true
            if instruction.written & (1 << UInt16(Register.rax) | 1 << UInt16(rbx)) != 0 { return nil }
            for number in UInt8(0)..<16 where instruction.written >> UInt16(number) & 1 != 0 {
                slots[number] = nil
                inner.remove(number)
                if register == number { register = nil }
            }
            if loadsInner { inner.insert(first.reg) }
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

    mutating func add(
        _ hook: HookKind, _ symbol: String, _ instruction: Instruction, object: ObjectPlace?,
        argument: ValuePlace? = nil, argument2: ValuePlace? = nil, argument3: ValuePlace? = nil, phases: Phases = .all
    ) throws(AnalysisError) {
        guard SiteChooser.isEmulated(instruction), let offset = code.file.fileOffset(ofAddress: instruction.address)
        else { throw AnalysisError("\(symbol): no instruction that the kernel emulates") }
        sites.append(
            ProbeSite(
                hook: hook, symbol: symbol, fileOffset: offset, address: instruction.address, mode: .emulated,
                object: object, argument: argument, argument2: argument2, argument3: argument3, context: .goroutine,
                phases: phases))
    }
}

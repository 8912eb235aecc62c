import CCapstone
import Code

/// Probe sites inside functions: where the state machine is left, and around the calls of the key agreement.
///
/// A return probe rewrites the return address on the target's stack and expects to find it there. Programs
/// that change stacks inside a call (OpenSSL's asynchronous jobs, fibers in a transport of their own) are
/// killed by it, and so are confined ones whose system-call filter does not know it. Where an instruction
/// inside the function tells the same, there is no return probe at all.
struct InnerSites {
    let code: CodeReader
    /// Instructions of one function that are looked at.
    private static let bodyLimit = 20_000
    /// Instructions from a mark to the one under the probe.
    private static let reach = 12

    struct Site: Equatable {
        var address: UInt64
        var object: ObjectPlace?
    }

    /// rbx, rbp, r12 to r15: by their number in the encoding.
    private static let kept: [Int: ValuePlace] = [3: .rbx, 5: .rbp, 12: .r12, 13: .r13, 14: .r14, 15: .r15]

    // MARK: the state machine's exits

    /// One instruction on every way out of the state machine that comes behind its count of nested calls being
    /// lowered (`st->in_handshake--`), which is the last thing it does; `nil` where the code does not show them all.
    func exits(of function: UInt64) -> [Site]? {
        code.file.functionExtent(containing: function).flatMap(exits)
    }

    func exits(in extent: Range<UInt64>) -> [Site]? {
        let body = instructions(extent)
        // A byte that is no instruction, or a body beyond all bounds, may hide a way out.
        guard body.last?.end == extent.upperBound else { return nil }
        let targets = jumpTargets(body)
        var held: [Int: [Int: ObjectPlace]] = [:]
        // Where the count is raised the object's register is fresh from the parameter. The same field of the same
        // register is lowered: between the two a compiler may use the register for other things.
        let raised = body.indices.filter { Self.change(body[$0]) == 1 }
        var sites: [Site] = []
        for (index, instruction) in body.enumerated() where Self.change(instruction) == -1 {
            let counter = instruction.first
            guard
                let raise = raised.first(where: {
                    body[$0].first.base == counter.base && body[$0].first.value == counter.value
                })
            else { return nil }
            let objects = held[raise] ?? heldObject(body[..<raise])
            held[raise] = objects
            guard let object = objects[Int(counter.base)],
                let site = emulated(body, after: index, keeping: Int(counter.base), targets)
            else { return nil }
            sites.append(Site(address: site, object: object))
        }
        return sites.isEmpty ? nil : sites
    }

    /// +1 or -1 where the instruction raises or lowers an int in memory by one.
    private static func change(_ instruction: Instruction) -> Int? {
        guard instruction.first.isMemory, instruction.first.width == 4, !instruction.first.rip_relative,
            instruction.first.index == UInt8(TLSWATCH_NO_REGISTER)
        else { return nil }
        switch instruction.kind {
        case TLSWATCH_OP_DEC: return -1
        case TLSWATCH_OP_INC: return 1
        case TLSWATCH_OP_ADD, TLSWATCH_OP_SUB:
            guard instruction.second.isImmediate, abs(instruction.second.value) == 1 else { return nil }
            let up = (instruction.second.value == 1) == (instruction.kind == TLSWATCH_OP_ADD)
            return up ? 1 : -1
        default: return nil
        }
    }

    // MARK: calls

    /// A call that does the work, and the instruction behind it that tests its result.
    struct Agreement: Equatable {
        var call: Site
        var exit: Site
        /// What is come to when it has failed, and in no other case; `nil` where the code does not show it.
        var failure: Site?
    }

    /// The work's call of `callee` in functions that call it twice: once with a null second parameter, which asks
    /// for the size, and once for the work. `caller` is libssl's function that does so, where the file names it.
    func agreements(_ callee: String, in caller: ELFSymbol?) -> [Agreement] {
        // In a shared library the callee is another one's: then its calls are found through its slot.
        if let caller, let target = code.file.symbol(callee)?.address,
            let extent = code.file.functionExtent(containing: caller.address)
        {
            let body = instructions(extent)
            let calls = body.filter { $0.kind == TLSWATCH_OP_CALL && $0.directTarget == target }.map(\.address)
            return agreement(calls, body).map { [$0] } ?? []
        }
        let calls = Set(CallFinder(file: code.file).calls(of: callee))
        let functions = Dictionary(grouping: calls) { code.file.functionExtent(containing: $0) }
        return functions.sorted { ($0.key?.lowerBound ?? 0) < ($1.key?.lowerBound ?? 0) }.compactMap { extent, calls in
            extent.flatMap { agreement(calls, instructions($0)) }
        }
    }

    /// The working one of two calls at those addresses.
    func agreement(_ calls: [UInt64], in extent: Range<UInt64>) -> Agreement? {
        agreement(calls, instructions(extent))
    }

    private func agreement(_ calls: [UInt64], _ body: [Instruction]) -> Agreement? {
        let working = calls.filter { !passesNull($0, body) }
        guard calls.count == 2, working.count == 1, let call = working.first,
            let index = body.firstIndex(where: { $0.address == call }), SiteChooser.isEmulated(body[index])
        else { return nil }
        let held = heldObject(body[...])
        let object = held.count == 1 ? held.values.first : nil
        guard let exit = emulated(body, after: index, keeping: Register.rax, jumpTargets(body)) else { return nil }
        return Agreement(
            call: Site(address: call, object: object), exit: Site(address: exit, object: object),
            failure: failure(body, behind: index).map {
                Site(address: $0, object: object)
            })
    }

    /// The first emulated instruction on the way of failure, of the branch on the result; `nil` where the way of success leads
    /// there as well.
    private func failure(_ body: [Instruction], behind call: Int) -> UInt64? {
        guard
            let branch = body[(call + 1)...].prefix(Self.reach).first(where: {
                $0.kind == TLSWATCH_OP_JCC || $0.kind == TLSWATCH_OP_CALL || $0.kind == TLSWATCH_OP_JMP
            }), branch.kind == TLSWATCH_OP_JCC, let target = branch.directTarget,
            let place = body.firstIndex(where: { $0.address == target })
        else { return nil }
        // `test eax, eax` and `jle`: a result above zero is success (EVP_PKEY_derive(3)).
        guard branch.condition == Condition.lessOrEqual || branch.condition == Condition.greater else { return nil }
        let failing = branch.condition == Condition.lessOrEqual ? place : body.firstIndex { $0.address == branch.end }
        let succeeding = branch.condition == Condition.lessOrEqual ? branch.end : target
        guard let failing else { return nil }
        for instruction in body[failing...].prefix(Self.reach) {
            if SiteChooser.isEmulated(instruction) {
                return isReached(instruction.address, from: succeeding, body) ? nil : instruction.address
            }
            if instruction.kind == TLSWATCH_OP_RET || instruction.kind == TLSWATCH_OP_TRAP { return nil }
        }
        return nil
    }

    /// Whether some way through the function leads from `start` to `place`.
    func isReached(_ place: UInt64, from start: UInt64, _ body: [Instruction]) -> Bool {
        let indices = Dictionary(uniqueKeysWithValues: body.enumerated().map { ($1.address, $0) })
        var seen: Set<Int> = []
        var open = [start]
        while let address = open.popLast() {
            if address == place { return true }
            guard let index = indices[address], seen.insert(index).inserted else { continue }
            let instruction = body[index]
            if let target = instruction.directTarget, instruction.kind != TLSWATCH_OP_CALL { open.append(target) }
            switch instruction.kind {
            case TLSWATCH_OP_RET, TLSWATCH_OP_TRAP, TLSWATCH_OP_JMP: break
            default: open.append(instruction.end)
            }
        }
        return false
    }

    /// Whether the second parameter was last set to zero before the call.
    private func passesNull(_ call: UInt64, _ body: [Instruction]) -> Bool {
        let before = body.prefix { $0.address < call }
        let parameter = Register.parameters[1]
        guard let last = before.last(where: { $0.written >> UInt16(parameter) & 1 != 0 }) else { return false }
        switch last.kind {
        case TLSWATCH_OP_XOR:
            return last.first.isRegister && last.second.isRegister && last.first.reg == last.second.reg
        case TLSWATCH_OP_MOV: return last.second.isImmediate && last.second.value == 0
        default: return false
        }
    }

    // MARK: reading a body

    func instructions(_ extent: Range<UInt64>) -> [Instruction] {
        code.instructions(in: extent, limit: Self.bodyLimit)
    }

    /// The registers that hold the first parameter, or an address in it, from the function's beginning to its end:
    /// every write to them but the restoring ones puts it there.
    private func heldObject(_ body: ArraySlice<Instruction>) -> [Int: ObjectPlace] {
        var writes: [Int: Set<Int64?>] = [:]
        var parameterIsWhole = true
        for instruction in body {
            let restores = instruction.kind == TLSWATCH_OP_POP || instruction.kind == TLSWATCH_OP_LEAVE
            for register in Self.kept.keys where instruction.written >> UInt16(register) & 1 != 0 && !restores {
                writes[register, default: []].insert(parameterIsWhole ? Self.distance(instruction) : nil)
            }
            // Behind the first way out, the parameter's register may hold anything.
            if instruction.written >> UInt16(Register.parameters[0]) & 1 != 0 || instruction.kind == TLSWATCH_OP_CALL {
                parameterIsWhole = false
            }
        }
        return writes.reduce(into: [:]) { held, entry in
            guard entry.value.count == 1, let distance = entry.value.first ?? nil, let place = Self.kept[entry.key],
                let offset = Int16(exactly: -distance)
            else { return }
            held[entry.key] = ObjectPlace(place, offset: offset)
        }
    }

    /// What the instruction adds to the first parameter on the way into another register.
    private static func distance(_ instruction: Instruction) -> Int64? {
        let source = instruction.second
        let parameter = UInt8(Register.parameters[0])
        guard instruction.first.isRegister, instruction.first.width == 8 else { return nil }
        if instruction.kind == TLSWATCH_OP_MOV, source.isRegister, source.reg == parameter { return 0 }
        if instruction.kind == TLSWATCH_OP_LEA, source.isMemory, source.base == parameter,
            source.index == UInt8(TLSWATCH_NO_REGISTER), !source.opaque_address
        {
            return source.value
        }
        return nil
    }

    /// The cheapest instruction behind `index` that the kernel emulates, in a straight line, with `register` as it was: the first
    /// that leaves the stack alone, else the first at all. `nil` where a jump leads into that line, and so past what stands at
    /// `index`.
    func emulated(
        _ body: [Instruction], after index: Int, keeping register: Int, _ targets: Set<UInt64>
    ) -> UInt64? {
        var dearer: UInt64?
        for instruction in body[(index + 1)...].prefix(Self.reach) {
            if targets.contains(instruction.address) { break }
            if SiteChooser.isEmulated(instruction) {
                if SiteChooser.leavesStack(instruction) { return instruction.address }
                dearer = dearer ?? instruction.address
            }
            switch instruction.kind {
            case TLSWATCH_OP_RET, TLSWATCH_OP_JMP, TLSWATCH_OP_JCC, TLSWATCH_OP_TRAP: return dearer
            // A function of the library's comes back; what a pointer leads to, nobody knows.
            case TLSWATCH_OP_CALL where instruction.directTarget == nil || Register.clobbered.contains(register):
                return dearer
            default: break
            }
            if instruction.written >> UInt16(register) & 1 != 0 { return dearer }
        }
        return dearer
    }

    func jumpTargets(_ body: [Instruction]) -> Set<UInt64> {
        Set(body.filter { $0.kind == TLSWATCH_OP_JMP || $0.kind == TLSWATCH_OP_JCC }.compactMap(\.directTarget))
    }
}

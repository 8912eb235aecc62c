import CCapstone
import Code

/// A function that takes a connection's input, message by message (ConnectionCore::process_new_packets): one for each role, or
/// one for both.
struct RustlsInput {
    let extent: Range<UInt64>
    /// Where the connection keeps its state or its error, from its beginning.
    let state: Int64
    /// What stands there meanwhile.
    let placeholder: Int64
    /// Stack slots that hold an address in the connection from the function's beginning on, by their displacement: how far
    /// behind the connection's beginning.
    private let slots: [Int64: Int64]
    private let body: [Instruction]
    /// Registers that calls leave alone which have an address in the connection from the beginning on: how far behind its own.
    private let registers: [UInt8: Int64]
    /// The instruction from which on they have it, until one writes them.
    private let since: Int
    /// Of one that is inlined in another function, which instructions may follow the place where the placeholder is stored: what
    /// that function has written before says nothing.
    private let isBehind: [Bool]?
    /// How far behind the connection's beginning is what the library hands around as the connection; `nil` where nothing is sent
    /// from here.
    private var common: Int64?
    /// The calls behind which the connection's state is replaced by the error that was copied.
    private(set) var failures: [RustlsCalls.Failure] = []

    private static let limit = 40_000
    private static let prologue = 64

    /// What all of them are read with.
    struct Context {
        var code: CodeReader
        /// What sends a message: its first parameter is what the library calls the connection.
        var sends: Set<UInt64>
        /// The number of the error that stands in a connection meanwhile.
        var notComplete: Int64
    }

    /// - Parameter calling: the places in a state's table of the methods that it calls.
    init?(_ context: Context, _ extent: Range<UInt64>, calling slots: [Int64]) {
        let body = context.code.instructions(in: extent, limit: Self.limit)
        let calls = body.lazy.filter { $0.kind == TLSWATCH_OP_CALL && $0.first.isMemory && !$0.first.rip_relative }
        guard slots.allSatisfy({ slot in calls.contains { $0.first.value == slot } }) else { return nil }
        // The connection is the second parameter: the result is written through the first.
        var registers: [UInt8: Int64] = [UInt8(Register.parameters[1]): 0]
        var kept: [Int64: Int64] = [:]
        var found: (state: Int64, placeholder: Int64)?
        var seen = 0
        for instruction in body.prefix(Self.prologue) {
            if instruction.kind == TLSWATCH_OP_CALL || instruction.kind == TLSWATCH_OP_JMP { break }
            seen += 1
            let (first, second) = (instruction.first, instruction.second)
            if instruction.kind == TLSWATCH_OP_MOV, first.isMemory, first.width == 1, second.isImmediate,
                let base = registers[first.base], found == nil
            {
                found = (state: base + first.value, placeholder: second.value & 0xff)
            }
            Self.follow(instruction, &registers, &kept)
            if instruction.kind == TLSWATCH_OP_JCC, found != nil { break }
        }
        guard let found, found.state > 0, found.state < 1 << 15 else { return nil }
        (self.extent, self.body, self.slots) = (extent, body, Self.writtenOnce(kept, body, nil))
        (state, placeholder) = found
        isBehind = nil
        self.registers = registers.filter { Self.kept.contains($0.key) }
        since = seen
        common = findCommon(context)
        failures = findFailures(context.code)
    }

    /// One that is inlined in another function, where a placeholder is stored: behind an address of the connection if it is as far
    /// from that as elsewhere, or if the function sends from that address.
    init?(
        _ context: Context, _ extent: Range<UInt64>, inlinedAt place: UInt64, states: Set<Int64>, sends: Bool
    ) {
        guard sends || states.contains(where: { Self.stores(context.code, at: place, $0) }) else { return nil }
        let body = context.code.instructions(in: extent, limit: Self.limit)
        // A prefix may stand before the opcode.
        guard let store = body.firstIndex(where: { $0.address <= place && place < $0.end }),
            body[store].kind == TLSWATCH_OP_MOV, body[store].first.isMemory, body[store].first.width == 1,
            body[store].second.isImmediate, body[store].second.value & 0xff == context.notComplete,
            body[store].first.index == UInt8(TLSWATCH_NO_REGISTER)
        else { return nil }
        let base = body[store].first.base
        var registers: [UInt8: Int64] = [base: 0]
        var slots: [Int64: Int64] = [:]
        for instruction in body[max(0, store - Self.before)..<store] {
            guard instruction.written >> UInt16(base) & 1 == 0 else {
                (registers, slots) = ([base: 0], [:])
                continue
            }
            Self.follow(instruction, &registers, &slots)
        }
        let graph = FunctionGraph(context.code, extent)
        let isBehind = graph.index(of: body[store].address).map { graph.reached(from: [$0], avoiding: []) }
        (self.extent, self.body, self.isBehind) = (extent, body, isBehind)
        // Prepared before the store, they are as they were then.
        self.slots = Self.writtenOnce(slots, body, nil)
        (state, placeholder) = (body[store].first.value, body[store].second.value & 0xff)
        self.registers = Self.kept.contains(base) ? [base: 0] : [:]
        since = store
        common = findCommon(context)
        guard states.contains(state) || common != nil else { return nil }
        failures = findFailures(context.code)
    }

    /// Whether the store there is this far behind its register.
    private static func stores(_ code: CodeReader, at place: UInt64, _ distance: Int64) -> Bool {
        code.file.bytes(at: place &+ 2, count: 4).map { Int64($0.u32(at: 0) ?? 0) == distance } ?? false
    }

    /// Instructions before the store in which what it stores behind is prepared.
    private static let before = 10

    /// What registers and stack slots have of the connection's addresses behind an instruction.
    private static func follow(
        _ instruction: Instruction, _ registers: inout [UInt8: Int64], _ slots: inout [Int64: Int64]
    ) {
        let (first, second) = (instruction.first, instruction.second)
        var value: Int64?
        if instruction.kind == TLSWATCH_OP_MOV, first.isMemory, first.base == UInt8(Register.rsp), first.width == 8,
            second.isRegister, let value = registers[second.reg], first.index == UInt8(TLSWATCH_NO_REGISTER)
        {
            slots[first.value] = value
        } else if instruction.kind == TLSWATCH_OP_MOV, first.isRegister, second.isRegister, first.width == 8 {
            value = registers[second.reg]
        } else if instruction.kind == TLSWATCH_OP_LEA, first.isRegister, let base = registers[second.base],
            second.index == UInt8(TLSWATCH_NO_REGISTER)
        {
            value = base + second.value
        }
        for register in 0..<16 where instruction.written >> UInt16(register) & 1 != 0 {
            registers[UInt8(register)] = nil
        }
        if let value, first.isRegister { registers[first.reg] = value }
    }

    /// Of the slots those that a function writes once, where only some of its instructions count.
    private static func writtenOnce(
        _ slots: [Int64: Int64], _ body: [Instruction], _ counts: [Bool]?
    ) -> [Int64: Int64] {
        slots.filter { slot, _ in
            body.indices.count { index in
                let instruction = body[index]
                return counts?[index] ?? true && instruction.first.isMemory
                    && instruction.first.base == UInt8(Register.rsp)
                    && instruction.first.index == UInt8(TLSWATCH_NO_REGISTER)
                    && instruction.kind != TLSWATCH_OP_CMP && instruction.kind != TLSWATCH_OP_TEST
                    && instruction.kind != TLSWATCH_OP_CALL && instruction.kind != TLSWATCH_OP_JMP
                    && instruction.first.value <= slot + 7
                    && instruction.first.value + Int64(max(1, instruction.first.width)) > slot
            } == 1
        }
    }

    /// What is sent from: all sends that can be followed are of one mind.
    private func findCommon(_ context: Context) -> Int64? {
        var found: Set<Int64> = []
        for (index, instruction) in body.enumerated() where instruction.kind == TLSWATCH_OP_CALL {
            guard let target = context.code.callee(of: instruction), context.sends.contains(target) else { continue }
            if let value = value(of: UInt8(Register.parameters[0]), before: index, depth: 0) { found.insert(value) }
        }
        return found.count == 1 ? found.first : nil
    }

    /// How far behind the connection's beginning the address is that a register has before an instruction: as known from the
    /// beginning on, or by the last one before that writes it.
    private func value(of register: UInt8, before index: Int, depth: Int) -> Int64? {
        let reach = Self.kept.contains(register) ? Self.limit : Self.near
        let writer = body[..<index].suffix(reach).lastIndex { Self.writes($0, register) }
        if let known = registers[register], (writer ?? 0) < since { return known }
        guard depth < Self.deepest, let writer, body[writer].first.isRegister, body[writer].first.reg == register
        else { return nil }
        let second = body[writer].second
        switch body[writer].kind {
        case TLSWATCH_OP_MOV where second.isRegister: return value(of: second.reg, before: writer, depth: depth + 1)
        case TLSWATCH_OP_MOV where second.isMemory && second.base == UInt8(Register.rsp):
            return slots[second.value] ?? stored(second.value, depth: depth + 1)
        case TLSWATCH_OP_LEA where !second.rip_relative && second.index == UInt8(TLSWATCH_NO_REGISTER):
            return value(of: second.base, before: writer, depth: depth + 1).map { $0 + second.value }
        default: return nil
        }
    }

    /// The same of a stack slot that is written once, as far as it counts.
    private func stored(_ slot: Int64, depth: Int) -> Int64? {
        guard Self.writtenOnce([slot: 0], body, isBehind)[slot] != nil else { return nil }
        let store = body.indices.first { index in
            let (first, second) = (body[index].first, body[index].second)
            return isBehind?[index] ?? true && body[index].kind == TLSWATCH_OP_MOV && first.isMemory
                && first.base == UInt8(Register.rsp) && first.index == UInt8(TLSWATCH_NO_REGISTER)
                && first.value == slot && first.width == 8 && second.isRegister
        }
        return store.flatMap { value(of: body[$0].second.reg, before: $0, depth: depth) }
    }

    private static let deepest = 5

    /// Restoring what was there before is no writing.
    private static func writes(_ instruction: Instruction, _ register: UInt8) -> Bool {
        instruction.written >> UInt16(register) & 1 != 0 && instruction.kind != TLSWATCH_OP_POP
    }

    /// Instructions before a call in which its parameters are prepared.
    private static let near = 24

    private func findFailures(_ code: CodeReader) -> [RustlsCalls.Failure] {
        let targets = body.reduce(into: [UInt64: Int]()) { counts, instruction in
            if let target = code.callee(of: instruction) { counts[target, default: 0] += 1 }
        }.filter { $0.value >= 2 && isClone(code, $0.key) }
        guard targets.count == 1, let clone = targets.first?.key else { return [] }
        return body.indices.compactMap { index in
            guard code.callee(of: body[index]) == clone else { return nil }
            return failure(at: index)
        }
    }

    private static let smallestClone: UInt64 = 0x200

    /// Whether a function copies a value of an enumeration with many variants: it begins with a jump by the second parameter's
    /// first byte.
    private func isClone(_ code: CodeReader, _ function: UInt64) -> Bool {
        guard let extent = code.file.functionExtent(containing: function), extent.lowerBound == function,
            extent.upperBound - extent.lowerBound >= Self.smallestClone
        else { return false }
        let head = code.instructions(in: extent, limit: 32)
        let source = UInt8(Register.parameters[1])
        guard let load = head.firstIndex(where: { $0.kind == TLSWATCH_OP_MOVZX && $0.second.isMemory }),
            head[load].second.base == source, head[load].second.value == 0, head[load].second.width == 1
        else { return false }
        return head[load...].contains { $0.kind == TLSWATCH_OP_JMP && $0.directTarget == nil }
    }

    /// Looked at behind the call.
    private static let behind = 14
    private static let kept: [UInt8] = [3, 5, 12, 13, 14, 15]

    /// What the code behind the call compares with the number of a state that is none: the connection's own.
    private func failure(at index: Int) -> RustlsCalls.Failure? {
        /// Registers that were loaded from a slot since, and what is added to it.
        var loaded: [UInt8: Int64] = [:]
        for instruction in body[(index + 1)...].prefix(Self.behind) {
            let (first, second) = (instruction.first, instruction.second)
            if instruction.kind == TLSWATCH_OP_CMP, first.isMemory, first.width == 1, second.isImmediate,
                first.base != UInt8(Register.rsp)
            {
                return failure(index, first, loaded) ?? failureByNext(index, instruction)
            }
            if instruction.kind == TLSWATCH_OP_LEA, first.isRegister, Self.kept.contains(second.base),
                second.value == state, second.index == UInt8(TLSWATCH_NO_REGISTER), loaded[second.base] == nil
            {
                // The address of the state itself: nothing else in it is so far behind its beginning.
                return make(index, ValuePlace(register: second.base), 0)
            }
            if instruction.kind == TLSWATCH_OP_MOV, first.isRegister, second.isMemory,
                second.base == UInt8(Register.rsp), second.index == UInt8(TLSWATCH_NO_REGISTER)
            {
                // The address of the state, for the function that drops what is there.
                if slots[second.value] == state {
                    return make(index, .memory(.rsp, offset: Int32(second.value)), state)
                }
                loaded[first.reg] = second.value
                continue
            }
            for register in 0..<16 where instruction.written >> UInt16(register) & 1 != 0 {
                loaded[UInt8(register)] = nil
            }
            if instruction.kind == TLSWATCH_OP_CALL || instruction.kind == TLSWATCH_OP_RET { return nil }
        }
        return nil
    }

    private func failure(_ index: Int, _ compared: Operand, _ loaded: [UInt8: Int64]) -> RustlsCalls.Failure? {
        if let slot = loaded[compared.base] {
            guard let value = slots[slot], value + compared.value == state else { return nil }
            return make(index, .memory(.rsp, offset: Int32(slot)), value)
        }
        guard compared.value == state, Self.kept.contains(compared.base) else { return nil }
        return make(index, ValuePlace(register: compared.base), 0)
    }

    /// A register has the state's address: where the state is dropped that was there, the connection's own register is used.
    private func failureByNext(_ index: Int, _ comparison: Instruction) -> RustlsCalls.Failure? {
        guard comparison.first.value == 0, Self.kept.contains(comparison.first.base),
            let place = body.firstIndex(where: { $0.address == comparison.end }), body[place].kind == TLSWATCH_OP_JCC,
            let target = body[place].directTarget, let start = body.firstIndex(where: { $0.address == target })
        else { return nil }
        for start in [start, place + 1] {
            for instruction in body[start...].prefix(6) where instruction.kind == TLSWATCH_OP_MOV {
                let source = instruction.second
                // A boxed state's address stands behind the number.
                if instruction.first.isRegister, source.isMemory, source.value == state + 8,
                    Self.kept.contains(source.base)
                {
                    return make(index, ValuePlace(register: source.base), 0)
                }
            }
        }
        return nil
    }

    /// - Parameter bytes: how far behind the connection's beginning the place's address is.
    private func make(_ index: Int, _ place: ValuePlace, _ bytes: Int64) -> RustlsCalls.Failure? {
        let common = common ?? 0
        guard let distance = UInt16(exactly: max(0, bytes - common)), bytes >= common || !place.isInMemory else {
            return nil
        }
        var place = place
        if bytes < common { place.offset += Int32(common - bytes) }
        return RustlsCalls.Failure(call: body[index].address, object: place, bytes: distance)
    }
}

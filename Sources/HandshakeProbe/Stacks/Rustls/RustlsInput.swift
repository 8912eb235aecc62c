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
    /// The calls behind which the connection's state is replaced by the error that was copied.
    private(set) var failures: [RustlsCalls.Failure] = []

    private static let limit = 40_000
    private static let prologue = 64

    /// - Parameter methods: of a state, whose last one it calls too; `nil` where it may not.
    init?(_ code: CodeReader, _ extent: Range<UInt64>, methods: Int?) {
        let body = code.instructions(in: extent, limit: Self.limit)
        func calls(_ slot: Int64) -> Bool {
            body.contains {
                $0.kind == TLSWATCH_OP_CALL && $0.first.isMemory && !$0.first.rip_relative && $0.first.value == slot
            }
        }
        guard calls(Int64(TraitTable.firstMethod)),
            methods.map({ calls(Int64(TraitTable.firstMethod + 8 * ($0 - 1))) }) ?? true
        else { return nil }
        // The connection is the second parameter: the result is written through the first.
        var registers: [UInt8: Int64] = [UInt8(Register.parameters[1]): 0]
        var slots: [Int64: Int64] = [:]
        var found: (state: Int64, placeholder: Int64)?
        for instruction in body.prefix(Self.prologue) {
            if instruction.kind == TLSWATCH_OP_CALL || instruction.kind == TLSWATCH_OP_JMP { break }
            let (first, second) = (instruction.first, instruction.second)
            if instruction.kind == TLSWATCH_OP_MOV, first.isMemory, first.width == 1, second.isImmediate,
                let base = registers[first.base], found == nil
            {
                found = (state: base + first.value, placeholder: second.value & 0xff)
            }
            Self.follow(instruction, &registers, &slots)
            if instruction.kind == TLSWATCH_OP_JCC, found != nil { break }
        }
        guard let found, found.state > 0, found.state < 1 << 15 else { return nil }
        (self.extent, self.body, self.slots) = (extent, body, Self.writtenOnce(slots, body))
        (state, placeholder) = found
        failures = findFailures(code)
    }

    /// One that is inlined in another function, where a placeholder is stored: behind an address of the connection if it is as far
    /// from that as elsewhere.
    init?(_ code: CodeReader, _ extent: Range<UInt64>, inlinedAt place: UInt64, states: Set<Int64>) {
        let body = code.instructions(in: extent, limit: Self.limit)
        // A prefix may stand before the opcode.
        guard let store = body.firstIndex(where: { $0.address <= place && place < $0.end }),
            body[store].kind == TLSWATCH_OP_MOV, body[store].first.isMemory, body[store].first.width == 1,
            body[store].second.isImmediate, states.contains(body[store].first.value),
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
        (self.extent, self.body, self.slots) = (extent, body, Self.writtenOnce(slots, body))
        (state, placeholder) = (body[store].first.value, body[store].second.value & 0xff)
        failures = findFailures(code)
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

    /// Of the slots those that a function writes once.
    private static func writtenOnce(_ slots: [Int64: Int64], _ body: [Instruction]) -> [Int64: Int64] {
        slots.filter { slot, _ in
            body.count { instruction in
                instruction.first.isMemory && instruction.first.base == UInt8(Register.rsp)
                    && instruction.first.index == UInt8(TLSWATCH_NO_REGISTER)
                    && instruction.kind != TLSWATCH_OP_CMP && instruction.kind != TLSWATCH_OP_TEST
                    && instruction.kind != TLSWATCH_OP_CALL && instruction.kind != TLSWATCH_OP_JMP
                    && instruction.first.value <= slot + 7
                    && instruction.first.value + Int64(max(1, instruction.first.width)) > slot
            } == 1
        }
    }

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

    private static let smallestClone: UInt64 = 0x300

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
        for instruction in body[start...].prefix(6) where instruction.kind == TLSWATCH_OP_MOV {
            let source = instruction.second
            // A boxed state's address stands behind the number.
            if instruction.first.isRegister, source.isMemory, source.value == state + 8, Self.kept.contains(source.base)
            {
                return make(index, ValuePlace(register: source.base), 0)
            }
        }
        return nil
    }

    private func make(_ index: Int, _ place: ValuePlace, _ bytes: Int64) -> RustlsCalls.Failure? {
        guard bytes >= 0, let bytes = UInt16(exactly: bytes) else { return nil }
        return RustlsCalls.Failure(call: body[index].address, object: place, bytes: bytes)
    }
}

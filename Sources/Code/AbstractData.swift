import CCapstone

/// What instructions do with registers and memory.
extension Run {
    mutating func transfer(_ instruction: Instruction, _ state: inout State) {
        let first = instruction.first
        let second = instruction.second
        switch instruction.kind {
        case TLSWATCH_OP_MOV: store(value(second, state), to: first, &state)
        case TLSWATCH_OP_MOVZX:
            store(value(second, state).truncated(to: Int(second.width)), to: first, &state)
        case TLSWATCH_OP_MOVSX:
            store(value(second, state).signExtended(from: Int(second.width)), to: first, &state)
        case TLSWATCH_OP_CDQE:
            state.registers[Register.rax] = state.registers[Register.rax].signExtended(from: 4)
        case TLSWATCH_OP_LEA: store(address(second, state).truncated(to: Int(first.width)), to: first, &state)
        case TLSWATCH_OP_PUSH:
            let pushed = value(first, state)
            move(&state, by: -8)
            if case .stack(let offset) = state.registers[Register.rsp] { state.put(pushed, at: offset) }
        case TLSWATCH_OP_POP:
            var popped = AbstractValue.unknown
            if case .stack(let offset) = state.registers[Register.rsp] { popped = state.stack[offset] ?? .unknown }
            move(&state, by: 8)
            store(popped, to: first, &state)
        case TLSWATCH_OP_LEAVE:
            let frame = state.registers[Register.rbp]
            if case .stack(let offset) = frame { state.registers[Register.rbp] = state.stack[offset] ?? .unknown }
            state.registers[Register.rsp] = frame.adding(8)
        case TLSWATCH_OP_ADD, TLSWATCH_OP_SUB, TLSWATCH_OP_AND, TLSWATCH_OP_XOR, TLSWATCH_OP_SHL, TLSWATCH_OP_SHR,
            TLSWATCH_OP_SAR:
            let (left, right) = (value(first, state), value(second, state))
            let result = arithmetic(instruction, left, right)
            let width = Int(first.width)
            if instruction.kind == TLSWATCH_OP_AND, case .constant(let mask) = right.truncated(to: width) {
                test(left, mask)
            }
            store(result.truncated(to: width), to: first, &state)
            state.flags = .unknown
            if second.isStackGuard { state.flags = .compare(0, 0, 8) }
            // These leave neither carry nor overflow, as `test` does.
            if instruction.kind == TLSWATCH_OP_AND || instruction.kind == TLSWATCH_OP_XOR,
                case .constant(let value) = result.truncated(to: width)
            {
                state.flags = .test(value, width)
            }
        case TLSWATCH_OP_BT:
            if second.isImmediate, (0..<64).contains(second.value) {
                test(value(first, state), 1 << UInt64(second.value))
            }
            state.flags = .unknown
        case TLSWATCH_OP_CMOV:
            switch state.flags.decides(instruction.condition) {
            case true?: store(value(second, state), to: first, &state)
            case false?: break
            case nil:
                // Both outcomes, as at a branch.
                var other = state
                store(value(second, state), to: first, &other)
                fork(other)
            }
        default:
            for register in 0..<16 where instruction.written >> UInt16(register) & 1 != 0 {
                state.registers[register] = .unknown
            }
            if first.isMemory { store(.unknown, to: first, &state) }
            state.flags = .unknown
        }
    }

    func move(_ state: inout State, by amount: Int64) {
        state.registers[Register.rsp] = state.registers[Register.rsp].adding(UInt64(bitPattern: amount))
    }

    func arithmetic(_ instruction: Instruction, _ left: AbstractValue, _ right: AbstractValue) -> AbstractValue {
        if instruction.kind == TLSWATCH_OP_XOR, instruction.first.isRegister, instruction.second.isRegister,
            instruction.first.reg == instruction.second.reg
        {
            return .constant(0)
        }
        guard case .constant(let right) = right else {
            if instruction.kind == TLSWATCH_OP_ADD, case .constant(let left) = left { return right.adding(left) }
            return .unknown
        }
        switch instruction.kind {
        case TLSWATCH_OP_ADD: return left.adding(right)
        case TLSWATCH_OP_SUB: return left.adding(0 &- right)
        default: break
        }
        guard case .constant(let left) = left else { return bits(instruction, left, right) }
        switch instruction.kind {
        case TLSWATCH_OP_AND: return .constant(left & right)
        case TLSWATCH_OP_XOR: return .constant(left ^ right)
        case TLSWATCH_OP_SHL: return .constant(left << (right & 63))
        case TLSWATCH_OP_SHR: return .constant(left >> (right & 63))
        default: return .unknown
        }
    }

    /// A field shifted right: its upper bytes, which stand one further, or its upper bits.
    func bits(_ instruction: Instruction, _ value: AbstractValue, _ shift: UInt64) -> AbstractValue {
        guard instruction.kind == TLSWATCH_OP_SHR || instruction.kind == TLSWATCH_OP_SAR, shift > 0,
            case .place(let place, let width) = value, value.field != nil, shift < UInt64(width) * 8
        else { return .unknown }
        if shift == 8, width == 2 || width == 4, let upper = place.skippingLoaded(1) {
            return .place(upper, width: width - 1)
        }
        return .bits(place, width: width, shift: UInt8(shift))
    }

    func address(_ operand: Operand, _ state: State) -> AbstractValue {
        guard operand.isMemory, !operand.opaque_address else { return .unknown }
        var address = AbstractValue.constant(UInt64(bitPattern: operand.value))
        if operand.index != UInt8(TLSWATCH_NO_REGISTER) {
            guard case .constant(let index) = state.registers[Int(operand.index & 15)] else { return .unknown }
            address = address.adding(index &* UInt64(operand.scale))
        }
        guard operand.base != UInt8(TLSWATCH_NO_REGISTER), case .constant(let offset) = address else { return address }
        return state.registers[Int(operand.base & 15)].adding(offset)
    }

    /// The table that a load by an unknown index is of: `movsxd rax, [table + 4 * rax]`.
    func jumpTable(_ operand: Operand, _ state: State) -> UInt64? {
        guard operand.width == 4, operand.scale == 4, operand.index != UInt8(TLSWATCH_NO_REGISTER),
            operand.base != UInt8(TLSWATCH_NO_REGISTER), !operand.opaque_address, operand.value == 0,
            case .constant(let table) = state.registers[Int(operand.base & 15)]
        else { return nil }
        if case .constant = state.registers[Int(operand.index & 15)] { return nil }
        return table
    }

    func value(_ operand: Operand, _ state: State) -> AbstractValue {
        if operand.isImmediate { return .constant(UInt64(bitPattern: operand.value)) }
        if operand.isRegister { return state.registers[Int(operand.reg & 15)].truncated(to: Int(operand.width)) }
        let width = Int(operand.width)
        guard [1, 2, 4, 8].contains(width) else { return .unknown }
        if limits.followsJumpTables, let table = jumpTable(operand, state) { return .tableEntry(table) }
        switch address(operand, state) {
        case .unknown, .bits, .tableEntry, .tableTarget: return .unknown
        case .stack(let offset): return (state.stack[offset] ?? .unknown).truncated(to: width)
        case .place(let place, _):
            if width <= 4, let known = limits.assumptions[place] {
                return AbstractValue.constant(known).truncated(to: width)
            }
            return place.loaded().map { .place($0, width: UInt8(width)) } ?? .unknown
        case .constant(let address): return load(address, width)
        }
    }

    /// A constant of the file: a pointer that the loader sets, or bytes that nothing may change.
    func load(_ address: UInt64, _ width: Int) -> AbstractValue {
        if width == 8, let pointer = code.file.pointer(at: address) { return .constant(pointer) }
        guard let segment = code.file.segment(at: address), !segment.isWritable,
            let bytes = code.file.bytes(at: address, count: width)
        else { return .unknown }
        return .constant(bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) })
    }

    mutating func store(_ value: AbstractValue, to operand: Operand, _ state: inout State) {
        if operand.isRegister {
            // Narrow writes keep the rest of the register, which nobody here needs: what is asked of bits is where they are.
            var kept = operand.width >= 4 ? value.truncated(to: Int(operand.width)) : .unknown
            if case .bits = value { kept = value }
            state.registers[Int(operand.reg & 15)] = kept
            return
        }
        guard operand.isMemory else { return }
        switch address(operand, state) {
        case .stack(let offset):
            let kept = value.truncated(to: Int(operand.width))
            state.put(kept, at: offset)
            if limits.tellsStack, kept != .unknown { emit(.kept(offset, kept)) }
        case .place(let place, _): emit(.stored(place, value.truncated(to: Int(operand.width))))
        default: break
        }
    }
}

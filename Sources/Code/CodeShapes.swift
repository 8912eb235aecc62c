import CCapstone

/// The conditions of conditional jumps, by the low four bits of their opcodes (Intel SDM, appendix B.1.4).
package enum Condition {
    package static let equal: UInt8 = 4
    package static let notEqual: UInt8 = 5
    package static let above: UInt8 = 7
    package static let lessOrEqual: UInt8 = 14
    package static let greater: UInt8 = 15
}

extension Instruction {
    /// Whether something else than the next instruction may follow, or nothing.
    package var branches: Bool {
        switch kind {
        case TLSWATCH_OP_CALL, TLSWATCH_OP_JMP, TLSWATCH_OP_JCC, TLSWATCH_OP_RET, TLSWATCH_OP_TRAP: true
        default: false
        }
    }

    /// Whether it holds the stack protector's value against the one that the function has kept.
    package var comparesStackGuard: Bool {
        second.isStackGuard && [TLSWATCH_OP_SUB, TLSWATCH_OP_CMP, TLSWATCH_OP_XOR].contains(kind)
    }
}

extension Operand {
    /// The stack protector's value (fs:0x28).
    package var isStackGuard: Bool {
        isMemory && opaque_address && value == 0x28 && base == UInt8(TLSWATCH_NO_REGISTER)
            && index == UInt8(TLSWATCH_NO_REGISTER)
    }
}

extension ELFFile {
    /// Bytes of code.
    package var codeSize: UInt64 {
        codeRanges.reduce(0) { $0.addingClamped($1.upperBound - $1.lowerBound) }
    }
}

extension Register {
    /// The register that a function's first parameter is copied to at its beginning, of those that calls leave alone, and by which
    /// instruction; nothing else is put into it but what was there before, in the end.
    ///
    /// - Parameters:
    ///   - count: instructions that are the beginning.
    ///   - stops: it ends before these kinds, too.
    package static func copyOfParameter(
        in body: [Instruction], within count: Int, before stops: [tlswatch_operation] = []
    ) -> (register: Int, index: Int)? {
        for (index, instruction) in body.prefix(count).enumerated() {
            if stops.contains(instruction.kind) { return nil }
            guard instruction.kind == TLSWATCH_OP_MOV, instruction.first.isRegister, instruction.second.isRegister,
                Int(instruction.second.reg) == parameters[0], instruction.first.width == 8,
                case let register = Int(instruction.first.reg), !clobbered.contains(register)
            else { continue }
            let writers = body.filter { $0.written >> UInt16(register) & 1 != 0 }
            return writers.allSatisfy { $0.address == instruction.address || $0.kind == TLSWATCH_OP_POP }
                ? (register, index) : nil
        }
        return nil
    }
}

import CCapstone

package typealias Instruction = tlswatch_instruction
package typealias Operand = tlswatch_operand

/// Decodes a file's instructions at their addresses. Not for use by two threads.
///
/// Owns its decoder: created with it, destroyed with it, and never handed out.
@safe
package final class CodeReader {
    package let file: ELFFile
    private let decoder: OpaquePointer?
    private var window: [UInt8] = []
    private var windowStart: UInt64 = 0
    /// Whoever follows a function's paths comes to the same instructions many times.
    private var decoded: [UInt64: Instruction] = [:]

    private static let decodedLimit = 4096
    private static let windowSize = 4096
    /// The architecture's longest instruction, in bytes.
    private static let longest: UInt64 = 15

    package init(_ file: ELFFile) {
        self.file = file
        unsafe decoder = tlswatch_decoder_create()
    }

    deinit { unsafe tlswatch_decoder_destroy(decoder) }

    /// The instruction at `address`, cut off at `end`; `nil` where there is none.
    package func instruction(at address: UInt64, before end: UInt64 = .max) -> Instruction? {
        guard address < end else { return nil }
        if let known = decoded[address], known.end <= end { return known }
        let inside = address >= windowStart && address - windowStart < UInt64(window.count)
        if !inside || UInt64(window.count) - (address - windowStart) < Self.longest {
            window = file.isCode(address) ? file.bytes(at: address, upTo: Self.windowSize) : []
            windowStart = address
        }
        guard !window.isEmpty else { return nil }
        let offset = Int(address - windowStart)
        let count = Int(min(UInt64(window.count - offset), end - address))
        var result = Instruction()
        let isDecoded = unsafe window.withUnsafeBufferPointer { buffer in
            unsafe tlswatch_decode(decoder, buffer.baseAddress.map { unsafe $0 + offset }, count, address, &result)
        }
        guard isDecoded, result.size > 0 else { return nil }
        if decoded.count >= Self.decodedLimit { decoded.removeAll(keepingCapacity: true) }
        decoded[address] = result
        return result
    }
}

extension CodeReader {
    /// The instructions of a function in the order of their addresses, `limit` at most; up to what is none.
    package func instructions(in extent: Range<UInt64>, limit: Int) -> [Instruction] {
        var instructions: [Instruction] = []
        var address = extent.lowerBound
        while instructions.count < limit, let next = instruction(at: address, before: extent.upperBound) {
            instructions.append(next)
            address = next.end
        }
        return instructions
    }
}

extension tlswatch_instruction {
    package var kind: tlswatch_operation { tlswatch_operation(UInt32(operation)) }
    package var end: UInt64 { address &+ UInt64(size) }
    /// Where a direct jump or call goes.
    package var directTarget: UInt64? {
        switch kind {
        case TLSWATCH_OP_CALL, TLSWATCH_OP_JMP, TLSWATCH_OP_JCC:
            first.kind == TLSWATCH_OPERAND_IMMEDIATE.rawByte ? UInt64(bitPattern: first.value) : nil
        default: nil
        }
    }
}

extension tlswatch_operand {
    package var isRegister: Bool { kind == TLSWATCH_OPERAND_REGISTER.rawByte }
    package var isImmediate: Bool { kind == TLSWATCH_OPERAND_IMMEDIATE.rawByte }
    package var isMemory: Bool { kind == TLSWATCH_OPERAND_MEMORY.rawByte }
}

extension tlswatch_operand_kind {
    var rawByte: UInt8 { UInt8(truncatingIfNeeded: rawValue) }
}

/// The registers of the System V calling convention, by their numbers in the encoding.
package enum Register {
    package static let rax = 0
    package static let rsp = 4
    package static let rbp = 5
    /// rdi, rsi, rdx, rcx, r8, r9.
    package static let parameters = [7, 6, 2, 1, 8, 9]
    /// The lowest of a set that calls leave alone; `nil` where it has none.
    package static func first(of set: UInt16) -> Int? {
        (0..<16).first { set >> UInt16($0) & 1 != 0 && !clobbered.contains($0) }
    }

    /// What a called function may change.
    package static let clobbered = [0, 1, 2, 6, 7, 8, 9, 10, 11]
}

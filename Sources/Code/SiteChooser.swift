import CCapstone

/// How the kernel executes the instruction under a probe: this decides the cost of a hit.
package enum SiteMode: String, Sendable, Codable {
    /// Emulated by the kernel: under a microsecond.
    case emulated
    /// Single-stepped out of line: some 15 µs in a virtual machine.
    case singleStep = "single_step"
}

/// Where to put a probe into a function, and how the kernel will execute the instruction there.
package struct ChosenSite: Equatable {
    package var address: UInt64
    package var mode: SiteMode
    /// Why the site is not a cheap one.
    package var note: String?
}

/// Chooses the instruction of a function's beginning at which a probe costs least.
///
/// The kernel emulates `push`, the relative `jmp`, `call` and conditional jumps, and the one-byte
/// `nop`; it executes any other out of line with a single step, at twenty times the cost. Only
/// instructions that every call executes exactly once are considered: those before the first
/// jump, and that jump itself. A jump or `nop` costs less than a `push` or `call`, for which the
/// kernel writes to the target's stack (0.2 µs in a handshake).
package struct SiteChooser {
    package let code: CodeReader
    /// Instructions looked at before giving up on a cheap one.
    private static let prologueLimit = 64
    /// Instructions searched for a jump back to the site.
    private static let bodyLimit = 20_000

    package init(code: CodeReader) { self.code = code }

    /// A site in the function that begins at `function.lowerBound`, at which the named parameters
    /// (0 first) are still in their registers and, with `needsReturn`, the return address is still
    /// at the top of the stack. `nil` where no site is right.
    package func choose(_ function: Range<UInt64>, parameters: [Int], needsReturn: Bool) -> ChosenSite? {
        let needed = parameters.reduce(into: UInt16(0)) { mask, number in
            if Register.parameters.indices.contains(number) { mask |= 1 << UInt16(Register.parameters[number]) }
        }
        let kept = needsReturn ? needed | 1 << UInt16(Register.rsp) : needed
        let (cheap, reason) = emulated(function, kept)
        for site in cheap where !isJumpedTo(site, function) { return ChosenSite(address: site, mode: .emulated) }
        guard let first = firstInstruction(function), !isJumpedTo(first, function) else { return nil }
        let note = cheap.isEmpty ? reason : "a loop leads back to its first cheap instruction"
        return ChosenSite(address: first, mode: .singleStep, note: note)
    }

    private func firstInstruction(_ function: Range<UInt64>) -> UInt64? {
        guard let first = code.instruction(at: function.lowerBound, before: function.upperBound) else { return nil }
        guard first.kind == TLSWATCH_OP_ENDBR else { return first.address }
        return code.instruction(at: first.end, before: function.upperBound)?.address
    }

    /// Instructions that the kernel emulates, the cheapest first: the first that leaves the stack alone, and the first that does
    /// not; and why there is none.
    private func emulated(_ function: Range<UInt64>, _ kept: UInt16) -> (sites: [UInt64], reason: String) {
        var address = function.lowerBound
        var written: UInt16 = 0
        var dearer: [UInt64] = []
        for _ in 0..<Self.prologueLimit {
            guard let instruction = code.instruction(at: address, before: function.upperBound) else { break }
            if Self.isEmulated(instruction) {
                if Self.leavesStack(instruction) { return ([address] + dearer, "") }
                if dearer.isEmpty { dearer = [address] }
            }
            if instruction.branches {
                return (dearer, "it ends, or branches, before an instruction that the kernel emulates")
            }
            written |= instruction.written
            if written & kept != 0 {
                return (dearer, "its parameters or the stack move before an instruction that the kernel emulates")
            }
            address = instruction.end
        }
        return (dearer, "its beginning has no instruction that the kernel emulates")
    }

    /// Whether a jump inside the function leads to `site`, or behind its beginning and so through the
    /// site again: then one call could hit it twice.
    private func isJumpedTo(_ site: UInt64, _ function: Range<UInt64>) -> Bool {
        var address = function.lowerBound
        for _ in 0..<Self.bodyLimit {
            guard let instruction = code.instruction(at: address, before: function.upperBound) else { return false }
            if instruction.kind == TLSWATCH_OP_JMP || instruction.kind == TLSWATCH_OP_JCC,
                let target = instruction.directTarget, target >= function.lowerBound, target <= site,
                address >= site
            {
                return true
            }
            address = instruction.end
        }
        return false
    }

    /// Whether what the kernel emulates is a jump or `nop`: for `push` and `call` it writes to the target's memory.
    package static func leavesStack(_ instruction: Instruction) -> Bool {
        switch instruction.kind {
        case TLSWATCH_OP_JMP, TLSWATCH_OP_JCC, TLSWATCH_OP_NOP: true
        default: false
        }
    }

    /// Whether the kernel emulates the instruction under a probe (`arch/x86/kernel/uprobes.c`:
    /// `branch_setup_xol_ops`, `push_setup_xol_ops`). Of prefixed forms only `addr32 call` counts, which linkers put
    /// in the place of a call through a table.
    package static func isEmulated(_ instruction: Instruction) -> Bool {
        switch (instruction.byte0, instruction.byte1, instruction.size) {
        case (0x50...0x57, _, 1), (0x41, 0x50...0x57, 2): true
        case (0xeb, _, 2), (0xe9, _, 5), (0xe8, _, 5): true
        case (0x70...0x7f, _, 2), (0x0f, 0x80...0x8f, 6): true
        case (0x67, 0xe8, 6): true
        case (0x90, _, 1): true
        default: false
        }
    }
}

import CCapstone
import Code

/// Hidden functions by their names, which some libraries print where they meet an error (`__func__`).
struct DebugNames {
    /// Where they begin; of those that no one function has, none.
    private(set) var functions: [String: UInt64] = [:]

    private static let searchLimit: UInt64 = 64 << 20
    private static let textLimit = 8

    init(_ code: CodeReader, _ names: [String]) {
        var texts: [UInt64: String] = [:]
        for name in names {
            var found = 0
            DataSearch.findAddresses(code.file, "\0" + name + "\0", limit: Self.searchLimit) { address in
                texts[address &+ 1] = name
                found += 1
                return found >= Self.textLimit
            }
        }
        guard !texts.isEmpty else { return }
        var users: [String: Set<UInt64>] = [:]
        // `lea register, [rip + distance]`: the byte behind the opcode says which register, the one before it is a prefix.
        CodeSearch.visit(code.file, opcode: 0x8d) { address, number in
            guard number & 0xc7 == 5 else { return }
            for (text, name) in texts where UInt32(truncatingIfNeeded: text &- address &- 6) & 0xff_ffff == number >> 8
            {
                guard address > 0, let instruction = code.instruction(at: address - 1),
                    instruction.kind == TLSWATCH_OP_LEA, instruction.second.rip_relative,
                    UInt64(bitPattern: instruction.second.value) == text,
                    let function = code.file.functionExtent(containing: address)
                else { continue }
                users[name, default: []].insert(function.lowerBound)
            }
        }
        for (name, starts) in users {
            // What a compiler has split off from a function is jumped to, and neither called nor pointed to.
            guard starts.count == 1, let start = starts.first,
                code.file.hasPointer(to: start) || !CodeSearch.calls(code.file, of: start).isEmpty
            else { continue }
            functions[name] = start
        }
    }
}

import CCapstone

/// The ways through a function: which instruction may follow which.
///
/// Of an indirect jump all places are taken for possible that a table of jumps in the function's reach names.
package struct FunctionGraph {
    package let instructions: [Instruction]
    /// By an instruction's place, the places of those that may follow it in the function.
    package private(set) var successors: [[Int32]] = []
    /// Instructions that leave the function.
    private var isExit: [Bool] = []
    private let indices: [UInt64: Int]

    /// More instructions than the longest function has that is worth it.
    private static let limit = 60_000
    private static let tableLimit = 1024

    package init(_ code: CodeReader, _ function: Range<UInt64>) {
        instructions = code.instructions(in: function, limit: Self.limit)
        indices = Dictionary(uniqueKeysWithValues: instructions.enumerated().map { ($1.address, $0) })
        let jumps = Self.jumpTargets(code.file, instructions, indices)
        successors.reserveCapacity(instructions.count)
        for index in instructions.indices {
            let (next, leaves) = follow(index, jumps)
            successors.append(next)
            isExit.append(leaves)
        }
    }

    /// The place of the instruction at an address.
    package func index(of address: UInt64) -> Int? { indices[address] }

    private func follow(_ index: Int, _ jumps: [Int32]) -> (next: [Int32], leaves: Bool) {
        let instruction = instructions[index]
        let behind = index + 1 < instructions.count ? [Int32(index + 1)] : []
        switch instruction.kind {
        case TLSWATCH_OP_RET: return ([], true)
        case TLSWATCH_OP_TRAP: return ([], false)
        case TLSWATCH_OP_JMP:
            guard let target = instruction.directTarget else { return (jumps, false) }
            return indices[target].map { ([Int32($0)], false) } ?? ([], true)
        case TLSWATCH_OP_JCC:
            guard let target = instruction.directTarget, let place = indices[target] else { return (behind, true) }
            return (behind + [Int32(place)], false)
        default: return (behind, false)
        }
    }

    private static func jumpTargets(
        _ file: ELFFile, _ instructions: [Instruction], _ indices: [UInt64: Int]
    ) -> [Int32] {
        var targets: Set<Int32> = []
        for instruction in instructions where instruction.kind == TLSWATCH_OP_LEA && instruction.second.rip_relative {
            let table = UInt64(bitPattern: instruction.second.value)
            let bytes = file.bytes(at: table, upTo: 4 * tableLimit)
            for offset in stride(from: 0, to: bytes.count - 3, by: 4) {
                guard let distance = bytes.u32(at: offset),
                    let place = indices[table &+ UInt64(bitPattern: Int64(Int32(bitPattern: distance)))]
                else { break }
                targets.insert(Int32(place))
            }
        }
        return targets.sorted()
    }

    /// Whether each instruction is come to from `starts` without passing `walls`.
    package func reached(from starts: [Int], avoiding walls: [Int]) -> [Bool] {
        var seen = [Bool](repeating: false, count: instructions.count)
        for wall in walls { seen[wall] = true }
        var waiting = starts.filter { !seen[$0] }
        for start in waiting { seen[start] = true }
        while let next = waiting.popLast() {
            for place in successors[next] where !seen[Int(place)] {
                seen[Int(place)] = true
                waiting.append(Int(place))
            }
        }
        for wall in walls { seen[wall] = false }
        return seen
    }

    private func leaves(_ reached: [Bool]) -> Bool {
        reached.indices.contains { reached[$0] && isExit[$0] }
    }

    /// Whether a loop leads back to the instruction.
    private func isRepeated(_ index: Int) -> Bool {
        reached(from: successors[index].map { Int($0) }, avoiding: [])[index]
    }

    /// The nearest instruction that the kernel emulates and that is passed once exactly where one of `events` is, before or behind it.
    ///
    /// - Parameter distance: how many instructions away it may be.
    package func site(for events: [Int], within distance: Int) -> UInt64? {
        guard !events.isEmpty, !instructions.isEmpty else { return nil }
        let all = reached(from: [0], avoiding: [])
        let without = reached(from: [0], avoiding: events)
        let candidates = instructions.indices.filter { index in
            all[index] && SiteChooser.isEmulated(instructions[index])
                && events.contains { abs($0 - index) <= distance }
        }.sorted { left, right in nearest(left, events) < nearest(right, events) }
        for candidate in candidates where !events.contains(candidate) && !isRepeated(candidate) {
            if !without[candidate] {
                // Behind: come to through an event alone, and no way leads past it.
                if !leaves(reached(from: events, avoiding: [candidate])) { return instructions[candidate].address }
            } else {
                // Before: no event without it, and no way out behind it without one.
                let skipping = reached(from: [0], avoiding: [candidate])
                guard !events.contains(where: { skipping[$0] }) else { continue }
                if !leaves(reached(from: [candidate], avoiding: events)) { return instructions[candidate].address }
            }
        }
        return nil
    }

    private func nearest(_ index: Int, _ events: [Int]) -> Int { events.map { abs($0 - index) }.min() ?? .max }
}

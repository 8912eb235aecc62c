import Code

/// The states of rustls's handshakes: the implementations of its trait State, told by the tables of their trait objects.
///
/// A state's first method handles a message and makes the next state, whose table it therefore names. Most states have the
/// trait's default for the other methods: who shares one along such an edge is of the family.
struct RustlsStates {
    /// One that waits for a message of the handshake.
    struct Waiting: Equatable {
        /// The method that handles a message.
        var handle: UInt64
        /// Of its value, in bytes: the least of those that share the method.
        var size: Int
    }

    /// In the order of their code.
    let waiting: [Waiting]
    /// The methods of those in `waiting` that lead to one another: of each role, and of each copy of rustls.
    let connected: [Set<UInt64>]
    /// The tables of the states after the handshake.
    let traffic: Set<UInt64>
    /// How many methods the trait has, and where in a table the first one stands.
    let methods: Int
    let firstMethod: Int
    /// What drops a client's state that waits for the ServerHello, and its size; `nil` where it is not told from others.
    let awaitsHello: (drop: UInt64, size: Int)?
    /// By the method that handles a message: the addresses that it takes.
    let addresses: [UInt64: [(at: UInt64, target: UInt64)]]

    private static let fewestEdges = 4
    /// A state has at least a configuration, a transcript and secrets.
    private static let smallestState = 0x41

    private struct Slot: Hashable {
        var number: Int
        var function: UInt64
    }

    /// - Parameter others: the other releases that the file holds.
    init?(
        _ code: CodeReader, _ tables: [TraitTable], _ taken: TakenAddresses, _ release: RustlsRelease,
        besides others: [RustlsRelease]
    ) {
        let file = code.file
        let byAddress = Dictionary(tables.map { ($0.address, $0) }) { first, _ in first }
        let addresses = taken.of
        func isOf(_ release: RustlsRelease, _ table: TraitTable) -> Bool {
            addresses(table.methods[0]).contains { Self.isOwnSource(file, $0.target, release) }
        }
        // Who shares a method with a state that it leads to.
        var shared: [Slot: Int] = [:]
        for table in tables {
            for (_, target) in addresses(table.methods[0]) where target != table.address {
                guard let next = byAddress[target] else { continue }
                for (number, (own, other)) in zip(table.methods, next.methods).enumerated()
                where number > 0 && own == other {
                    shared[Slot(number: number, function: own), default: 0] += 1
                }
            }
        }
        let defaults = shared.filter { $0.value >= Self.fewestEdges }.keys
        let candidates = tables.filter { table in
            table.size >= Self.smallestState
                && defaults.contains {
                    table.methods.indices.contains($0.number) && table.methods[$0.number] == $0.function
                }
        }
        // Others' state machines are built alike: of rustls's own some name its source files.
        let own = Set(defaults).filter { slot in
            candidates.contains { table in
                table.methods.indices.contains(slot.number) && table.methods[slot.number] == slot.function
                    && isOf(release, table)
            }
        }
        var family = candidates.filter { table in
            own.contains { table.methods.indices.contains($0.number) && table.methods[$0.number] == $0.function }
        }
        guard let least = family.map(\.methods.count).min() else { return nil }
        // A part of the library that was compiled by itself has its own copies of the defaults.
        let certain = others.isEmpty ? family : family.filter { isOf(release, $0) }
        let count = Self.commonest(certain.map(\.methods.count))
        let first = Self.commonest(family.map(\.firstMethod))
        let alike = tables.filter {
            $0.methods.count == count && $0.firstMethod == first && $0.size >= Self.smallestState
                && Self.isExporter(file, $0.methods[1], release)
        }
        let found = Set(family.map(\.address))
        family += alike.filter { !found.contains($0.address) }
        // What has a default of none of the slots is named by one that has.
        var known = Set(family.map(\.address))
        var index = 0
        while index < family.count {
            for (_, target) in addresses(family[index].methods[0]) {
                guard let next = byAddress[target], next.methods.count >= least, next.size >= Self.smallestState,
                    known.insert(target).inserted
                else { continue }
                family.append(next)
            }
            index += 1
        }
        if !others.isEmpty {
            // Two releases' defaults may be one function: what is connected is of one.
            family.removeAll { $0.methods.count != count }
            let parts = Self.components(family.map { Self.surroundings($0, addresses, known) })
            let foreign = parts.filter { part in
                family.contains { table in
                    part.contains(table.address) && others.contains { isOf($0, table) }
                }
            }
            family.removeAll { table in foreign.contains { $0.contains(table.address) } }
        }
        let exporters = Set(own.filter { $0.number == 1 }.map(\.function)).union(alike.map { $0.methods[1] })
        let after = family.filter { !exporters.contains($0.methods[1]) }
        let before = family.filter { exporters.contains($0.methods[1]) }
        guard !after.isEmpty, before.count >= Self.fewestEdges else { return nil }
        traffic = Set(after.map(\.address))
        (methods, firstMethod) = (count, first)
        var sizes: [UInt64: Int] = [:]
        for table in before { sizes[table.methods[0]] = min(sizes[table.methods[0]] ?? .max, table.size) }
        waiting = sizes.map { Waiting(handle: $0.key, size: $0.value) }.sorted { $0.handle < $1.handle }
        self.addresses = taken.known.filter { sizes[$0.key] != nil }
        awaitsHello = Self.inner(of: before, code)
        let members = Set(family.map(\.address))
        connected = Self.components(family.map { Self.surroundings($0, addresses, members) }).map {
            $0.filter { sizes[$0] != nil }
        }.filter { !$0.isEmpty }
    }

    /// Whether a function is the trait's default for `export_keying_material`: it fails, for the handshake is not complete.
    private static func isExporter(_ file: ELFFile, _ function: UInt64, _ release: RustlsRelease) -> Bool {
        // mov rax, rdi; mov byte [rdi], number; ret
        file.bytes(at: function, count: 7) == [0x48, 0x89, 0xf8, 0xc6, 0x07, UInt8(release.notComplete), 0xc3]
    }

    /// A state's table and method, and the tables of those that it leads to.
    private static func surroundings(
        _ table: TraitTable, _ addresses: (UInt64) -> [(at: UInt64, target: UInt64)], _ members: Set<UInt64>
    ) -> Set<UInt64> {
        Set([table.address, table.methods[0]] + addresses(table.methods[0]).map(\.target).filter(members.contains))
    }

    /// Sets with a common element are one.
    private static func components(_ sets: [Set<UInt64>]) -> [Set<UInt64>] {
        var found: [Set<UInt64>] = []
        for set in sets {
            let touched = found.filter { !$0.isDisjoint(with: set) }
            found.removeAll { !$0.isDisjoint(with: set) }
            found.append(touched.reduce(set) { $0.union($1) })
        }
        return found
    }

    private static func commonest(_ numbers: [Int]) -> Int {
        let counts = numbers.reduce(into: [Int: Int]()) { $0[$1, default: 0] += 1 }
        return counts.max { ($0.value, $0.key) < ($1.value, $1.key) }?.key ?? 0
    }

    /// Whether a panic's place in a source file of rustls stands there: the text's address and length, line and column.
    private static func isOwnSource(_ file: ELFFile, _ address: UInt64, _ release: RustlsRelease) -> Bool {
        guard let text = file.pointer(at: address), let length = file.bytes(at: address &+ 8, count: 8)?.u64(at: 0),
            length > 8, length < 300, let bytes = file.bytes(at: text, count: Int(length))
        else { return false }
        return String(decoding: bytes, as: UTF8.self).contains("/rustls-0.\(release.series).")
    }

    /// The state that another one has inside: a client may get a HelloRetryRequest instead of the ServerHello, and the state
    /// that waits for either wraps the one that waits for the latter. No other two are so.
    private static func inner(of states: [TraitTable], _ code: CodeReader) -> (drop: UInt64, size: Int)? {
        let byDrop = Dictionary(states.map { ($0.drop, $0) }) { first, _ in first }
        var found: [UInt64: Int] = [:]
        for outer in byDrop.values {
            guard let extent = code.file.functionExtent(containing: outer.drop), extent.lowerBound == outer.drop else {
                continue
            }
            for instruction in code.instructions(in: extent, limit: 2_000) {
                guard let target = instruction.directTarget ?? code.callee(of: instruction), target != outer.drop,
                    let inner = byDrop[target],
                    inner.size < outer.size
                else { continue }
                found[target] = inner.size
            }
        }
        return found.count == 1 ? found.first.map { (drop: $0.key, size: $0.value) } : nil
    }
}

/// The addresses that a file's functions take, each looked at once, whatever the release.
final class TakenAddresses {
    private let file: ELFFile
    private(set) var known: [UInt64: [(at: UInt64, target: UInt64)]] = [:]

    private static let largestHandle: UInt64 = 1 << 18

    init(_ file: ELFFile) { self.file = file }

    /// Of a function that begins there, and is no longer than one that handles a message.
    func of(_ function: UInt64) -> [(at: UInt64, target: UInt64)] {
        if let found = known[function] { return found }
        var found: [(at: UInt64, target: UInt64)] = []
        if let extent = file.functionExtent(containing: function), extent.lowerBound == function,
            extent.upperBound - extent.lowerBound <= Self.largestHandle
        {
            found = file.addressesTaken(in: extent)
        }
        known[function] = found
        return found
    }
}

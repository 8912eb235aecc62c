/// The table behind a Rust trait object: what drops the value, its size and alignment, its methods. Pointers in it are relocated,
/// so that it is found in a stripped file as well.
package struct TraitTable: Sendable, Equatable {
    package var address: UInt64
    /// The function that drops a value in place.
    package var drop: UInt64
    /// Of a value, in bytes.
    package var size: Int
    /// In the order of the slots.
    package var methods: [UInt64]
    /// Where the first method stands in it, in bytes: behind the tables of the traits that its own extends, which older compilers
    /// name there.
    package var firstMethod = Self.smallest

    /// What each has before the methods: three words.
    package static let smallest = 24
    /// Of the tables of other traits that are named.
    package static let mostTraits = 2
}

extension ELFFile {
    private static let fewestMethods = 3
    private static let mostMethods = 40
    private static let largestValue: UInt64 = 1 << 16
    /// More tables than real programs have (130 MB of Rust: 60,000).
    private static let tableLimit = 1 << 18

    /// The tables of trait objects with three methods or more, or two behind the tables of other traits, whose values have
    /// something to drop, as far as relocations show them: none in a file linked to fixed addresses.
    package var traitTables: [TraitTable] {
        let relocations = relocations
        var window = DataWindow(self)
        let (addresses, values) = (relocations.addresses, relocations.values)
        var found = Self.traitTables(addresses, { values[$0] }, isCode, &window)
        var pointers = DataWindow(self)
        let packed = relocations.packed
        found += Self.traitTables(packed, { pointers.u64(at: packed[$0]) ?? 0 }, isCode, &window)
        return found
    }

    /// - Parameter value: what stands at the address with this index.
    private static func traitTables(
        _ addresses: [UInt64], _ value: (Int) -> UInt64, _ isCode: (UInt64) -> Bool, _ window: inout DataWindow
    ) -> [TraitTable] {
        var tables: [TraitTable] = []
        var index = 0
        while index + fewestMethods < addresses.count, tables.count < tableLimit {
            defer { index += 1 }
            let start = addresses[index]
            // Size and alignment are no pointers.
            guard addresses[index + 1] == start &+ 24, let layout = window.layout(at: start &+ 8) else { continue }
            let drop = value(index)
            guard isCode(drop) else { continue }
            var methods: [UInt64] = []
            var next = index + 1
            var first = TraitTable.smallest
            while next < addresses.count, next - index <= TraitTable.mostTraits,
                addresses[next] == start &+ UInt64(first), !isCode(value(next))
            {
                first += 8
                next += 1
            }
            while next < addresses.count, methods.count < mostMethods,
                addresses[next] == start &+ UInt64(first + 8 * methods.count)
            {
                let method = value(next)
                guard isCode(method) else { break }
                methods.append(method)
                next += 1
            }
            // The last pointer may be what the table behind this one begins with.
            let end = start &+ UInt64(first + 8 * methods.count)
            let isRelocated = next < addresses.count && addresses[next] < end &+ 16
            if !methods.isEmpty, !isRelocated, window.layout(at: end) != nil { methods.removeLast() }
            // That other traits' tables stand before them tells as much as a method.
            guard methods.count >= (first > TraitTable.smallest ? fewestMethods - 1 : fewestMethods) else { continue }
            tables.append(
                TraitTable(address: start, drop: drop, size: layout, methods: methods, firstMethod: first))
        }
        return tables
    }

    /// Numbers in the file's data that are read in rising order: in pieces, not one by one.
    struct DataWindow {
        private let file: ELFFile
        private var bytes: [UInt8] = []
        private var start: UInt64 = 0
        private static let size = 1 << 16

        init(_ file: ELFFile) { self.file = file }

        mutating func u64(at address: UInt64) -> UInt64? {
            if address < start || address &- start &+ 8 > UInt64(bytes.count) {
                bytes = file.bytes(at: address, upTo: Self.size)
                start = address
            }
            return bytes.span.integer(at: Int(address &- start))
        }

        /// The size of a value whose size and alignment stand there.
        mutating func layout(at address: UInt64) -> Int? {
            guard let size = u64(at: address), size <= largestValue, let alignment = u64(at: address &+ 8),
                alignment >= 1, alignment <= 64, alignment & (alignment - 1) == 0, size % alignment == 0
            else { return nil }
            return Int(size)
        }
    }
}

extension ELFFile {
    /// The addresses that a function takes of its surroundings (`lea reg, [rip + …]`), each with the instruction's: by their
    /// bytes, which may be other instructions' now and then.
    package func addressesTaken(in function: Range<UInt64>, limit: Int = 1 << 20) -> [(at: UInt64, target: UInt64)] {
        let bytes = bytes(at: function.lowerBound, upTo: min(limit, Int(function.upperBound - function.lowerBound)))
        let span = bytes.span
        var found: [(at: UInt64, target: UInt64)] = []
        var offset = 0
        while offset + 7 <= span.count {
            defer { offset += 1 }
            guard span[offset] == 0x48 || span[offset] == 0x4c, span[offset + 1] == 0x8d, span[offset + 2] & 0xc7 == 5,
                let distance: UInt32 = span.integer(at: offset + 3)
            else { continue }
            let at = function.lowerBound &+ UInt64(offset)
            found.append((at: at, target: at &+ 7 &+ UInt64(bitPattern: Int64(Int32(bitPattern: distance)))))
        }
        return found
    }

    /// Where relocated pointers to an address stand.
    package func pointers(to target: UInt64) -> [UInt64] {
        let relocations = relocations
        var window = DataWindow(self)
        let (addresses, values) = (relocations.addresses, relocations.values)
        return addresses.indices.filter { values[$0] == target }.map { addresses[$0] }
            + relocations.packed.filter { window.u64(at: $0) == target }
    }
}

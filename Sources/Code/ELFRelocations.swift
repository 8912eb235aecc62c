/// The dynamic relocations: which address gets which pointer, and which slots belong to imports.
import Synchronization

struct ELFRelocations: Sendable {
    /// A slot that the loader fills with a symbol's address.
    struct SymbolSlot: Sendable {
        var address: UInt64
        var symbol: UInt32
        var addend: UInt64
    }

    /// `R_X86_64_RELATIVE`: addresses in rising order, and their values.
    private(set) var addresses: [UInt64] = []
    private(set) var values: [UInt64] = []
    /// RELR: addresses in rising order; the value stands in the file.
    private(set) var packed: [UInt64] = []
    private(set) var slots: [UInt64: SymbolSlot] = [:]

    /// More relocations than real files have (Chromium: 700,000).
    private static let limit = 4 << 20
    /// The same for slots of imports (Chromium: 3,000).
    private static let slotLimit = 100_000

    static func parse(_ file: ELFFile) -> ELFRelocations {
        var relocations = ELFRelocations()
        let values = file.dynamic.values
        typealias Tag = ELFDynamic.Tag
        relocations.addTable(file, values[Tag.rela], values[Tag.relaSize])
        relocations.addTable(file, values[Tag.pltRelocations], values[Tag.pltRelocationSize])
        relocations.addPacked(file, values[Tag.relr], values[Tag.relrSize])
        relocations.sort()
        return relocations
    }

    private mutating func addTable(_ file: ELFFile, _ address: UInt64?, _ size: UInt64?) {
        guard let address, let size, size <= UInt64(Self.limit * 24),
            let bytes = file.bytes(at: address, count: Int(size))
        else { return }
        addresses.reserveCapacity(addresses.count + bytes.count / 24)
        self.values.reserveCapacity(addresses.count + bytes.count / 24)
        let span = bytes.span
        var base = 0
        while base <= span.count - 24 {
            defer { base += 24 }
            guard let place: UInt64 = span.integer(at: base), let info: UInt64 = span.integer(at: base + 8),
                let addend: UInt64 = span.integer(at: base + 16)
            else { return }
            switch info & 0xffff_ffff {
            case 8:
                addresses.append(place)
                self.values.append(addend)
            case 1, 6, 7:
                guard slots.count < Self.slotLimit else { continue }
                // Only R_X86_64_64 has an addend that counts.
                slots[place] = SymbolSlot(
                    address: place, symbol: UInt32(truncatingIfNeeded: info >> 32),
                    addend: info & 0xffff_ffff == 1 ? addend : 0)
            default: break
            }
        }
    }

    private mutating func addPacked(_ file: ELFFile, _ address: UInt64?, _ size: UInt64?) {
        guard let address, let size, size <= 8 << 20, let bytes = file.bytes(at: address, count: Int(size))
        else { return }
        var next: UInt64 = 0
        for base in stride(from: 0, to: bytes.count - bytes.count % 8, by: 8) {
            guard let entry = bytes.u64(at: base), packed.count < Self.limit else { return }
            if entry & 1 == 0 {
                packed.append(entry)
                next = entry &+ 8
            } else {
                for bit in 1..<64 where entry >> UInt64(bit) & 1 != 0 { packed.append(next &+ UInt64(bit - 1) * 8) }
                next = next &+ 63 * 8
            }
        }
    }

    private mutating func sort() {
        if !zip(addresses, addresses.dropFirst()).allSatisfy({ $0 <= $1 }) {
            // Pairs: to look each one up while sorting takes five times as long.
            let pairs = zip(addresses, values).sorted { $0.0 < $1.0 }
            values = pairs.map(\.1)
            addresses = pairs.map(\.0)
        }
        if !zip(packed, packed.dropFirst()).allSatisfy({ $0 <= $1 }) { packed.sort() }
    }

    func value(at address: UInt64) -> UInt64? {
        let index = addresses.lowerBound(of: address)
        return index < addresses.count && addresses[index] == address ? values[index] : nil
    }

    func isPacked(_ address: UInt64) -> Bool {
        let index = packed.lowerBound(of: address)
        return index < packed.count && packed[index] == address
    }
}

extension ELFFile {
    var relocations: ELFRelocations {
        tables.relocations.withLock { cached in
            if let cached { return cached }
            let relocations = ELFRelocations.parse(self)
            cached = relocations
            return relocations
        }
    }

    /// The address that the pointer at `address` has, relative to the file's own addresses, when the
    /// file is loaded; `nil` where it points outside the file, or is no pointer.
    package func pointer(at address: UInt64) -> UInt64? { pointer(at: address, relocations) }

    func pointer(at address: UInt64, _ relocations: ELFRelocations) -> UInt64? {
        if let value = relocations.value(at: address) { return value }
        if let slot = relocations.slots[address] {
            return dynamicSymbol(at: slot.symbol)?.value.map { $0 &+ slot.addend }
        }
        guard kind == .fixedAddress || relocations.isPacked(address) else { return nil }
        guard let value = bytes(at: address, count: 8)?.u64(at: 0), value != 0 else { return nil }
        return value
    }

    /// The slots that the loader fills with the address of the symbol `name`.
    package func importSlots(of name: String) -> [UInt64] {
        relocations.slots.values.filter { dynamicSymbol(at: $0.symbol)?.name == name }.map(\.address).sorted()
    }
}

extension [UInt64] {
    /// The first index whose element is not below `value`; the array is in rising order.
    func lowerBound(of value: UInt64) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if self[middle] < value { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

/// A Go program or library as the loader sees it: what stands at an address, with its pointers relocated.
///
/// The file is foreign: what it cannot answer is `nil`.
struct GoImage: Sendable {
    let file: ELFFile
    private let relocations: ELFRelocations

    init(_ file: ELFFile) {
        self.file = file
        relocations = file.relocations
    }

    func bytes(at address: UInt64, count: Int) -> [UInt8]? { file.bytes(at: address, count: count) }

    func u8(at address: UInt64) -> UInt8? { bytes(at: address, count: 1)?.first }
    func u16(at address: UInt64) -> UInt16? { bytes(at: address, count: 2)?.u16(at: 0) }
    func u32(at address: UInt64) -> UInt32? { bytes(at: address, count: 4)?.u32(at: 0) }
    func u64(at address: UInt64) -> UInt64? { bytes(at: address, count: 8)?.u64(at: 0) }

    /// Where the pointer at `address` leads; `nil` for a null one.
    func pointer(at address: UInt64) -> UInt64? { file.pointer(at: address, relocations) }

    /// Whether the pointer at `address` is in the file's bytes as it is; else a relocation brings it.
    var holdsPointers: Bool { file.kind == .fixedAddress }

    /// The addresses that a relocation makes point to one of `targets`, `limit` at most.
    func relocated(to targets: some Collection<UInt64>, limit: Int) -> [UInt64] {
        let targets = Set(targets)
        guard let first = targets.min(), let last = targets.max() else { return [] }
        var found: [UInt64] = []
        for (index, value) in relocations.values.enumerated()
        where value >= first && value <= last && targets.contains(value) {
            guard found.count < limit else { break }
            found.append(relocations.addresses[index])
        }
        return found
    }

    /// The data of the file within `area`.
    func data(in area: Range<UInt64>) -> [Range<UInt64>] {
        file.dataRanges.map { $0.clamped(to: area) }.filter { !$0.isEmpty }
    }

    // MARK: slices

    static let sliceSize = 1 << 20

    /// Reads `range` in slices, one in memory at a time, each with up to `margin` bytes of the range on either side of it.
    ///
    /// - Parameter visit: gets the slice's bytes, the address of the first, and which of them are not margin; returns whether to
    ///   go on.
    func slices(
        of range: Range<UInt64>, margin: Int, visit: (_ bytes: [UInt8], _ start: UInt64, _ own: Range<Int>) -> Bool
    ) {
        var address = range.lowerBound
        while address < range.upperBound {
            let before = min(UInt64(margin), address - range.lowerBound)
            let size = min(UInt64(Self.sliceSize), range.upperBound - address)
            let after = min(UInt64(margin), range.upperBound - address - size)
            let bytes = file.bytes(at: address - before, upTo: Int(before + size + after))
            guard bytes.count > Int(before) else { return }
            let end = min(bytes.count, Int(before + size))
            if !visit(bytes, address - before, Int(before)..<end) { return }
            address += size
        }
    }

    /// The addresses in `range` at which these bytes stand, until `visit` returns false.
    func find(
        _ wanted: [UInt8], in range: Range<UInt64>, margin: Int,
        visit: (_ bytes: [UInt8], _ start: UInt64, _ at: Int) -> Bool
    ) {
        slices(of: range, margin: max(margin, wanted.count)) { bytes, start, own in
            var goesOn = true
            DataSearch.find(wanted, in: bytes) { at in
                guard own.contains(at) else { return at >= own.upperBound }
                goesOn = visit(bytes, start, at)
                return !goesOn
            }
            return goesOn
        }
    }
}

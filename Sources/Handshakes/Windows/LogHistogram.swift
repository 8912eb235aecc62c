/// Counts of durations by the cells of `DurationScale`, whose middle is within 0.32 % of any value in it.
///
/// Integers only, so that what was merged can be subtracted without a residue. Pages of 128 counts come with the first
/// value that needs them, at most 48 of 512 bytes; `reset` keeps the storage, so a reused histogram no longer allocates.
/// Owned by one thread.
public struct LogHistogram: Sendable {
    /// The largest value told apart, in nanoseconds.
    public static let largestValue = DurationScale.largestValue

    private static let pageSize = 128
    private static let absent: UInt8 = .max

    /// For each page of cells, its place in `counts`.
    private var directory = InlineArray<48, UInt8>(repeating: LogHistogram.absent)
    private var counts: [UInt32] = []

    /// How many values it holds.
    public private(set) var count: UInt64 = 0

    public init() {}

    /// Bytes of storage held now.
    public var storageBytes: Int { counts.capacity * MemoryLayout<UInt32>.stride }

    /// Counts one value of `nanoseconds`.
    public mutating func insert(_ nanoseconds: UInt64) {
        insert(cell: DurationScale.shared.cell(of: nanoseconds))
    }

    @inline(__always) package mutating func insert(cell: Int) {
        counts[place(of: cell)] &+= 1
        count &+= 1
    }

    /// Takes away a value that was inserted.
    package mutating func remove(cell: Int) {
        counts[place(of: cell)] &-= 1
        count &-= 1
    }

    /// Adds every value of `other`.
    public mutating func merge(_ other: borrowing LogHistogram) {
        for page in other.directory.indices where other.directory[page] != Self.absent {
            let mine = base(ofPage: page)
            let theirs = Int(other.directory[page]) * Self.pageSize
            for offset in 0..<Self.pageSize { counts[mine + offset] &+= other.counts[theirs + offset] }
        }
        count &+= other.count
    }

    /// Takes away every value of `other`, each of which must have been inserted or merged before.
    public mutating func subtract(_ other: borrowing LogHistogram) {
        for page in other.directory.indices where other.directory[page] != Self.absent {
            let mine = base(ofPage: page)
            let theirs = Int(other.directory[page]) * Self.pageSize
            for offset in 0..<Self.pageSize { counts[mine + offset] &-= other.counts[theirs + offset] }
        }
        count &-= other.count
    }

    /// Empties it and keeps the storage.
    public mutating func reset() {
        guard !counts.isEmpty else { return }
        directory = InlineArray(repeating: Self.absent)
        counts.removeAll(keepingCapacity: true)
        count = 0
    }

    /// The value of nearest rank ceil(`quantile` × count) in nanoseconds, within 0.32 %; nil when empty.
    public func quantile(_ quantile: Double) -> UInt64? {
        guard let rank = nearestRank(quantile, of: count) else { return nil }
        return value(atRank: rank)
    }

    /// The `rank`-th smallest value, from 1, as the middle of its cell.
    package func value(atRank rank: UInt64) -> UInt64? {
        var before: UInt64 = 0
        for page in directory.indices where directory[page] != Self.absent {
            let start = Int(directory[page]) * Self.pageSize
            for offset in 0..<Self.pageSize {
                before &+= UInt64(counts[start + offset])
                if before >= rank { return DurationScale.shared.middle(of: page * Self.pageSize + offset) }
            }
        }
        return nil
    }

    @inline(__always) private mutating func place(of cell: Int) -> Int {
        // Unsigned, for a shift and a mask.
        let cell = UInt(bitPattern: cell)
        return base(ofPage: Int(bitPattern: cell / UInt(Self.pageSize))) &+ Int(bitPattern: cell % UInt(Self.pageSize))
    }

    @inline(__always) private mutating func base(ofPage page: Int) -> Int {
        let known = directory[page]
        return known != Self.absent ? Int(known) &* Self.pageSize : addPage(page)
    }

    @inline(never) private mutating func addPage(_ page: Int) -> Int {
        let fresh = counts.count
        directory[page] = UInt8(truncatingIfNeeded: fresh / Self.pageSize)
        counts.append(contentsOf: repeatElement(0, count: Self.pageSize))
        return fresh
    }
}

/// ceil(`quantile` × `count`), at least 1; nil when there is nothing to rank or `quantile` is outside 0...1.
///
/// In integers, for 0.999 × 1000 in binary floating point need not be 999.
func nearestRank(_ quantile: Double, of count: UInt64) -> UInt64? {
    guard count > 0, quantile >= 0, quantile <= 1 else { return nil }
    let million: UInt64 = 1_000_000
    let parts = UInt64(quantile * Double(million) + 0.5)
    let whole = (count / million) * parts
    let rest = ((count % million) * parts + million - 1) / million
    return max(1, min(count, whole + rest))
}

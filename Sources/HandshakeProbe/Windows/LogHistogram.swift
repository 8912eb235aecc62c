/// Counts of durations in logarithmic buckets: a power of two is cut into 128 equal parts, so that a bucket's middle is
/// within 1/256 (0.39 %) of any value in it. Values below 256 ns have a bucket each.
///
/// Values are nanoseconds; those past `largestValue` (19.5 hours) count as it. Integers only, so that what was merged
/// can be subtracted without a residue. Pages of 128 buckets come with the first value that needs them, at most 40 of
/// 512 bytes; `reset` keeps the storage, so a reused histogram no longer allocates. Owned by one thread.
public struct LogHistogram: Sendable {
    /// The largest value told apart, in nanoseconds.
    public static let largestValue: UInt64 = (1 << 46) - 1

    private static let pageBits: UInt64 = 7
    private static let pageSize = 128
    private static let pageLimit = 40
    private static let absent: UInt8 = .max

    /// For each power of two, its page in `buckets`.
    private var directory = InlineArray<40, UInt8>(repeating: LogHistogram.absent)
    /// Lets a quantile skip whole pages.
    private var pageCounts = InlineArray<40, UInt32>(repeating: 0)
    private var buckets: [UInt32] = []

    /// How many values it holds.
    public private(set) var count: UInt64 = 0
    /// The exact sum of the values, nanoseconds, modulo 2^64.
    public private(set) var sum: UInt64 = 0

    public init() {}

    /// Bytes of bucket storage held now.
    public var storageBytes: Int { buckets.capacity * MemoryLayout<UInt32>.stride }

    /// Counts one value of `nanoseconds`.
    public mutating func insert(_ nanoseconds: UInt64) {
        let value = min(nanoseconds, Self.largestValue)
        let page: Int
        let offset: Int
        if value < UInt64(Self.pageSize) {
            page = 0
            offset = Int(truncatingIfNeeded: value)
        } else {
            let shift = 63 - UInt64(truncatingIfNeeded: value.leadingZeroBitCount) - Self.pageBits
            page = Int(truncatingIfNeeded: shift) + 1
            offset = Int(truncatingIfNeeded: value >> shift) - Self.pageSize
        }
        buckets[base(ofPage: page) + offset] &+= 1
        pageCounts[page] &+= 1
        count &+= 1
        sum &+= nanoseconds
    }

    /// Adds every value of `other`.
    public mutating func merge(_ other: borrowing LogHistogram) {
        for page in 0..<Self.pageLimit where other.directory[page] != Self.absent {
            let mine = base(ofPage: page)
            let theirs = Int(other.directory[page]) * Self.pageSize
            for offset in 0..<Self.pageSize {
                buckets[mine + offset] &+= other.buckets[theirs + offset]
            }
            pageCounts[page] &+= other.pageCounts[page]
        }
        count &+= other.count
        sum &+= other.sum
    }

    /// Takes away every value of `other`, each of which must have been inserted or merged before.
    public mutating func subtract(_ other: borrowing LogHistogram) {
        for page in 0..<Self.pageLimit where other.directory[page] != Self.absent {
            let mine = base(ofPage: page)
            let theirs = Int(other.directory[page]) * Self.pageSize
            for offset in 0..<Self.pageSize {
                buckets[mine + offset] &-= other.buckets[theirs + offset]
            }
            pageCounts[page] &-= other.pageCounts[page]
        }
        count &-= other.count
        sum &-= other.sum
    }

    /// Empties it and keeps the storage.
    public mutating func reset() {
        guard !buckets.isEmpty else { return }
        directory = InlineArray(repeating: Self.absent)
        pageCounts = InlineArray(repeating: 0)
        buckets.removeAll(keepingCapacity: true)
        count = 0
        sum = 0
    }

    /// The value of nearest rank ceil(`quantile` × count) in nanoseconds, within 0.39 %; nil when empty.
    public func quantile(_ quantile: Double) -> UInt64? {
        guard let rank = nearestRank(quantile, of: count) else { return nil }
        return value(atRank: rank)
    }

    /// The `rank`-th smallest value, from 1, as the middle of its bucket.
    func value(atRank rank: UInt64) -> UInt64? {
        var before: UInt64 = 0
        for page in 0..<Self.pageLimit {
            let through = before &+ UInt64(pageCounts[page])
            guard through >= rank, directory[page] != Self.absent else {
                before = through
                continue
            }
            let start = Int(directory[page]) * Self.pageSize
            for offset in 0..<Self.pageSize {
                before &+= UInt64(buckets[start + offset])
                if before >= rank { return Self.middle(page: page, offset: offset) }
            }
        }
        return nil
    }

    private static func middle(page: Int, offset: Int) -> UInt64 {
        guard page > 0 else { return UInt64(offset) }
        let shift = UInt64(page - 1)
        return (UInt64(pageSize + offset) << shift) + (1 << shift) / 2
    }

    private mutating func base(ofPage page: Int) -> Int {
        let known = directory[page]
        if known != Self.absent { return Int(known) * Self.pageSize }
        let fresh = buckets.count
        directory[page] = UInt8(truncatingIfNeeded: fresh / Self.pageSize)
        buckets.append(contentsOf: repeatElement(0, count: Self.pageSize))
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

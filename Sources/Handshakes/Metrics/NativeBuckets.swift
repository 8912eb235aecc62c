/// A duration histogram as Prometheus's native histograms have it: buckets that grow by a constant factor, no bounds to
/// choose, and only those in use are told.
///
/// The schema is 6 (a bucket is 1.09 % wider than the one before) as long as it takes no more than `limit` buckets, else
/// the next lower one that does: each step merges two neighbours and doubles the growth. Counts only grow, so a series'
/// schema only falls.
struct NativeBuckets {
    static let finestSchema = 6
    /// Ten powers of two in full: 100 µs to 100 ms without a gap.
    static let limit = 640
    /// Below it a merge would tell next to nothing: a bucket is a factor of 2 wide.
    static let coarsestSchema = 0

    private(set) var schema = finestSchema
    /// Durations of at most `zeroThreshold`.
    private(set) var zeroCount: UInt64 = 0
    /// Bucket `index` is (2^((index-1)/2^schema), 2^(index/2^schema)] seconds; ascending, none of count 0.
    private(set) var buckets: [(index: Int, count: UInt64)] = []

    /// Seconds: the upper bound of the zero bucket.
    static let zeroThreshold = 0x1p-23

    init(_ histogram: DurationHistogram) {
        let native = DurationScale.shared.nativeBuckets
        for (cell, count) in zip(histogram.cells, histogram.cellCounts) {
            let bucket = native[Int(cell)]
            if bucket == .min { zeroCount &+= count } else { add(count, to: Self.halved(Int(bucket))) }
        }
        while buckets.count > Self.limit, schema > Self.coarsestSchema { merge() }
    }

    /// The same with no more than `limit` buckets from the first to the last, those of count 0 included: for formats that tell
    /// each of them.
    var dense: NativeBuckets {
        var dense = self
        while dense.width > Self.limit, dense.schema > Self.coarsestSchema { dense.merge() }
        return dense
    }

    private var width: Int {
        guard let first = buckets.first, let last = buckets.last else { return 0 }
        return last.index - first.index + 1
    }

    /// Goes to the next lower schema.
    private mutating func merge() {
        let finer = buckets
        buckets.removeAll(keepingCapacity: true)
        for bucket in finer { add(bucket.count, to: Self.halved(bucket.index)) }
        schema -= 1
    }

    private mutating func add(_ count: UInt64, to index: Int) {
        if let last = buckets.last, last.index == index {
            buckets[buckets.count - 1].count &+= count
        } else {
            buckets.append((index, count))
        }
    }

    /// The bucket of the schema below that holds this one: ceil(index / 2).
    private static func halved(_ index: Int) -> Int { (index + 1) >> 1 }
}

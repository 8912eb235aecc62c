/// Durations whose quantiles are those of the values themselves up to a limit, and a histogram's beyond it.
///
/// Eight bytes a value up to the limit, some kilobytes beyond it. Owned by one thread.
package struct DurationSample: Sendable {
    /// Values that are kept unless told otherwise: 8 MB of them.
    package static let standardLimit = 1_000_000

    private let limit: Int
    private var values: [UInt64] = []
    private var isSorted = true
    private var histogram: LogHistogram?

    package init(limit: Int = standardLimit) {
        self.limit = limit
    }

    package var count: UInt64 { histogram?.count ?? UInt64(values.count) }

    /// Whether the quantiles are exact; else they are within 0.32 %.
    package var isExact: Bool { histogram == nil }

    /// Adds one value of `nanoseconds`.
    package mutating func insert(_ nanoseconds: UInt64) {
        if histogram == nil, values.count < limit {
            values.append(nanoseconds)
            isSorted = false
            return
        }
        var cells = histogram ?? LogHistogram()
        // Before the first insertion: two owners would copy it each time.
        histogram = nil
        for value in values { cells.insert(value) }
        values = []
        cells.insert(nanoseconds)
        histogram = cells
    }

    /// The value of nearest rank ceil(`quantile` × count) in nanoseconds, as the sliding windows have it; nil when empty.
    package mutating func quantile(_ quantile: Double) -> UInt64? {
        if let histogram { return histogram.quantile(quantile) }
        guard let rank = nearestRank(quantile, of: UInt64(values.count)) else { return nil }
        if !isSorted { values.sort() }
        isSorted = true
        return values[Int(rank) - 1]
    }

    /// How many values are greater than `nanoseconds`; `nil` where the values are not kept.
    package mutating func count(above nanoseconds: UInt64) -> UInt64? {
        guard isExact else { return nil }
        if !isSorted { values.sort() }
        isSorted = true
        var (low, high) = (0, values.count)
        while low < high {
            let middle = (low + high) / 2
            if values[middle] <= nanoseconds { low = middle + 1 } else { high = middle }
        }
        return UInt64(values.count - low)
    }
}

/// The quantiles of one window, as they were last worked out.
package struct WindowQuantiles: Sendable, Equatable {
    /// What is told, and its label's text.
    package static let wanted: [(value: Double, text: String)] = [
        (0.5, "0.5"), (0.9, "0.9"), (0.99, "0.99"), (0.999, "0.999"),
    ]

    /// How many sessions they stand on; without one there is none.
    package var sessions: UInt64 = 0
    /// Nanoseconds, in the order of `wanted`.
    package var values = InlineArray<4, UInt64>(repeating: 0)

    package static func == (one: WindowQuantiles, other: WindowQuantiles) -> Bool {
        one.sessions == other.sessions && one.values.indices.allSatisfy { one.values[$0] == other.values[$0] }
    }
}

/// The sliding windows behind the quantile gauges: for each role, stack and combination of extra labels, one window of
/// each length that was asked for.
///
/// Owned by the registry's thread.
struct SessionWindows: Sendable {
    private struct Entry: Sendable {
        var key: LabelValues
        var windows: [SlidingWindow]
        /// The windows' versions that the told quantiles are of.
        var told: [UInt64]
    }

    /// Past so many windows they are not worked out at every call of `refresh`, but when what is told is older than
    /// `maximumAge`: what is told is then at most 1 s old still.
    private static let manyWindows = 1_000
    private static let maximumAge: UInt64 = 600_000_000

    private let lengths: [WindowLength]
    private let names: [String]
    private var entries: [Entry] = []
    private var index: [LabelValues: Int] = [:]
    /// For each entry and length one series, in the entries' order.
    private(set) var quantiles = Series<WindowQuantiles>()
    private var scratch: [UInt64] = []
    private var refreshed: UInt64?
    /// No entry was idle when one was last looked for.
    private var isFull = false

    init(_ lengths: [WindowLength], extra: [String]) {
        self.lengths = lengths
        names = ["role", "stack", "window"] + extra
    }

    mutating func completed(
        _ key: LabelValues, duration: UInt64, at time: UInt64, now: UInt64, extra: ExtraValues,
        budget: inout SeriesBudget
    ) {
        let key = key.with(extra)
        let entry = index[key] ?? add(key, now: now, extra: extra, budget: &budget)
        for length in lengths.indices { entries[entry].windows[length].insert(duration, at: time, now: now) }
    }

    /// Works out the quantiles at `now` of the windows that have changed.
    mutating func refresh(now: UInt64) {
        if let refreshed, entries.count * lengths.count > Self.manyWindows, now &- refreshed < Self.maximumAge {
            return
        }
        refreshed = now
        isFull = false
        let wanted = WindowQuantiles.wanted.map(\.value)
        for entry in entries.indices {
            for length in lengths.indices {
                let count = entries[entry].windows[length].count(now: now)
                let version = entries[entry].windows[length].version
                guard version != entries[entry].told[length] else { continue }
                entries[entry].told[length] = version
                let found = entries[entry].windows[length].quantiles(wanted, now: now, scratch: &scratch)
                var told = WindowQuantiles()
                told.sessions = count
                for (rank, value) in found.enumerated() { told.values[rank] = value }
                quantiles.values[entry * lengths.count + length] = told
            }
        }
    }

    /// Series of one entry: the quantiles and the count, in each window.
    private var cost: Int { lengths.count * (WindowQuantiles.wanted.count + 1) }

    private mutating func add(
        _ key: LabelValues, now: UInt64, extra: ExtraValues, budget: inout SeriesBudget
    ) -> Int {
        if budget.take(cost) { return append(key, extra) }
        if let idle = idleEntry(now: now) {
            budget.evicted &+= UInt64(cost)
            index[entries[idle].key] = nil
            entries[idle] = entry(key)
            index[key] = idle
            for (length, label) in labels(key, extra).enumerated() {
                quantiles.replace(idle * lengths.count + length, by: label, WindowQuantiles())
            }
            return idle
        }
        budget.capped &+= 1
        let other = LabelValues(key.prefix(1)[0], Label.other).with(extra.other)
        return index[other] ?? append(other, extra.other)
    }

    private mutating func append(_ key: LabelValues, _ extra: ExtraValues) -> Int {
        entries.append(entry(key))
        for label in labels(key, extra) { quantiles.append(label, WindowQuantiles()) }
        index[key] = entries.count - 1
        return entries.count - 1
    }

    private func entry(_ key: LabelValues) -> Entry {
        Entry(
            key: key, windows: lengths.map { SlidingWindow(window: $0.nanoseconds, slotLength: $0.slotLength) },
            told: lengths.map { _ in 0 })
    }

    private func labels(_ key: LabelValues, _ extra: ExtraValues) -> [LabelSet] {
        lengths.map { LabelSet(names: names, values: key.prefix(2) + [$0.text] + extra.values) }
    }

    /// An entry of extra labels without a session in any window: gauges may come and go.
    private mutating func idleEntry(now: UInt64) -> Int? {
        guard !isFull else { return nil }
        for candidate in entries.indices where entries[candidate].key.extra > 1 {
            let idle = lengths.indices.allSatisfy { entries[candidate].windows[$0].count(now: now) == 0 }
            if idle { return candidate }
        }
        isFull = true
        return nil
    }
}

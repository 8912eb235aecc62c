/// The series of one family: labels, values, and the order in which they are written. Shared with snapshots, copied
/// only when a value changes after one was taken.
package struct Series<Value: Sendable>: Sendable {
    package private(set) var labels: [LabelSet] = []
    package var values: [Value] = []
    /// Indices by rendered label text.
    private var order: [Int32] = []

    package var count: Int { values.count }

    /// The series at `rank` in written order.
    package func series(atRank rank: Int) -> (labels: LabelSet, value: Value) {
        let index = Int(order[rank])
        return (labels[index], values[index])
    }

    /// All of them in written order.
    package var inOrder: some Sequence<(labels: LabelSet, value: Value)> {
        order.lazy.map { (labels[Int($0)], values[Int($0)]) }
    }

    /// Adds a series in its place and returns its index, which stays valid.
    @discardableResult
    package mutating func append(_ label: LabelSet, _ value: Value) -> Int {
        let rank = rank(of: label)
        labels.append(label)
        values.append(value)
        order.insert(Int32(truncatingIfNeeded: labels.count - 1), at: rank)
        return labels.count - 1
    }

    /// Gives the place of one series to another.
    package mutating func replace(_ index: Int, by label: LabelSet, _ value: Value) {
        order.removeAll { $0 == Int32(truncatingIfNeeded: index) }
        labels[index] = label
        values[index] = value
        order.insert(Int32(truncatingIfNeeded: index), at: rank(of: label))
    }

    /// Where `label` belongs in the written order.
    private func rank(of label: LabelSet) -> Int {
        var low = 0
        var high = order.count
        while low < high {
            let middle = (low + high) / 2
            if labels[Int(order[middle])].text.lexicographicallyPrecedes(label.text) {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return low
    }
}

/// How many series there may be in all, and what was refused for it.
struct SeriesBudget: Sendable {
    let limit: Int
    private(set) var used = 0
    /// Samples that went under `other`.
    var capped: UInt64 = 0
    /// Series that had to make room.
    var evicted: UInt64 = 0

    init(limit: Int) {
        self.limit = limit
    }

    mutating func take(_ cost: Int) -> Bool {
        guard used + cost <= limit else { return false }
        used += cost
        return true
    }

    mutating func giveBack(_ cost: Int) {
        used -= cost
    }
}

/// Distinct values of one label, as many as the cap allows; later ones are `other`.
struct LabelCap: Sendable {
    private let limit: Int
    private var admitted: Set<String> = []
    /// Of those how many take a place under the cap.
    private var taken = 0

    init(limit: Int) {
        self.limit = limit
    }

    /// Admits values that nobody else chooses: they take no place.
    mutating func know(_ values: [String]) { admitted.formUnion(values) }

    /// `value`, or `other` past the cap; `unknown` when there is none.
    mutating func admit(_ value: String?, missing: String = Label.unknown, budget: inout SeriesBudget) -> String {
        guard let value, !value.isEmpty else { return missing }
        if admitted.contains(value) { return value }
        let safe = Label.safe(value)
        if admitted.contains(safe) { return safe }
        guard taken < limit else {
            budget.capped &+= 1
            return Label.other
        }
        taken += 1
        admitted.insert(safe)
        return safe
    }
}

/// Series found by their label values, made on first use within the budget.
///
/// Past the budget a sample goes to a series whose open labels say `other`; labels with a fixed set of values keep
/// theirs, so that sums by role and outcome stay true.
struct SeriesTable<Value: Sendable>: Sendable {
    let descriptor: MetricDescriptor
    /// How many labels are the family's own.
    private let own: Int
    private(set) var series = Series<Value>()
    private let initial: Value
    private let cost: Int
    private var index: [LabelValues: Int] = [:]
    private var charged = 0
    private var lastKeys: [LabelValues] = []
    private var lastSlots: [Int] = []

    private static var closedLabels: Set<String> { ["role", "outcome", "resumed", "result", "state", "part", "cause"] }

    /// - Parameter extra: names of labels behind the family's own.
    init(_ descriptor: MetricDescriptor, extra: [String] = [], initial: Value, cost: Int = 1) {
        self.descriptor = descriptor.adding(extra)
        own = descriptor.labels.count
        self.initial = initial
        self.cost = cost
    }

    /// The index in `series` for `key` and what the extra labels say.
    mutating func slot(
        for key: LabelValues, extra: ExtraValues = .none, budget: inout SeriesBudget
    ) -> Int {
        let key = key.with(extra)
        if let known = index[key] { return known }
        // Two raw values may be the same once made safe, and a repeated series would break the scrape. Only the safe
        // form is remembered, so that hostile spellings of one value take no memory.
        let values = key.prefix(own).map(Label.safe)
        let safe = LabelValues(values).with(extra)
        if let known = index[safe] { return known }
        if budget.take(cost) {
            charged += cost
            return add(safe, values + extra.values)
        }
        budget.capped &+= 1
        let capped = zip(descriptor.labels, values).map { Self.closedLabels.contains($0) ? $1 : Label.other }
        let other = LabelValues(capped).with(extra.other)
        return index[other] ?? add(other, capped + extra.other.values)
    }

    /// Makes the series of `key`, without a sample in it, while the budget has room. The values are safe.
    mutating func prepare(_ key: LabelValues, budget: inout SeriesBudget) {
        guard index[key] == nil, budget.take(cost) else { return }
        charged += cost
        _ = add(key, key.prefix(own))
    }

    mutating func update(_ slot: Int, _ change: (inout Value) -> Void) {
        change(&series.values[slot])
    }

    private mutating func add(_ key: LabelValues, _ values: [String]) -> Int {
        let slot = series.append(LabelSet(names: descriptor.labels, values: values), initial)
        index[key] = slot
        return slot
    }
}

extension SeriesTable where Value == UInt64 {
    /// Makes the series exactly `samples`; those with equal labels are summed, so that nothing is lost under `other`.
    mutating func replace(with samples: [FamilySample.Entry], budget: inout SeriesBudget) {
        if !samples.lazy.map(\.labels).elementsEqual(lastKeys) {
            budget.giveBack(charged)
            charged = 0
            index.removeAll(keepingCapacity: true)
            series = Series()
            lastKeys = samples.map(\.labels)
            lastSlots = lastKeys.map { slot(for: $0, budget: &budget) }
        }
        for slot in series.values.indices { series.values[slot] = 0 }
        for (slot, sample) in zip(lastSlots, samples) { series.values[slot] &+= sample.value }
    }
}

/// The counters and histograms that finished sessions go to.
///
/// Sessions of the same facts go to the same series, so the way there is remembered: one look-up for a session instead
/// of one for each label and family. Owned by the registry's thread.
struct SessionSeries: Sendable {
    /// What a session's series depend on, as the session tells it.
    private struct Facts: Hashable {
        var role: Role
        var outcome: Outcome
        var stack: String
        var reason, tlsVersion, cipher, group, alpn: String?
        var alpnWasRead: Bool
        var resumed, keyExchangeSucceeded: Bool?
        var extra: Int32
    }

    /// A role's last session: most are like the one before.
    private struct Last {
        var facts: Facts?
        var way = 0

        func way(of facts: Facts) -> Int? { self.facts == facts ? way : nil }
    }

    /// Where sessions of one way are counted in one family.
    private struct Place {
        /// The series; negative while none was needed.
        var slot: Int32 = -1
        /// It is one that stands for others.
        var isCapped = false
    }

    /// Remembered ways: facts that peers choose must not take memory without end.
    private static let memoryLimit = 4_096

    private var caps: SessionLabels.Caps
    /// By facts; a way is a place in `labels`, and as many in `places` as there are families.
    private var ways: [Facts: Int] = [:]
    private var labels: [SessionLabels] = []
    private var places: [Place] = []
    private var last = [Last(), Last()]

    private let keepsExemplars: Bool
    private let hasExtraLabels: Bool

    private let counted: [SessionMetric]
    private let timed = SessionMetric.histograms
    /// The labels of each of these.
    private let countedLabels, timedLabels: [[SessionLabels.Source]]
    /// One for each family, and where the family of each of `counted` is.
    private var counters: [SeriesTable<UInt64>] = []
    private let tables: [Int]
    private var histograms: [SeriesTable<DurationHistogram>]

    /// - Parameter extra: names of the extra labels.
    init(_ options: MetricsRegistry.Options, extra: [String]) {
        caps = SessionLabels.Caps(options.limits)
        keepsExemplars = options.exemplars
        hasExtraLabels = !extra.isEmpty
        counted = SessionMetric.counters(slow: options.slow)
        countedLabels = counted.map(SessionLabels.Source.all)
        timedLabels = timed.map(SessionLabels.Source.all)
        var tables: [Int] = []
        for row in counted {
            if let known = counters.firstIndex(where: { $0.descriptor.name == row.metric.name }) {
                tables.append(known)
            } else {
                tables.append(counters.count)
                counters.append(SeriesTable(row.metric, extra: row.takesExtraLabels ? extra : [], initial: 0))
            }
        }
        self.tables = tables
        histograms = timed.map {
            // The finite buckets, +Inf, _sum and _count.
            SeriesTable(
                $0.metric, extra: $0.takesExtraLabels ? extra : [], initial: DurationHistogram($0.bounds),
                cost: DurationBounds.count + 3)
        }
    }

    var families: [MetricFamily] {
        counters.map { MetricFamily($0.descriptor, numbers: $0.series) }
            + zip(histograms, timed).map { table, metric in
                MetricFamily(
                    table.descriptor, .histograms(table.series, metric.bounds == .handshake ? .handshake : .phase))
            }
    }

    /// Finished sessions, by outcome and reason.
    var handshakes: Series<UInt64> {
        counters.first { $0.descriptor.name == MetricCatalogue.handshakes.name }?.series ?? Series()
    }

    /// Makes the counters that the first session of a stack, in either role, may need: a series that begins with its first
    /// sample hides that one from `rate()`. They are those whose labels' values are all known beforehand.
    ///
    /// - Parameter reasons: why its handshakes fail, besides what is common to all stacks.
    /// - Returns: the stack's label; `nil` where it is one of too many.
    mutating func prepare(stack: String, reasons own: [String], budget: inout SeriesBudget) -> String? {
        let reasons = Set(FailureReasons.common + own).sorted()
        guard let stack = caps.prepare(stack: stack, reasons: reasons, budget: &budget) else { return nil }
        for (index, metric) in counted.enumerated() where !(metric.takesExtraLabels && hasExtraLabels) {
            for values in SessionLabels.known(metric, stack: stack, reasons: reasons) {
                counters[tables[index]].prepare(LabelValues(values), budget: &budget)
            }
        }
        return stack
    }

    /// Counts a session; returns the label of its stack.
    mutating func record(_ handshake: Handshake, extra: ExtraValues, budget: inout SeriesBudget) -> String {
        let way = way(of: handshake, extra: extra, budget: &budget)
        let completed = handshake.outcome == .completed
        for index in counted.indices {
            guard let amount = counted[index].value(handshake) else { continue }
            let slot = slot(counter: index, way, extra: extra, budget: &budget)
            counters[tables[index]].update(slot) { $0 &+= amount }
        }
        guard completed else { return labels[way].stack }
        for index in timed.indices {
            guard let duration = timed[index].value(handshake) else { continue }
            let slot = slot(histogram: index, way, extra: extra, budget: &budget)
            let exemplar = keepsExemplars && timed[index].keepsExemplars ? Exemplar(of: handshake) : nil
            histograms[index].update(slot) { $0.observe(duration, exemplar: exemplar) }
        }
        return labels[way].stack
    }

    private mutating func way(of handshake: Handshake, extra: ExtraValues, budget: inout SeriesBudget) -> Int {
        let facts = Facts(
            role: handshake.role, outcome: handshake.outcome, stack: handshake.stack, reason: handshake.reason,
            tlsVersion: handshake.tlsVersion, cipher: handshake.cipher, group: handshake.group, alpn: handshake.alpn,
            alpnWasRead: handshake.alpnWasRead, resumed: handshake.resumed,
            keyExchangeSucceeded: handshake.keyExchangeSucceeded, extra: extra.number)
        let side = handshake.role == .client ? 0 : 1
        if let way = last[side].way(of: facts) {
            budget.capped &+= labels[way].capped
            return way
        }
        if let way = ways[facts] {
            budget.capped &+= labels[way].capped
            last[side] = Last(facts: facts, way: way)
            return way
        }
        if ways.count >= Self.memoryLimit {
            ways.removeAll(keepingCapacity: true)
            labels.removeAll(keepingCapacity: true)
            places.removeAll(keepingCapacity: true)
            last = [Last(), Last()]
        }
        let way = labels.count
        labels.append(caps.admit(handshake, budget: &budget))
        places += repeatElement(Place(), count: counted.count + timed.count)
        ways[facts] = way
        last[side] = Last(facts: facts, way: way)
        return way
    }

    private mutating func slot(
        counter index: Int, _ way: Int, extra: ExtraValues, budget: inout SeriesBudget
    ) -> Int {
        let place = way * (counted.count + timed.count) + index
        if let known = known(place, budget: &budget) { return known }
        let takesExtra = counted[index].takesExtraLabels
        let before = budget.capped
        let slot = counters[tables[index]].slot(
            for: labels[way].values(countedLabels[index]), extra: takesExtra ? extra : .none, budget: &budget)
        places[place] = Place(slot: Int32(truncatingIfNeeded: slot), isCapped: budget.capped != before)
        // The first failure where all went well so far counts, too.
        if countedLabels[index].contains(where: \.isResult) {
            counters[tables[index]].prepare(labels[way].opposite.values(countedLabels[index]), budget: &budget)
        }
        return slot
    }

    private mutating func slot(
        histogram index: Int, _ way: Int, extra: ExtraValues, budget: inout SeriesBudget
    ) -> Int {
        let place = way * (counted.count + timed.count) + counted.count + index
        if let known = known(place, budget: &budget) { return known }
        let takesExtra = timed[index].takesExtraLabels
        let before = budget.capped
        let slot = histograms[index].slot(
            for: labels[way].values(timedLabels[index]), extra: takesExtra ? extra : .none, budget: &budget)
        places[place] = Place(slot: Int32(truncatingIfNeeded: slot), isCapped: budget.capped != before)
        return slot
    }

    private func known(_ place: Int, budget: inout SeriesBudget) -> Int? {
        let known = places[place]
        guard known.slot >= 0 else { return nil }
        if known.isCapped { budget.capped &+= 1 }
        return Int(known.slot)
    }
}

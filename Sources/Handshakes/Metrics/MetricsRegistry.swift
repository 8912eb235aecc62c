/// Everything that is served at `/metrics`, fed from finished sessions and from samples of the kernel's counters.
///
/// Owned by one thread, which alone may call it: no lock. Other threads get immutable snapshots. Times are monotonic
/// nanoseconds and always given: it never reads a clock.
public struct MetricsRegistry: ~Copyable, Sendable {
    /// Caps that keep peers and hosts from growing the exposition without bound; past one, `other`.
    public struct Limits: Sendable {
        /// Series in all, a histogram counting for each of its lines. Series named `other` come on top.
        public var series = 20_000
        /// Distinct values of a label whose text others choose.
        public var labelValues = 64
        /// Each has windows of its own.
        public var stacks = 16

        public init() {}
    }

    /// What is told, beyond what always is.
    public struct Options: Sendable {
        /// Lengths of the sliding windows, the status page's first.
        package var windows = [WindowLength(seconds: 60)]
        /// Labels added to the handshake counters, the duration histogram and the window gauges.
        public var labels: [ExtraLabelOption] = []
        /// Whether the duration histogram's buckets carry exemplars, with pid and server name.
        public var exemplars = false
        /// Nanoseconds from which on a completed session is slow.
        package var slow: UInt64 = 100_000_000
        public var limits = Limits()

        public init() {}
    }

    private var budget: SeriesBudget
    private var extra: ExtraLabelTable
    private var windows: SessionWindows
    private var ratios: RatioWindows
    private var board: StatusBoard
    private var typical: TypicalDurations
    private let buildInfo: MetricFamily

    private var sessions: SessionSeries
    /// Families that are not counted from sessions, by name.
    private var sampled: [String: SeriesTable<UInt64>] = [:]
    /// Stacks that are or were observed, and the labels of those whose counters were made beforehand.
    private var observed: Set<String> = []
    private var prepared: [String] = []
    private var lost: UInt64 = 0

    /// `version` and `revision` go to `tlswatch_build_info`.
    public init(version: String, revision: String? = nil, options: Options = Options()) {
        let lengths = options.windows.isEmpty ? [WindowLength(seconds: 60)] : options.windows
        budget = SeriesBudget(limit: options.limits.series)
        extra = ExtraLabelTable(options.labels, limit: options.limits.series)
        sessions = SessionSeries(options, extra: extra.names)
        windows = SessionWindows(lengths, extra: extra.names)
        ratios = RatioWindows(lengths)
        board = StatusBoard(lengths[0])
        typical = TypicalDurations(lengths[0])
        buildInfo = MetricFamily(
            FamilySample(MetricCatalogue.buildInfo, [(LabelValues(version, revision ?? Label.unknown), 1)]))
    }

    /// What made a finished session as long as it was, against those before it in the first window; once for each, in the order
    /// in which they end. `nil` unless all its parts are known.
    package mutating func cause(of handshake: borrowing Handshake) -> HandshakeCause? {
        HandshakeCause(of: handshake, median: typical.median(before: handshake))
    }

    /// Sets that cause.
    package mutating func judge(_ handshake: inout Handshake) { handshake.cause = cause(of: handshake) }

    /// Counts one finished session. Only completed ones enter durations and windows: the others end at an arbitrary
    /// time, and would poison a quantile.
    public mutating func record(_ handshake: Handshake, now: UInt64) {
        let combination = extra.admit(handshake, budget: &budget)
        let stack = sessions.record(handshake, extra: combination, budget: &budget)
        if let succeeded = handshake.keyExchangeSucceeded {
            ratios.keyExchange(role: handshake.role, succeeded: succeeded, at: handshake.end, now: now)
        }
        guard handshake.outcome == .completed else { return }
        windows.completed(
            LabelValues(handshake.role.rawValue, stack), duration: handshake.duration, at: handshake.end, now: now,
            extra: combination, budget: &budget)
        board.completed(handshake, now: now)
        if let negotiation = handshake.alpnNegotiation {
            ratios.alpn(
                role: handshake.role, negotiation: negotiation, duration: handshake.duration, at: handshake.end,
                now: now)
        }
    }

    /// A library of this stack is observed: the counters of its sessions are there from now on, at 0. Any number of times.
    ///
    /// - Parameter reasons: why its handshakes fail, snake case, besides what is common to all stacks.
    package mutating func observe(stack: String, reasons: [String]) {
        guard observed.insert(stack).inserted else { return }
        if let label = sessions.prepare(stack: stack, reasons: reasons, budget: &budget) { prepared.append(label) }
    }

    /// Takes the session table's own counts, all of them.
    package mutating func update(sessions counted: [SessionTally]) {
        func key(_ tally: SessionTally) -> LabelValues { LabelValues(tally.role.rawValue, tally.stack) }
        let known = Set(counted.map(key))
        let none = prepared.flatMap { stack in
            Role.allCases.map { SessionTally(role: $0, stack: stack, started: 0, inFlight: 0) }
        }
        let sessions = counted + none.filter { !known.contains(key($0)) }
        update([
            FamilySample(MetricCatalogue.sessionsStarted, sessions.map { (key($0), $0.started) }),
            FamilySample(MetricCatalogue.handshakesInFlight, sessions.map { (key($0), $0.inFlight) }),
        ])
    }

    /// Takes the kernel side's counters, all of them; a growing loss makes the windows incomplete.
    package mutating func update(kernel: KernelCounters, now: UInt64) {
        update(kernel.samples)
        if kernel.lost > lost { ratios.markLoss(at: now, now: now) }
        lost = kernel.lost
    }

    /// Takes what is probed and observed, all of it.
    package mutating func update(coverage: CoverageSample) {
        update(coverage.samples)
    }

    /// Takes what is seen of packets, all of it.
    package mutating func update(wire: WireSample) {
        update(wire.samples)
    }

    /// Takes what the series of these families are now, all of them.
    package mutating func update(_ samples: [FamilySample]) {
        for sample in samples {
            // A family without labels has one series: nothing that a cap is for.
            let cost = sample.metric.labels.isEmpty ? 0 : 1
            sampled[sample.metric.name, default: SeriesTable(sample.metric, initial: 0, cost: cost)]
                .replace(with: sample.series, budget: &budget)
        }
    }

    /// Events were lost, the last of them at `time`, other than by what `update(kernel:now:)` tells.
    package mutating func markLoss(at time: UInt64, now: UInt64) {
        ratios.markLoss(at: time, now: now)
    }

    /// Everything at `now`. Take one at least every 250 ms: its age adds to that of the window gauges.
    public mutating func snapshot(now: UInt64) -> MetricsSnapshot {
        windows.refresh(now: now)
        let own = [
            buildInfo, MetricFamily(FamilySample(MetricCatalogue.seriesCapped, budget.capped)),
            MetricFamily(FamilySample(MetricCatalogue.seriesEvicted, budget.evicted)),
            MetricFamily(MetricCatalogue.handshakeWindow.adding(extra.names), .quantiles(windows.quantiles)),
            MetricFamily(MetricCatalogue.handshakeWindowSessions.adding(extra.names), .sessions(windows.quantiles)),
        ]
        return MetricsSnapshot(
            time: now,
            families: own + sessions.families + ratios.families(now: now)
                + sampled.values.map { MetricFamily($0.descriptor, numbers: $0.series) })
    }

    /// What the status page shows of this, at `now`.
    package mutating func status(now: UInt64) -> SessionStatus {
        let series = sessions.handshakes
        let ended = series.values.indices.filter { series.values[$0] > 0 }.map { index in
            let values = series.labels[index].values
            return StatusSnapshot.Ended(
                role: Role(rawValue: values[0]) ?? .client, outcome: Outcome(rawValue: values[2]) ?? .completed,
                reason: values[3] == Label.none ? nil : values[3], count: series.values[index])
        }
        return SessionStatus(
            window: board.seconds, incomplete: ratios.isIncomplete(length: 0, now: now),
            figures: board.figures(now: now), ended: SessionStatus.merged(ended), slowest: board.slowest(now: now))
    }
}

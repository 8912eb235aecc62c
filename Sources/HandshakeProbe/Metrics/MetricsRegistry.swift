/// Everything that is served at `/metrics`, fed from finished sessions and from samples of the kernel's counters.
///
/// Owned by one thread, which alone may call it: no lock. Other threads get immutable snapshots. Times are monotonic
/// nanoseconds and always given: it never reads a clock.
public struct MetricsRegistry: ~Copyable, Sendable {
    /// Caps that keep peers and hosts from growing the exposition without bound; past one, `other`.
    public struct Limits: Sendable {
        /// Series in all, a histogram counting for each of its lines. Series named `other` come on top.
        public var series = 10_000
        /// Distinct values of a label whose text others choose.
        public var labelValues = 64
        /// Each has a window of up to 1.3 MB.
        public var stacks = 16

        public init() {}
    }

    private var budget: SeriesBudget
    private var stacks, reasons, versions, ciphers, groups, protocols: LabelCap
    private var windows: SessionWindows
    private let buildInfo: MetricFamily

    private var handshakes = SeriesTable<UInt64>(MetricCatalogue.handshakes, initial: 0)
    private var durations = histogram(MetricCatalogue.handshakeDuration)
    private var busy = histogram(MetricCatalogue.handshakeBusy)
    private var parameters = SeriesTable<UInt64>(MetricCatalogue.handshakeParameters, initial: 0)
    private var keyExchanges = SeriesTable<UInt64>(MetricCatalogue.keyExchanges, initial: 0)
    private var keyExchangeDurations = histogram(MetricCatalogue.keyExchangeDuration)
    private var alpnNegotiations = histogram(MetricCatalogue.alpnNegotiation)
    private var tcpConnects = histogram(MetricCatalogue.tcpConnect)
    private var firstRecordDelays = histogram(MetricCatalogue.firstRecordDelay)
    private var started = SeriesTable<UInt64>(MetricCatalogue.sessionsStarted, initial: 0)
    private var inFlight = SeriesTable<UInt64>(MetricCatalogue.handshakesInFlight, initial: 0)
    private var submitted = SeriesTable<UInt64>(MetricCatalogue.events, initial: 0)
    private var dropped = SeriesTable<UInt64>(MetricCatalogue.eventsDropped, initial: 0)
    private var rejected = SeriesTable<UInt64>(MetricCatalogue.eventsRejected, initial: 0)
    private var decoded = SeriesTable<UInt64>(MetricCatalogue.eventsDecoded, initial: 0)
    private var probeHits = SeriesTable<UInt64>(MetricCatalogue.probeHits, initial: 0)
    private var probes = SeriesTable<UInt64>(MetricCatalogue.probes, initial: 0)
    private var processes = SeriesTable<UInt64>(MetricCatalogue.observedProcesses, initial: 0)
    private var lost: UInt64 = 0

    /// `version` goes to `tlswatch_build_info`; `windowSeconds` (1 to 3,600) is the length of every
    /// sliding window.
    public init(version: String, windowSeconds: UInt64 = 60, limits: Limits = Limits()) {
        budget = SeriesBudget(limit: limits.series)
        stacks = LabelCap(limit: limits.stacks)
        let cap = LabelCap(limit: limits.labelValues)
        (reasons, versions, ciphers, groups, protocols) = (cap, cap, cap, cap, cap)
        windows = SessionWindows(seconds: windowSeconds)
        var info = Series<UInt64>()
        info.append(LabelSet(names: MetricCatalogue.buildInfo.labels, values: [version]), 1)
        buildInfo = MetricFamily(MetricCatalogue.buildInfo, .integers(info))
    }

    /// Counts one finished session. Only completed ones enter durations and windows: the others end at an arbitrary
    /// time, and would poison a quantile.
    public mutating func record(_ handshake: Handshake, now: UInt64) {
        let role = handshake.role.rawValue
        let stack = stacks.admit(handshake.stack, budget: &budget)
        let reason = reasons.admit(handshake.reason, missing: Label.none, budget: &budget)
        handshakes.increment(LabelValues(role, stack, handshake.outcome.rawValue, reason), budget: &budget)
        let group = groups.admit(handshake.group, budget: &budget)
        if let succeeded = handshake.keyExchangeSucceeded {
            keyExchanges.increment(LabelValues(role, group, succeeded ? "success" : "failure"), budget: &budget)
            windows.keyExchange(role: handshake.role, succeeded: succeeded, at: handshake.end, now: now)
        }
        guard handshake.outcome == .completed else { return }
        windows.completed(
            role: handshake.role, stack: stack, duration: handshake.duration, at: handshake.end, now: now)
        recordCompleted(handshake, role: role, stack: stack, group: group)
        if let negotiation = handshake.alpnNegotiation {
            windows.alpn(
                role: handshake.role, negotiation: negotiation, duration: handshake.duration, at: handshake.end,
                now: now)
        }
    }

    /// Takes the session table's own counts, all of them.
    public mutating func update(sessions: [SessionTally]) {
        func key(_ tally: SessionTally) -> LabelValues { LabelValues(tally.role.rawValue, tally.stack) }
        started.replace(with: sessions.map { (key($0), $0.started) }, budget: &budget)
        inFlight.replace(with: sessions.map { (key($0), $0.inFlight) }, budget: &budget)
    }

    /// Takes the kernel side's counters, all of them; a growing loss makes the windows incomplete.
    public mutating func update(kernel: KernelCounters, now: UInt64) {
        submitted.replace(with: kernel.submitted.map { (LabelValues($0.program), $0.count) }, budget: &budget)
        dropped.replace(with: kernel.dropped.map { (LabelValues($0.program, $0.reason), $0.count) }, budget: &budget)
        rejected.replace(with: kernel.rejected.map { (LabelValues($0.reason), $0.count) }, budget: &budget)
        decoded.replace(with: [(LabelValues(), kernel.decoded)], budget: &budget)
        if kernel.lost > lost { windows.markLoss(at: now, now: now) }
        lost = kernel.lost
    }

    /// Takes what is probed and observed, all of it.
    public mutating func update(coverage: CoverageSample) {
        probeHits.replace(
            with: coverage.probeHits.map { (LabelValues($0.stack, $0.library), $0.count) }, budget: &budget)
        probes.replace(
            with: coverage.probes.map { (LabelValues($0.stack, $0.library, $0.state), $0.count) }, budget: &budget)
        processes.replace(
            with: coverage.processes.map { (LabelValues($0.state.rawValue, $0.reason ?? Label.none), $0.count) },
            budget: &budget)
    }

    /// Events were lost, the last of them at `time`, other than by what `update(kernel:now:)` tells.
    public mutating func markLoss(at time: UInt64, now: UInt64) {
        windows.markLoss(at: time, now: now)
    }

    /// Everything at `now`. Take one at least every 250 ms: its age adds to that of the window gauges.
    public mutating func snapshot(now: UInt64) -> MetricsSnapshot {
        var capped = Series<UInt64>()
        capped.append(LabelSet(names: [], values: []), budget.capped)
        let counters = [
            handshakes, parameters, keyExchanges, started, inFlight, submitted, dropped, rejected, decoded, probeHits,
            probes, processes,
        ]
        let parts = [keyExchangeDurations, alpnNegotiations, tcpConnects, firstRecordDelays]
        let families =
            counters.map { MetricFamily($0.descriptor, .integers($0.series)) }
            + [durations, busy].map { MetricFamily($0.descriptor, .histograms($0.series, .handshake)) }
            + parts.map { MetricFamily($0.descriptor, .histograms($0.series, .phase)) }
            + [buildInfo, MetricFamily(MetricCatalogue.seriesCapped, .integers(capped))]
        return MetricsSnapshot(time: now, families: families + windows.families(now: now))
    }

    private mutating func recordCompleted(_ handshake: Handshake, role: String, stack: String, group: String) {
        let version = versions.admit(handshake.tlsVersion, budget: &budget)
        let resumed = handshake.resumed.map { $0 ? "true" : "false" } ?? Label.unknown
        let cipher = ciphers.admit(handshake.cipher, budget: &budget)
        let alpn = protocols.admit(handshake.alpn, budget: &budget)
        parameters.increment(LabelValues(role, version, cipher, group, alpn, resumed), budget: &budget)
        let whole = DurationBounds.handshake
        durations.observe(
            handshake.duration, LabelValues(role, stack, version, resumed), bounds: whole, budget: &budget)
        busy.observe(handshake.busy, LabelValues(role, stack), bounds: whole, budget: &budget)
        let key = LabelValues(role)
        let phase = DurationBounds.phase
        if handshake.keyExchangeSucceeded != false {
            keyExchangeDurations.observe(handshake.keyExchange, key, bounds: phase, budget: &budget)
        }
        alpnNegotiations.observe(handshake.alpnNegotiation, key, bounds: phase, budget: &budget)
        tcpConnects.observe(handshake.tcpConnect, key, bounds: phase, budget: &budget)
        firstRecordDelays.observe(handshake.firstRecordDelay, key, bounds: phase, budget: &budget)
    }

    private static func histogram(_ descriptor: MetricDescriptor) -> SeriesTable<DurationHistogram> {
        // The finite buckets, +Inf, _sum and _count.
        SeriesTable(descriptor, initial: DurationHistogram(), cost: DurationBounds.count + 3)
    }
}

extension SeriesTable where Value == DurationHistogram {
    /// Counts a duration, where there is one.
    fileprivate mutating func observe(
        _ nanoseconds: UInt64?, _ key: LabelValues, bounds: DurationBounds, budget: inout SeriesBudget
    ) {
        guard let nanoseconds else { return }
        let slot = slot(for: key, budget: &budget)
        update(slot) { $0.observe(nanoseconds, bounds: bounds) }
    }
}

import CEvents
import Handshakes

/// Everything behind the ring buffer: decode, correlate, measure. The same for live events, for a replay and for a replay at
/// the recorded pace: each feeds it in its own way and then calls `step`. Confined to the thread that feeds it.
///
/// Never reads a clock: times are monotonic nanoseconds, of a replay the recording's.
final class EventConsumer {
    /// Between two looks at sessions that have timed out.
    static let expireInterval: UInt64 = 250_000_000
    private static let publishInterval: UInt64 = 200_000_000
    /// Without a handshake that begins or ends for so long, it is quiet: what is found then is published at once.
    private static let quietAfter: UInt64 = 2_000_000_000
    /// Once no window holds a session either, what is published changes by itself no more.
    private static let settledPublishInterval: UInt64 = 1_000_000_000
    private static let statusInterval: UInt64 = 1_000_000_000

    private var intake: Intake
    var decoder: EventDecoder { intake.decoder }
    private var correlation: Correlation {
        _read { yield intake.correlation }
        _modify { yield &intake.correlation }
    }
    var table: SessionTable {
        _read { yield intake.correlation.table }
        _modify { yield &intake.correlation.table }
    }
    var wire: WireTable { intake.correlation.wire }
    var metrics: MetricsRegistry
    /// Whether sessions are counted in `metrics`, or only judged by them.
    var keepsMetrics = true
    /// The last failed and slow sessions, if they are kept.
    var recent: RecentSessions?
    private let stacks: TLSStacks
    private let longestWindow: UInt64
    private let started: UInt64
    /// Watches for losses; `nil` in a replay, whose recording tells them.
    private var losses: LossWatch?
    private var ended = OutcomeCounts()
    /// Finished sessions by outcome, for summaries.
    var outcomes: [Outcome: UInt64] { ended.byOutcome }

    private var stepped: UInt64
    private var expired: UInt64 = 0
    private var published: UInt64?
    private var status: (snapshot: StatusSnapshot, time: UInt64)?
    /// When a handshake began or ended last.
    private var lastActivity: UInt64 = 0
    private var inFlight = 0

    /// - Parameters:
    ///   - longestWindow: of the metrics, nanoseconds.
    ///   - started: the time from which the uptime counts.
    init(
        table: SessionTable, wire: WireTable = WireTable(isEnabled: false), metrics: consuming MetricsRegistry,
        stacks: TLSStacks = .builtIn,
        longestWindow: UInt64 = 60_000_000_000, started: UInt64 = 0, recorder: consuming RecordingWriter? = nil,
        losses: LossWatch? = nil
    ) {
        intake = Intake(Correlation(table: table, wire: wire), recorder: recorder)
        self.metrics = metrics
        self.stacks = stacks
        self.longestWindow = longestWindow
        self.started = started
        stepped = started
        self.losses = losses
    }

    // MARK: what it is fed

    /// One record as the kernel wrote it; the memory is valid only during the call.
    func consume(_ record: UnsafeRawBufferPointer) {
        if let span = losses?.beforeRecord() { note(loss: span) }
        unsafe intake.take(record)
    }

    /// The records that a recording has next in memory, until `goesOn`, which is told the time of each, says no.
    func consume(from reader: inout RecordingReader, _ goesOn: (UInt64) -> Bool) {
        intake.take(from: &reader, goesOn)
    }

    /// A library has taken its profile: before any of its records. False where it has none, or its stack is not known.
    ///
    /// - Parameter identity: as `LibraryAnalysis.identity`; a recording does not tell it.
    @discardableResult func register(_ library: RecordedLibrary, identity: [KernelStates.Test] = []) -> Bool {
        guard (1..<Int(TLSWATCH_MAX_PROFILES)).contains(library.profile),
            let rules = stacks.named(library.stack)?.rules(version: library.version)
        else { return false }
        correlation.register(
            ProfileEntry(
                rules: rules, stack: library.stack, library: PeerText.clean(library.path),
                version: library.version.map(PeerText.clean), identity: identity,
                reasons: library.reasons?.mapValues(PeerText.clean) ?? [:]),
            at: library.profile)
        intake.recorder?.append(library)
        return true
    }

    /// Sessions of a stack can be observed: its counters begin at 0.
    func observe(stack: String) {
        metrics.observe(stack: stack, reasons: stacks.named(stack)?.rules.usualReasons ?? [])
    }

    /// Handshakes can be seen in packets: their counters begin at 0.
    func observeWire() { metrics.observe(stack: WireTable.stack, reasons: ["encrypted_alert", "not_tls"]) }

    /// Looks for losses; call it before a pass over the ring.
    func lookForLosses() {
        if let span = losses?.look() { note(loss: span) }
    }

    /// Records were lost in this span.
    func note(loss span: LossSpan) {
        intake.recorder?.append(span)
        correlation.note(loss: span)
    }

    // MARK: the step

    /// What a step has come to.
    struct Turn {
        /// The sessions that finished since the last one, counted.
        var finished: [Handshake]
        /// Whether it was looked for sessions that have timed out.
        var hasExpired: Bool
        /// Whether `publish` is to be called.
        var isPublicationDue: Bool
    }

    /// Follows each pass over events that were fed: ends what has timed out, counts what has finished, and says what is due.
    func step(now: UInt64) -> Turn {
        let wasQuiet = isQuiet
        stepped = now
        let isExpiryDue = now &- expired >= Self.expireInterval
        if isExpiryDue {
            expired = now
            correlation.expire(now: now)
        }
        let finished = takeFinished(now: now)
        if !finished.isEmpty || table.inFlight != inFlight {
            inFlight = table.inFlight
            lastActivity = now
        }
        let isWoken = wasQuiet && !isQuiet
        return Turn(
            finished: finished, hasExpired: isExpiryDue,
            isPublicationDue: isWoken || nextPublication.map { now &- $0 < 1 << 63 } ?? true)
    }

    /// The last step, at the end of the stream: no more is heard of a session whose socket has closed.
    func finish(now: UInt64) -> [Handshake] {
        correlation.table.endClosed()
        correlation.wire.settle(now: now)
        return takeFinished(now: now)
    }

    /// Whether no handshake had begun or ended for a while at the last step: a look costs more than what it finds then.
    var isQuiet: Bool { stepped &- lastActivity > Self.quietAfter }

    /// When the next publication is due, if nothing happens before that; `nil` where none was made yet.
    var nextPublication: UInt64? {
        let isSettled = inFlight == 0 && stepped &- lastActivity > longestWindow &+ Self.settledPublishInterval
        return published.map { $0 &+ (isSettled ? Self.settledPublishInterval : Self.publishInterval) }
    }

    /// Hands over the sessions that finished, having judged and counted them.
    private func takeFinished(now: UInt64) -> [Handshake] {
        var finished = correlation.takeFinished(now: now)
        for index in finished.indices {
            metrics.judge(&finished[index])
            ended.count(finished[index].outcome)
            if keepsMetrics { metrics.record(finished[index], now: now) }
            recent?.keep(finished[index])
        }
        return finished
    }

    // MARK: what it publishes

    /// What only the kernel side knows and no recording holds.
    struct Surroundings {
        /// Of the BPF programs, by their number.
        var counters: [tlswatch_counters] = []
        /// `nil` in a replay.
        var coverage: CoverageSample?
        var libraries: [ObservedLibrary] = []
        /// `nil` where no packets are looked at.
        var wire: WireSample?
    }

    /// What has been counted so far.
    ///
    /// - Parameter drained: the machine's own monotonic time of the last pass over events.
    func publish(now: UInt64, drained: UInt64, _ surroundings: Surroundings = Surroundings()) -> EngineSnapshot {
        published = now
        let kernel = KernelCounters(surroundings.counters, decoder: decoder)
        metrics.update(kernel: kernel, now: now)
        metrics.update(sessions: tallies)
        if let coverage = surroundings.coverage { metrics.update(coverage: coverage) }
        if let wire = surroundings.wire { metrics.update(wire: wire) }
        if status.map({ now &- $0.time >= Self.statusInterval }) ?? true {
            let snapshot = StatusSnapshot(
                metrics.status(now: now), uptime: now &- started, inFlight: UInt64(table.inFlight), lost: kernel.lost,
                coverage: surroundings.coverage ?? CoverageSample(), libraries: surroundings.libraries)
            status = (snapshot, now)
        }
        return EngineSnapshot(
            metrics: metrics.snapshot(now: now), status: status?.snapshot, outcomes: outcomes,
            inFlight: table.inFlight, lost: kernel.lostInKernel, rejected: decoder.submitted &- decoder.decoded,
            drained: drained, recent: recent)
    }

    func flushRecording() throws(RecordingError) {
        try intake.recorder?.flush()
    }

    /// The tables' own account. A handshake that packets show is a session once it has ended and is no library's.
    var tallies: [SessionTally] {
        let wire = correlation.wire.ended.map { role, ended in
            SessionTally(role: role, stack: WireTable.stack, started: ended, inFlight: 0)
        }
        let libraries = table.counts.lines.map {
            SessionTally(role: $0.role, stack: $0.stack, started: $0.started, inFlight: $0.inFlight)
        }
        return (libraries + wire).sorted { ($0.role.rawValue, $0.stack) < ($1.role.rawValue, $1.stack) }
    }
}

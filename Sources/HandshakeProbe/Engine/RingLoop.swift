import CEvents
import Glibc
import Handshakes
import Kernel

/// The body of the ring's thread: drain, correlate, publish.
///
/// Unchecked: made by one thread and handed to the one that runs it, which alone uses it from then on.
final class RingLoop: @unchecked Sendable {
    /// How long records may wait in the ring: producers do not wake the consumer (a forced wake-up costs them 8 µs).
    private static let pollMilliseconds: Int32 = 20
    private static let publishInterval: UInt64 = 200_000_000
    /// The same on a host where no handshake has begun or ended for a while: a look costs more than what it finds. What is
    /// found is published at once then.
    private static let quietPollMilliseconds: Int32 = 250
    private static let quietAfter: UInt64 = 2_000_000_000
    /// Once no window holds a session either, what is published changes by itself no more.
    private static let settledPublishInterval: UInt64 = 1_000_000_000
    private static let expireInterval: UInt64 = 250_000_000
    private static let statusInterval: UInt64 = 1_000_000_000
    /// Less is the noise of reading two clocks.
    private static let wallClockStep: UInt64 = 1_000_000

    private let ring: RingBuffer
    private unowned let engine: Engine
    private let consumer: EventConsumer
    private let deliver: @Sendable ([Handshake]) -> Void
    private var hits = LibraryHits()
    private var distrusted: Set<Int> = []
    private var status: StatusSnapshot?
    private var statusTime: UInt64 = 0
    private let started = monotonicNow()
    /// When a handshake began or ended last.
    private var lastActivity: UInt64 = 0
    private var lastDrain = monotonicNow()
    private var inFlight = 0

    init(engine: Engine, consumer: EventConsumer, deliver: @escaping @Sendable ([Handshake]) -> Void) throws(BPFError) {
        ring = try unsafe RingBuffer(descriptor: engine.ringDescriptor) { unsafe consumer.consume($0) }
        self.engine = engine
        self.consumer = consumer
        self.deliver = deliver
    }

    func run() {
        var published: UInt64 = 0
        var expired: UInt64 = 0
        publish(now: monotonicNow())
        while !waitForStop() {
            let wasQuiet = isQuiet(at: lastDrain)
            let now = drain()
            if now - expired >= Self.expireInterval {
                expired = now
                consumer.table.timeout = engine.handshakeTimeout
                followWallClock()
                consumer.table.expire(now: now)
                hand(now)
            }
            let isWoken = wasQuiet && !isQuiet(at: now)
            if isWoken || now - published >= publishInterval(at: now) {
                published = now
                publish(now: now)
            }
        }
        drain()
        consumer.table.endClosed()
        let now = monotonicNow()
        hand(now)
        do {
            try consumer.flushRecording()
        } catch {
            engine.note(recordingFailure: error.description)
        }
        publish(now: now)
    }

    /// Sleeps until records or the stop signal are there, a poll interval at most. True on stop.
    private func waitForStop() -> Bool {
        var descriptors = [
            pollfd(fd: ring.descriptor, events: Int16(POLLIN), revents: 0),
            pollfd(fd: engine.stopSignal, events: Int16(POLLIN), revents: 0),
        ]
        unsafe _ = poll(
            &descriptors, 2, isQuiet(at: lastDrain) ? Self.quietPollMilliseconds : Self.pollMilliseconds)
        return descriptors[1].revents != 0
    }

    private func isQuiet(at now: UInt64) -> Bool { now - lastActivity > Self.quietAfter }

    private func publishInterval(at now: UInt64) -> UInt64 {
        let isSettled = inFlight == 0 && now - lastActivity > engine.longestWindow + Self.settledPublishInterval
        return isSettled ? Self.settledPublishInterval : Self.publishInterval
    }

    /// Somebody may set the clock. A recording keeps the offset of its header, which its replay has too.
    private func followWallClock() {
        guard !engine.isRecording else { return }
        let offset = wallClockOffset()
        if (offset &- consumer.table.wallClockOffset).magnitude > Self.wallClockStep {
            consumer.table.wallClockOffset = offset
        }
    }

    @discardableResult private func drain() -> UInt64 {
        register()
        consumer.lookForLosses()
        ring.drain()
        let now = monotonicNow()
        hand(now)
        lastDrain = now
        return now
    }

    private func hand(_ now: UInt64) {
        let finished = consumer.takeFinished(now: now)
        if !finished.isEmpty || consumer.table.inFlight != inFlight {
            inFlight = consumer.table.inFlight
            lastActivity = now
        }
        if !finished.isEmpty { deliver(finished) }
    }

    /// Takes the libraries announced since the last time: before any of their records.
    private func register() {
        for library in engine.takeAnnounced() {
            guard let rules = engine.stacks.named(library.stack)?.rules else { continue }
            hits.register(library)
            consumer.table.register(
                ProfileEntry(rules: rules, stack: library.stack, library: library.path, version: library.version),
                at: library.profile)
            consumer.record(
                library: RecordedLibrary(
                    profile: library.profile, stack: library.stack, path: library.path, version: library.version))
        }
    }

    private func publish(now: UInt64) {
        for (profile, health) in consumer.table.health.enumerated()
        where health.isWrong && distrusted.insert(profile).inserted {
            engine.distrust(profile: profile)
        }
        // What was recorded is there whatever happens next; a failure is told at the end.
        try? consumer.flushRecording()
        let counters = engine.counters()
        let kernel = KernelCounters(counters, decoder: consumer.decoder)
        consumer.metrics.update(kernel: kernel, now: now)
        let observed = engine.catalog.libraries
        for library in observed where library.state == .attached && library.analysis?.observesSessions == true {
            consumer.metrics.observe(
                stack: library.stack, reasons: engine.stacks.named(library.stack)?.rules.usualReasons ?? [])
        }
        consumer.metrics.update(sessions: consumer.tallies)
        let coverage = coverage(counters, observed)
        consumer.metrics.update(coverage: coverage)
        if status == nil || now - statusTime >= Self.statusInterval {
            statusTime = now
            status = StatusSnapshot(
                consumer.metrics.status(now: now), uptime: now - started,
                inFlight: UInt64(consumer.table.inFlight), lost: kernel.lost, coverage: coverage, libraries: observed)
        }
        engine.publish(
            EngineSnapshot(
                metrics: consumer.metrics.snapshot(now: now), status: status, outcomes: consumer.outcomes,
                inFlight: consumer.table.inFlight, lost: kernel.lostInKernel,
                rejected: consumer.decoder.submitted &- consumer.decoder.decoded, drained: now))
    }

    private func coverage(_ counters: [tlswatch_counters], _ observed: [ObservedLibrary]) -> CoverageSample {
        var sample = CoverageSample()
        sample.probeHits = hits.samples(live: observed) { engine.hits(profile: $0) }
        // The tracepoint programs' hits, so that hits = submitted + dropped holds over everything.
        for program in KernelProgram.allCases where program.isTracepoint {
            guard let counter = program.counters(among: counters) else { continue }
            sample.probeHits.append(.init(stack: "kernel", library: program.label, count: counter.hits))
        }
        sample.add(observed, uncovered: engine.catalog.uncovered)
        sample.evictedLibraries = engine.catalog.evicted
        return sample
    }
}

import CBPF
import Glibc

/// The body of the ring's thread: drain, correlate, publish.
///
/// Unchecked: made by one thread and handed to the one that runs it, which alone uses it from then on.
final class RingLoop: @unchecked Sendable {
    /// How long records may wait in the ring: producers do not wake the consumer (a forced wake-up costs them 8 µs).
    private static let pollMilliseconds: Int32 = 20
    private static let publishInterval: UInt64 = 200_000_000
    /// The same on a host where nothing has happened for a while: a look costs more than what it finds. What is published
    /// is half a second old at most.
    private static let quietPollMilliseconds: Int32 = 100
    private static let quietPublishInterval: UInt64 = 350_000_000
    private static let quietAfter: UInt64 = 2_000_000_000
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
    /// When a record came last, and how many had come by then.
    private var lastRecord = monotonicNow()
    private var records: UInt64 = 0
    private var isQuiet = false

    init(engine: Engine, consumer: EventConsumer, deliver: @escaping @Sendable ([Handshake]) -> Void) throws(BPFError) {
        ring = try RingBuffer(descriptor: engine.ringDescriptor, consumer: consumer)
        self.engine = engine
        self.consumer = consumer
        self.deliver = deliver
    }

    func run() {
        var published: UInt64 = 0
        var expired: UInt64 = 0
        publish(now: monotonicNow())
        while !waitForStop() {
            let now = drain()
            if now - expired >= Self.expireInterval {
                expired = now
                consumer.table.timeout = engine.handshakeTimeout
                followWallClock()
                consumer.table.expire(now: now)
                hand(now)
            }
            if now - published >= (isQuiet ? Self.quietPublishInterval : Self.publishInterval) {
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
        unsafe _ = poll(&descriptors, 2, isQuiet ? Self.quietPollMilliseconds : Self.pollMilliseconds)
        return descriptors[1].revents != 0
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
        if consumer.decoder.submitted != records {
            records = consumer.decoder.submitted
            lastRecord = now
        }
        isQuiet = now - lastRecord > Self.quietAfter
        return now
    }

    private func hand(_ now: UInt64) {
        let finished = consumer.takeFinished(now: now)
        if !finished.isEmpty { deliver(finished) }
    }

    /// Takes the libraries announced since the last time: before any of their records.
    private func register() {
        for library in engine.takeAnnounced() {
            guard let rules = SessionRules.of(stack: library.stack) else { continue }
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
        consumer.metrics.update(sessions: consumer.tallies)
        let observed = engine.catalog.libraries
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
        for program in KernelProgram.allCases where program.isTracepoint && program.rawValue < counters.count {
            sample.probeHits.append(
                .init(stack: "kernel", library: program.label, count: counters[program.rawValue].hits))
        }
        sample.add(observed, uncovered: engine.catalog.uncovered)
        sample.evictedLibraries = engine.catalog.evicted
        return sample
    }
}

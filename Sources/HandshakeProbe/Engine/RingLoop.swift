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
    /// The same on a host where no handshake has begun or ended for a while.
    private static let quietPollMilliseconds: Int32 = 250
    /// Less is the noise of reading two clocks.
    private static let wallClockStep: UInt64 = 1_000_000

    private let ring: RingBuffer
    private unowned let engine: Engine
    private let consumer: EventConsumer
    private let deliver: @Sendable ([Handshake]) -> Void
    private var hits = LibraryHits()
    /// Profiles that were found to read nonsense, and those that want to know of freed objects: each is told once.
    private var distrusted: Set<Int> = []
    private var wantingObjectFree: Set<Int> = []

    init(engine: Engine, consumer: EventConsumer, deliver: @escaping @Sendable ([Handshake]) -> Void) throws(BPFError) {
        ring = try unsafe RingBuffer(descriptor: engine.ringDescriptor) { unsafe consumer.consume($0) }
        self.engine = engine
        self.consumer = consumer
        self.deliver = deliver
    }

    func run() {
        publish(now: monotonicNow())
        while !waitForStop() {
            let (turn, now) = drain()
            if turn.hasExpired {
                consumer.table.timeout = engine.handshakeTimeout
                followWallClock()
            }
            if turn.isPublicationDue { publish(now: now) }
        }
        drain()
        let now = monotonicNow()
        hand(consumer.finish(now: now))
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
            &descriptors, 2, consumer.isQuiet ? Self.quietPollMilliseconds : Self.pollMilliseconds)
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

    @discardableResult private func drain() -> (EventConsumer.Turn, now: UInt64) {
        register()
        consumer.lookForLosses()
        ring.drain()
        let now = monotonicNow()
        let turn = consumer.step(now: now)
        hand(turn.finished)
        return (turn, now)
    }

    private func hand(_ finished: [Handshake]) {
        if !finished.isEmpty { deliver(finished) }
    }

    /// Takes the libraries announced since the last time: before any of their records.
    private func register() {
        for library in engine.takeAnnounced() {
            var recorded = RecordedLibrary(
                profile: library.profile, stack: library.stack, path: library.path, version: library.version)
            if let reasons = library.analysis?.reasons, !reasons.isEmpty { recorded.reasons = reasons }
            // A profile that was another library's.
            distrusted.remove(library.profile)
            wantingObjectFree.remove(library.profile)
            if consumer.register(recorded, identity: library.analysis?.identity ?? []) { hits.register(library) }
        }
    }

    private func publish(now: UInt64) {
        for (profile, health) in consumer.table.health.enumerated() {
            if health.isWrong, distrusted.insert(profile).inserted { engine.distrust(profile: profile) }
            if health.hasUnknownSockets, wantingObjectFree.insert(profile).inserted {
                engine.probeObjectFree(profile: profile)
            }
        }
        // What was recorded is there whatever happens next; a failure is told at the end.
        try? consumer.flushRecording()
        let counters = engine.counters()
        let observed = engine.catalog.libraries
        for library in observed where library.state == .attached && library.analysis?.observesSessions == true {
            consumer.observe(stack: library.stack)
        }
        engine.publish(
            consumer.publish(
                now: now, drained: now,
                EventConsumer.Surroundings(
                    counters: counters, coverage: coverage(counters, observed), libraries: observed, wire: wire())))
    }

    private func wire() -> WireSample? {
        guard let (packets, groups) = engine.packets() else { return nil }
        consumer.observeWire()
        return WireSample(consumer.wire.counts, packets: packets, groups: groups)
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

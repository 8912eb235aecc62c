import Dispatch
import Glibc
import Handshakes
import Kernel
import Synchronization

/// A recording that happens again: its first record is now, the others follow at the pace at which they were recorded,
/// and what an engine would publish is published. It needs neither privilege nor kernel programs.
///
/// What only the kernel side knows (hits, drops, probes, observed processes) is not in a recording and is absent.
package final class PacedReplay: Sendable {
    private static let publishInterval: UInt64 = 200_000_000
    /// As an engine leaves records in the ring.
    private static let drainInterval: UInt64 = 20_000_000
    private static let expireInterval: UInt64 = 250_000_000
    private static let statusInterval: UInt64 = 1_000_000_000

    private let reader: Mutex<RecordingReader>
    /// The first record's time, on the recording's clock.
    private let first: UInt64
    private let options: EngineOptions
    private let latest = Mutex<EngineSnapshot?>(nil)
    private let stopDescriptor: Int32
    private let finished = DispatchGroup()

    /// - Parameter options: of these the version, the handshake timeout and the metrics are used.
    /// - Throws: `RecordingError` where any part of the recording is cut or garbled: found now and not in an hour.
    package init(_ reader: RecordingReader, options: EngineOptions) throws(RecordingError) {
        var ahead = reader
        var first: UInt64?
        while let frame = try ahead.next() {
            if first == nil { first = ahead.time(of: frame) }
        }
        self.first = first ?? 0
        self.reader = Mutex(reader)
        self.options = options
        stopDescriptor = eventDescriptor()
        guard stopDescriptor >= 0 else {
            throw RecordingError(description: "cannot create an eventfd to end the replay: \(errnoText(errno))")
        }
    }

    deinit { close(stopDescriptor) }

    /// What was published last; `nil` before `start`. Any thread.
    package var snapshot: EngineSnapshot? { latest.withLock { $0 } }

    /// Begins to replay, on a thread of its own; once.
    ///
    /// - Throws: `BPFError` where no thread can be started.
    package func start() throws(BPFError) {
        try WorkerThread.start("tlswatch-replay", in: finished) { [self] in
            // The thread's alone from here: the lock is never waited for.
            reader.withLock { run(&$0) }
        }
    }

    /// Ends the replay and joins its thread. Idempotent.
    package func stop() {
        var one: UInt64 = 1
        unsafe _ = write(stopDescriptor, &one, 8)
        finished.wait()
    }

    /// Everything is on the recording's clock: only what the outside compares with its own is put on to the machine's.
    private func run(_ reader: inout RecordingReader) {
        let shift = monotonicNow() &- first
        let consumer = Replay.consumer(
            timeout: options.handshakeTimeout,
            metrics: MetricsRegistry(version: options.version, options: options.metrics),
            wallClockOffset: wallClockOffset() &+ Int64(bitPattern: shift))
        // Read to its end before: an error cannot come any more.
        var next = try? reader.next()
        var published: UInt64?
        var expired = first
        var status: StatusSnapshot?
        var judged = first
        while true {
            let now = monotonicNow() &- shift
            while let frame = next, reader.time(of: frame) ?? 0 <= now {
                Replay.pass(frame, of: reader, to: consumer)
                if case .library(let library) = frame, let stack = TLSStacks.builtIn.named(library.stack) {
                    consumer.metrics.observe(stack: library.stack, reasons: stack.rules.usualReasons)
                }
                if case .loss = frame { consumer.metrics.markLoss(at: now, now: now) }
                next = try? reader.next()
            }
            if now &- expired >= Self.expireInterval {
                expired = now
                consumer.table.expire(now: now)
            }
            _ = consumer.takeFinished(now: now)
            if published.map({ now &- $0 >= Self.publishInterval }) ?? true {
                published = now
                let lost = count(consumer, now: now)
                if status == nil || now &- judged >= Self.statusInterval {
                    judged = now
                    status = StatusSnapshot(
                        consumer.metrics.status(now: now), uptime: now &- first,
                        inFlight: UInt64(consumer.table.inFlight), lost: lost, coverage: CoverageSample(),
                        libraries: [])
                }
                publish(consumer, status, now: now, drained: now &+ shift)
            }
            let due = next.flatMap { reader.time(of: $0) } ?? .max
            let next = max(due, now &+ Self.drainInterval)
            if waitForStop(until: min(next, (published ?? now) &+ Self.publishInterval), now: now) { return }
        }
    }

    /// Sleeps until `time`. True on stop.
    private func waitForStop(until time: UInt64, now: UInt64) -> Bool {
        var descriptors = [pollfd(fd: stopDescriptor, events: Int16(POLLIN), revents: 0)]
        // A millisecond more than none, so that it does not spin up to the time.
        let milliseconds = time > now ? (time - now) / 1_000_000 + 1 : 0
        unsafe _ = poll(&descriptors, 1, Int32(clamping: milliseconds))
        return descriptors[0].revents != 0
    }

    /// Takes the consumer's own counts into the metrics; the result is what was rejected.
    private func count(_ consumer: EventConsumer, now: UInt64) -> UInt64 {
        let kernel = KernelCounters([], decoder: consumer.decoder)
        consumer.metrics.update(kernel: kernel, now: now)
        consumer.metrics.update(sessions: consumer.tallies)
        return kernel.lost
    }

    private func publish(_ consumer: EventConsumer, _ status: StatusSnapshot?, now: UInt64, drained: UInt64) {
        let snapshot = EngineSnapshot(
            metrics: consumer.metrics.snapshot(now: now), status: status, outcomes: consumer.outcomes,
            inFlight: consumer.table.inFlight, lost: 0,
            rejected: consumer.decoder.submitted &- consumer.decoder.decoded, drained: drained)
        latest.withLock { $0 = snapshot }
    }
}

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
    /// As an engine leaves records in the ring.
    private static let drainInterval: UInt64 = 20_000_000

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
        let consumer = EventConsumer(
            replayTimeout: options.handshakeTimeout,
            metrics: MetricsRegistry(
                version: options.version, revision: options.revision, options: options.metrics),
            longestWindow: options.longestWindow,
            wallClockOffset: wallClockOffset() &+ Int64(bitPattern: shift), holdsPackets: reader.holdsPackets,
            started: first)
        consumer.recent = RecentSessions(slow: options.metrics.slow)
        // Read to its end before: an error cannot come any more.
        var next = try? reader.next()
        while true {
            let now = monotonicNow() &- shift
            while let frame = next, reader.time(of: frame) ?? 0 <= now {
                consumer.take(frame, of: reader)
                if case .library(let library) = frame { consumer.observe(stack: library.stack) }
                if case .loss = frame { consumer.metrics.markLoss(at: now, now: now) }
                next = try? reader.next()
            }
            if consumer.step(now: now).isPublicationDue {
                let snapshot = consumer.publish(now: now, drained: now &+ shift)
                latest.withLock { $0 = snapshot }
            }
            let due = max(next.flatMap { reader.time(of: $0) } ?? .max, now &+ Self.drainInterval)
            if waitForStop(until: min(due, consumer.nextPublication ?? now), now: now) { return }
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
}

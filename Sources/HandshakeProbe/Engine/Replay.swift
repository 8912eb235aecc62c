import Dispatch
import Handshakes
import Kernel

/// Runs a recording through the same consumer as live events.
package enum Replay {
    package struct Result: Sendable {
        package var handshakes: [Handshake]
        package var metrics: MetricsSnapshot
        package var rejected: UInt64
        package var inFlight: Int
        /// Why the recording was not read to its end, if it was not: what stands before that is told all the same.
        package var cut: RecordingError?
    }

    /// What is known at the end of a replay whose sessions were handed over.
    package struct Ending: Sendable {
        package var rejected: UInt64
        package var inFlight: Int
        /// As in `Result`.
        package var cut: RecordingError?
    }

    /// - Parameter timeout: as `--handshake-timeout`, nanoseconds, on the recording's own clock.
    package static func run(_ reader: RecordingReader, timeout: UInt64, version: String) -> Result {
        var handshakes: [Handshake] = []
        let consumer = consumer(of: reader, timeout: timeout, version: version)
        let (now, ending) = feed(consumer, reader) { finished throws(Never) in
            handshakes += finished
            return true
        }
        consumer.metrics.update(sessions: consumer.tallies)
        return Result(
            handshakes: handshakes, metrics: consumer.metrics.snapshot(now: now), rejected: ending.rejected,
            inFlight: ending.inFlight, cut: ending.cut)
    }

    /// The same without keeping anything: sessions are handed over in batches as they finish, until `take` wants no more. They
    /// come from a thread of their own, so that both work at the same time; `take` is called on this one.
    package static func run<Failure: Error>(
        _ reader: RecordingReader, timeout: UInt64, _ take: ([Handshake]) throws(Failure) -> Bool
    ) throws(Failure) -> Ending {
        let handoff = ReplayHandoff()
        let group = DispatchGroup()
        do {
            try WorkerThread.start("tlswatch-replay", in: group) {
                handoff.end(stream(reader, timeout: timeout) { batch throws(Never) in handoff.give(batch) })
            }
        } catch {
            // No thread is to be had: one does it, too.
            return try stream(reader, timeout: timeout, take)
        }
        do throws(Failure) {
            while let batch = handoff.take() {
                if try !take(batch) { break }
            }
        } catch {
            _ = handoff.stop()
            throw error
        }
        return handoff.stop()
    }

    /// Sessions that are handed over together, at least: one by one, each wakes a thread, and is written by itself. Not many more
    /// either: memory of more than 128 KiB is asked of the kernel each time.
    private static let batch = 32

    private static func stream<Failure: Error>(
        _ reader: RecordingReader, timeout: UInt64, _ take: ([Handshake]) throws(Failure) -> Bool
    ) throws(Failure) -> Ending {
        let consumer = consumer(of: reader, timeout: timeout, version: "")
        consumer.keepsMetrics = false
        var batch: [Handshake] = []
        let (_, ending) = try feed(consumer, reader) { finished throws(Failure) in
            if batch.isEmpty, finished.count >= Self.batch { return try take(finished) }
            batch += finished
            guard batch.count >= Self.batch else { return true }
            defer { batch.removeAll(keepingCapacity: true) }
            return try take(batch)
        }
        if !batch.isEmpty { _ = try take(batch) }
        return ending
    }

    private static func consumer(of reader: RecordingReader, timeout: UInt64, version: String) -> EventConsumer {
        EventConsumer(
            replayTimeout: timeout, metrics: MetricsRegistry(version: version),
            wallClockOffset: reader.header.wallClockOffset, holdsPackets: reader.holdsPackets)
    }

    /// What is consumed between two steps, as in a pass over live events: records, and nanoseconds of the recording.
    private static let passRecords = 256
    private static let passTime: UInt64 = 20_000_000

    /// - Returns: the time of the last record, and what is known at the end.
    private static func feed<Failure: Error>(
        _ consumer: EventConsumer, _ reader: RecordingReader, _ take: ([Handshake]) throws(Failure) -> Bool
    ) throws(Failure) -> (now: UInt64, ending: Ending) {
        var reader = reader
        var now: UInt64 = 0
        var cut: RecordingError?
        var (pending, stepped) = (0, UInt64(0))
        func next() -> RecordingReader.Frame? {
            do throws(RecordingError) {
                return try reader.next()
            } catch {
                cut = error
                return nil
            }
        }
        func ending() -> (UInt64, Ending) {
            (
                now,
                Ending(
                    rejected: consumer.decoder.submitted &- consumer.decoder.decoded,
                    inFlight: consumer.table.inFlight, cut: cut)
            )
        }
        while true {
            var isDue = false
            consumer.consume(from: &reader) { time in
                now = max(now, time)
                pending += 1
                isDue = pending >= passRecords || now - stepped >= passTime
                return !isDue
            }
            if !isDue {
                // What is no record, or lies in the next piece of the file.
                guard let frame = next() else { break }
                if let time = reader.time(of: frame) { now = max(now, time) }
                consumer.take(frame, of: reader)
                guard case .record = frame else { continue }
                pending += 1
                guard pending >= passRecords || now - stepped >= passTime else { continue }
            }
            (pending, stepped) = (0, now)
            let finished = consumer.step(now: now).finished
            if !finished.isEmpty, try !take(finished) { return ending() }
        }
        let finished = consumer.finish(now: now)
        if !finished.isEmpty { _ = try take(finished) }
        return ending()
    }
}

extension EventConsumer {
    /// One that asks nothing of this machine.
    ///
    /// - Parameter holdsPackets: whether any of what it will be fed was seen in packets.
    convenience init(
        replayTimeout timeout: UInt64, metrics: consuming MetricsRegistry,
        longestWindow: UInt64 = 60_000_000_000, wallClockOffset: Int64, holdsPackets: Bool = true, started: UInt64 = 0
    ) {
        self.init(
            table: SessionTable(capacity: 65536, timeout: timeout, wallClockOffset: wallClockOffset),
            wire: WireTable(isEnabled: holdsPackets), metrics: metrics, longestWindow: longestWindow, started: started)
        table.processes.readsProc = false
    }

    /// What a recording has next.
    func take(_ frame: RecordingReader.Frame, of reader: RecordingReader) {
        switch frame {
        case .library(let library): register(library)
        case .process(let process):
            table.processes.set(
                pid: process.pid, start: process.start, exe: PeerText.clean(process.exe),
                groups: ProcessGroups(
                    container: process.container.map(PeerText.clean), unit: process.unit.map(PeerText.clean),
                    pod: process.pod.map(PeerText.clean)))
        case .loss(let span): note(loss: span)
        case .record(let range): unsafe reader.withRecord(range) { record in unsafe consume(record) }
        }
    }
}

extension RecordingReader {
    /// A record's monotonic nanoseconds; `nil` for what has none.
    func time(of frame: Frame) -> UInt64? {
        guard case .record(let range) = frame else { return nil }
        var time: UInt64?
        unsafe withRecord(range) { record in
            if record.count >= 8 { time = unsafe record.loadUnaligned(as: UInt64.self) }
        }
        return time
    }
}

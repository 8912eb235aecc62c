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

    /// - Parameter timeout: as `--handshake-timeout`, nanoseconds, on the recording's own clock.
    package static func run(_ reader: RecordingReader, timeout: UInt64, version: String) -> Result {
        var handshakes: [Handshake] = []
        let consumer = consumer(of: reader, timeout: timeout, version: version)
        let (now, cut) = feed(consumer, reader) { finished throws(Never) in
            handshakes += finished
            return true
        }
        consumer.metrics.update(sessions: consumer.tallies)
        return Result(
            handshakes: handshakes, metrics: consumer.metrics.snapshot(now: now),
            rejected: consumer.decoder.submitted &- consumer.decoder.decoded, inFlight: consumer.table.inFlight,
            cut: cut)
    }

    /// The same without keeping anything: sessions are handed over as they finish, until `take` wants no more.
    package static func run<Failure: Error>(
        _ reader: RecordingReader, timeout: UInt64, _ take: ([Handshake]) throws(Failure) -> Bool
    ) throws(Failure) -> (rejected: UInt64, inFlight: Int, cut: RecordingError?) {
        let consumer = consumer(of: reader, timeout: timeout, version: "")
        consumer.keepsMetrics = false
        let (_, cut) = try feed(consumer, reader, take)
        return (consumer.decoder.submitted &- consumer.decoder.decoded, consumer.table.inFlight, cut)
    }

    private static func consumer(of reader: RecordingReader, timeout: UInt64, version: String) -> EventConsumer {
        EventConsumer(
            replayTimeout: timeout, metrics: MetricsRegistry(version: version),
            wallClockOffset: reader.header.wallClockOffset)
    }

    /// - Returns: the time of the last record, and why the recording was not read to its end.
    private static func feed<Failure: Error>(
        _ consumer: EventConsumer, _ reader: RecordingReader, _ take: ([Handshake]) throws(Failure) -> Bool
    ) throws(Failure) -> (now: UInt64, cut: RecordingError?) {
        var reader = reader
        var now: UInt64 = 0
        var cut: RecordingError?
        func next() -> RecordingReader.Frame? {
            do throws(RecordingError) {
                return try reader.next()
            } catch {
                cut = error
                return nil
            }
        }
        while let frame = next() {
            if let time = reader.time(of: frame) { now = max(now, time) }
            consumer.take(frame, of: reader)
            guard case .record = frame else { continue }
            let finished = consumer.step(now: now).finished
            if !finished.isEmpty, try !take(finished) { return (now, cut) }
        }
        _ = try take(consumer.finish(now: now))
        return (now, cut)
    }
}

extension EventConsumer {
    /// One that asks nothing of this machine.
    convenience init(
        replayTimeout timeout: UInt64, metrics: consuming MetricsRegistry,
        longestWindow: UInt64 = 60_000_000_000, wallClockOffset: Int64, started: UInt64 = 0
    ) {
        self.init(
            table: SessionTable(capacity: 65536, timeout: timeout, wallClockOffset: wallClockOffset),
            wire: WireTable(isEnabled: true), metrics: metrics, longestWindow: longestWindow, started: started)
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

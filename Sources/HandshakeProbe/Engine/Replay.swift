import CEvents
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
        var reader = reader
        let consumer = consumer(
            timeout: timeout, metrics: MetricsRegistry(version: version),
            wallClockOffset: reader.header.wallClockOffset)
        var handshakes: [Handshake] = []
        var now: UInt64 = 0
        var swept: UInt64 = 0
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
            pass(frame, of: reader, to: consumer)
            guard case .record = frame else { continue }
            if now &- swept > 1_000_000_000 {
                swept = now
                consumer.table.expire(now: now)
            }
            handshakes += consumer.takeFinished(now: now)
        }
        consumer.table.endClosed()
        handshakes += consumer.takeFinished(now: now)
        consumer.metrics.update(sessions: consumer.tallies)
        return Result(
            handshakes: handshakes, metrics: consumer.metrics.snapshot(now: now),
            rejected: consumer.decoder.submitted &- consumer.decoder.decoded, inFlight: consumer.table.inFlight,
            cut: cut)
    }

    /// A consumer that asks nothing of this machine.
    static func consumer(
        timeout: UInt64, metrics: consuming MetricsRegistry, wallClockOffset: Int64
    ) -> EventConsumer {
        let table = SessionTable(capacity: 65536, timeout: timeout, wallClockOffset: wallClockOffset)
        let consumer = EventConsumer(table: table, metrics: metrics, recorder: nil)
        consumer.table.processes.readsProc = false
        return consumer
    }

    static func pass(_ frame: RecordingReader.Frame, of reader: RecordingReader, to consumer: EventConsumer) {
        switch frame {
        case .library(let library):
            guard (1..<Int(TLSWATCH_MAX_PROFILES)).contains(library.profile),
                let rules = TLSStacks.builtIn.named(library.stack)?.rules
            else { return }
            consumer.table.register(
                ProfileEntry(rules: rules, stack: library.stack, library: library.path, version: library.version),
                at: library.profile)
        case .process(let process):
            consumer.table.processes.set(
                pid: process.pid, start: process.start, exe: PeerText.clean(process.exe),
                container: process.container.map(PeerText.clean))
        case .loss(let span): consumer.table.note(loss: span)
        case .record(let range):
            unsafe reader.withRecord(range) { record in unsafe consumer.consume(record) }
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

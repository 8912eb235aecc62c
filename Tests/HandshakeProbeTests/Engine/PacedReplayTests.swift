import Handshakes
import Foundation
import TestSupport
import Testing

@testable import HandshakeProbe
@testable import Kernel

/// A recording that happens again, at the pace at which it was recorded.
@Suite("A replay at the recorded pace") struct PacedReplayTests: RecordedStream {
    private static let hour: UInt64 = 3_600 * second

    /// Handshakes of 150 ns that begin at `starts`.
    private func stream(_ starts: [UInt64], loss: LossSpan? = nil) throws -> [UInt8] {
        try recording { writer in
            var writer = writer
            writer.append(Self.library)
            if let loss { writer.append(loss) }
            for start in starts {
                for record in [entered(start), returned(start + 150, from: start + 110)] {
                    unsafe record.withUnsafeBytes { unsafe writer.append($0) }
                }
            }
            try writer.flush()
        }
    }

    private func replay(_ bytes: [UInt8]) throws -> PacedReplay {
        try PacedReplay(RecordingReader(bytes: bytes, name: "paced"), options: EngineOptions(version: "test"))
    }

    /// Waits until what is published is so.
    private func published(_ replay: PacedReplay, where matches: (EngineSnapshot) -> Bool) -> EngineSnapshot? {
        var found: EngineSnapshot?
        _ = eventually {
            found = replay.snapshot.flatMap { matches($0) ? $0 : nil }
            return found != nil
        }
        return found
    }

    @Test("What is due now is published, what comes in an hour is not, and a stop does not wait for it")
    func onlyWhatIsDueIsPublished() throws {
        let before = Int64(bitPattern: monotonicNow()) &+ wallClockOffset()
        let replay = try replay(stream([7 * Self.hour, 7 * Self.hour + 1_000, 8 * Self.hour]))
        #expect(replay.snapshot == nil)
        try replay.start()
        let snapshot = try #require(published(replay) { $0.outcomes[.completed] == 2 && $0.status != nil })
        let text = text(snapshot.metrics)
        #expect(text.contains("\ntlswatch_events_decoded_total 4\n"))
        #expect(text.contains(#"tlswatch_sessions_started_total{role="server",stack="openssl"} 2"#))
        // The daemon serves it while it is fresh on the machine's own clock, and tells the time of now.
        #expect(monotonicNow() &- snapshot.drained < Self.hour)
        replay.stop()
        let last = try #require(replay.snapshot)
        #expect(last.outcomes == [.completed: 2])
        let after = Int64(bitPattern: monotonicNow()) &+ wallClockOffset()
        let status = try #require(last.status)
        #expect(status.slowest.allSatisfy { (before...after).contains($0.wallTime) }, "\(status.slowest)")
    }

    @Test("A loss in the recording makes the windows incomplete")
    func aRecordedLossMakesWindowsIncomplete() throws {
        for loss in [nil, LossSpan(from: 1, to: 2)] {
            let replay = try replay(stream([100], loss: loss))
            try replay.start()
            let snapshot = try #require(published(replay) { $0.outcomes[.completed] == 1 })
            replay.stop()
            let line = #"tlswatch_window_incomplete{window="60s"} \#(loss == nil ? 0 : 1)"#
            #expect(text(snapshot.metrics).contains(line))
        }
    }

    @Test("What is garbled in an hour's time is told at once")
    func garbledLater() throws {
        let bytes = try stream([100, Self.hour])
        #expect(throws: RecordingError.self) { try self.replay(Array(bytes.dropLast(3))) }
    }

    @Test("Times that no clock tells do not stop it", arguments: [[UInt64.max - 200, 5], [5, UInt64.max - 200]])
    func impossibleTimesDoNotStopIt(_ starts: [UInt64]) throws {
        let replay = try replay(stream(starts))
        try replay.start()
        #expect(published(replay) { _ in true } != nil)
        replay.stop()
    }
}

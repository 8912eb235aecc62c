import CEvents
import Foundation
import Synchronization
import TestSupport
import Testing

@testable import HandshakeProbe
@testable import Handshakes

/// Losses and closed sockets in a recording: a replay must judge the same sessions in the same way as the capture did.
@Suite("Losses and closed sockets in a recording") struct RecordedStreamTests: RecordedStream {
    @Test("What was written is read back, frame by frame, the loss where it stood")
    func roundTrip() throws {
        let loss = LossSpan(from: 1, to: .max)
        let (first, second) = (entered(100), returned(250, from: 210))
        let bytes = try recording { writer in
            var writer = writer
            writer.append(Self.library)
            unsafe first.withUnsafeBytes { unsafe writer.append($0) }
            writer.append(loss)
            unsafe second.withUnsafeBytes { unsafe writer.append($0) }
            try writer.flush()
        }
        var reader = try RecordingReader(bytes: bytes, name: "loss")
        #expect(reader.header == Self.recordingHeader)
        var told: [String] = []
        var records: [[UInt8]] = []
        while let frame = try reader.next() {
            switch frame {
            case .record(let range):
                told.append("record")
                unsafe reader.withRecord(range) { record in unsafe records.append(Array(record)) }
            case .library(let library):
                told.append("library")
                #expect(library == Self.library)
            case .process: told.append("process")
            case .loss(let span):
                told.append("loss")
                #expect(span == loss)
            }
        }
        #expect(told == ["library", "record", "loss", "record"])
        #expect(records == [first, second])
    }

    @Test(
        "A replay claims nothing of a handshake that a recorded loss overlaps",
        arguments: [(150, 160, Outcome.abandoned), (10, 20, .completed)] as [(UInt64, UInt64, Outcome)])
    func replayClaimsNothingDuringALoss(_ from: UInt64, _ to: UInt64, _ outcome: Outcome) throws {
        let records = [entered(100), returned(250, from: 210)]
        let bytes = try recording { writer in
            var writer = writer
            writer.append(Self.library)
            unsafe records[0].withUnsafeBytes { unsafe writer.append($0) }
            writer.append(LossSpan(from: from, to: to))
            unsafe records[1].withUnsafeBytes { unsafe writer.append($0) }
            try writer.flush()
        }
        let result = Replay.run(
            try RecordingReader(bytes: bytes, name: "loss"), timeout: Self.timeout, version: "test")
        #expect(result.handshakes.map(\.outcome) == [outcome])
        #expect(result.rejected == 0)
        #expect(result.inFlight == 0)
        #expect(result.handshakes.map(\.reason) == [outcome == .abandoned ? "events_lost" : nil])
    }

    @Test("The consumer writes a loss before the record that it found it before, and judges as a replay does")
    func consumerAndReplayJudgeAlike() throws {
        let losses = Mutex<(now: UInt64, told: tlswatch_losses)>((50, tlswatch_losses()))
        var live: [Handshake] = []
        let bytes = try recording { writer in
            let watch = LossWatch(now: { losses.withLock { $0.now } }, read: { losses.withLock { $0.told } })
            let consumer = EventConsumer(
                table: table(), metrics: MetricsRegistry(version: "test"), recorder: writer, losses: watch)
            consumer.register(Self.library)
            unsafe entered(100).withUnsafeBytes { unsafe consumer.consume($0) }
            losses.withLock { $0 = (200, tlswatch_losses(count: 3, last_ns: 150)) }
            consumer.lookForLosses()
            unsafe returned(250, from: 210).withUnsafeBytes { unsafe consumer.consume($0) }
            live = consumer.step(now: 300).finished
            try consumer.flushRecording()
        }
        #expect(live.map(\.reason) == ["events_lost"])
        var reader = try RecordingReader(bytes: bytes, name: "loss")
        var spans: [LossSpan] = []
        while let frame = try reader.next() {
            if case .loss(let span) = frame { spans.append(span) }
        }
        #expect(spans == [LossSpan(from: 50, to: 150)])
        let replayed = Replay.run(
            try RecordingReader(bytes: bytes, name: "loss"), timeout: Self.timeout, version: "test")
        #expect(replayed.handshakes.map(\.reason) == live.map(\.reason))
        #expect(replayed.handshakes.map(\.end) == live.map(\.end))
    }

    @Test("A session whose socket had closed when the recording ends was over at the close")
    func closedAtTheEnd() throws {
        let records = [
            entered(100), bytes(used(110), TLSWATCH_SOCKET),
            headed(back(130, from: 100, result: -1, flow: Flow.reading, io: -EAGAIN), TLSWATCH_CALL_RETURN),
            bytes(closed(200), TLSWATCH_SOCKET_CLOSED),
        ]
        let recorded = try recording { writer in
            var writer = writer
            writer.append(Self.library)
            for record in records { unsafe record.withUnsafeBytes { unsafe writer.append($0) } }
            try writer.flush()
        }
        let result = Replay.run(
            try RecordingReader(bytes: recorded, name: "closed"), timeout: Self.timeout, version: "test")
        #expect(result.handshakes.map(\.outcome) == [.abandoned] && result.handshakes.map(\.end) == [200])
        #expect(result.rejected == 0)
        #expect(result.inFlight == 0)
    }

    @Test("A loss that does not say from when to when is refused", arguments: [#"{"from":1}"#, "[]", ""])
    func aLossWithoutTimesIsRefused(_ text: String) throws {
        var bytes = try recording { writer in
            var writer = writer
            try writer.flush()
        }
        bytes += [4, 0, 0, 0, UInt8(text.utf8.count), 0, 0, 0] + Array(text.utf8)
        let result = Replay.run(try RecordingReader(bytes: bytes, name: "loss"), timeout: 1, version: "test")
        #expect(result.cut?.description.contains("the entry of a loss") == true)
    }
}

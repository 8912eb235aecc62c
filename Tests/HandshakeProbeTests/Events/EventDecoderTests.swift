import CEvents
import Foundation
import TestSupport
import Testing

@testable import HandshakeProbe
@testable import Handshakes

/// The decoder against records that the kernel would not write, and recordings that somebody else made.
@Suite("Decoding records") struct EventDecoderTests {
    private func consumer() -> EventConsumer {
        let consumer = EventConsumer(
            table: SessionTable(capacity: 1000, timeout: 1_000_000_000, wallClockOffset: 0),
            metrics: MetricsRegistry(version: "test"))
        consumer.table.processes.readsProc = false
        consumer.table.register(
            ProfileEntry(rules: .openSSL, stack: "openssl", library: "/libssl", version: nil), at: 1)
        return consumer
    }

    private func record(kind: UInt32, size: Int, claimed: Int? = nil) -> [UInt8] {
        var header = tlswatch_header()
        header.kind = UInt16(kind)
        header.size = UInt16(claimed ?? size)
        header.profile = 1
        var bytes = [UInt8](repeating: 0, count: max(size, MemoryLayout<tlswatch_header>.size))
        unsafe withUnsafeBytes(of: &header) { source in
            for index in source.indices { bytes[index] = unsafe source[index] }
        }
        return Array(bytes.prefix(size))
    }

    private func feed(_ bytes: [UInt8], to consumer: EventConsumer) {
        unsafe bytes.withUnsafeBytes { unsafe consumer.consume($0) }
    }

    @Test("Each kind of bad record is rejected for its own reason, and the books balance")
    func eachBadRecordHasItsReason() {
        let consumer = consumer()
        feed([1, 2, 3], to: consumer)
        feed(record(kind: 1, size: 104, claimed: 105), to: consumer)
        feed(record(kind: 99, size: 40), to: consumer)
        feed(record(kind: 1, size: 48), to: consumer)
        feed(record(kind: 3, size: 72), to: consumer)
        let fields =
            [
                (MemoryLayout<tlswatch_call_return>.offset(of: \.steps), 11),
                (MemoryLayout<tlswatch_call_return>.offset(of: \.steps), 1),
                (MemoryLayout<tlswatch_call_return>.offset(of: \.alpn_length), 1),
                (MemoryLayout<tlswatch_call_return>.offset(of: \.sni_length), 0xff),
            ] as [(Int?, UInt8)]
        for case (let offset?, let value) in fields {
            // More steps than a call has, a step and texts that are not there.
            var claims = record(kind: 2, size: CallReturn.size)
            claims[offset] = value
            feed(claims, to: consumer)
        }
        let counted = Dictionary(uniqueKeysWithValues: zip(Rejection.allCases, consumer.decoder.rejected))
        #expect(counted[.truncated] == 2)
        #expect(counted[.unknownKind] == 1)
        #expect(counted[.wrongSize] == 1)
        #expect(counted[.malformed] == 5)
        #expect(consumer.decoder.submitted == 9)
        #expect(consumer.decoder.decoded == 0)
    }

    @Test("Random records crash nothing, and every one is decoded or rejected")
    func randomRecordsAreDecodedOrRejected() {
        let consumer = consumer()
        var generator = SplitMix(seed: 42)
        let sizes = [0, 8, 40, 56, 72, 104, 112, 176, 208, 304, 312, 500, 700]
        for _ in 0..<20_000 {
            let size = sizes.randomElement(using: &generator) ?? 0
            var bytes = (0..<size).map { _ in UInt8.random(in: 0...255, using: &generator) }
            if size >= 40, Bool.random(using: &generator) {
                bytes[32] = UInt8.random(in: 0...9, using: &generator)
                bytes[33] = 0
                bytes[34] = 1
                bytes[35] = 0
                bytes[36] = UInt8(size & 0xff)
                bytes[37] = UInt8(size >> 8)
            }
            feed(bytes, to: consumer)
        }
        #expect(consumer.decoder.submitted == 20_000)
        _ = consumer.step(now: 1)
    }

    @Test("A peer's text cannot carry control characters or broken UTF-8 out")
    func peerText() {
        let hostile: [UInt8] = [0x68, 0x32, 0x0a, 0x22, 0xff, 0x1b, 0x5b]
        let text = unsafe hostile.withUnsafeBytes { unsafe PeerText.clean($0) }
        #expect(text == "h2\u{fffd}\"\u{fffd}\u{fffd}[")
    }

    @Test("A recording of real handshakes replays to what was captured")
    func realRecording() throws {
        let file = try #require(
            Bundle.module.url(forResource: "handshakes", withExtension: "recording", subdirectory: "Fixtures"))
        let result = Replay.run(try RecordingReader(path: file.path), timeout: 60_000_000_000, version: "test")
        #expect(result.rejected == 0)
        #expect(result.handshakes.count == 10)
        #expect(result.handshakes.allSatisfy { $0.parts == .unknown && $0.busy == nil && $0.cause == nil })
        #expect(result.handshakes.filter { $0.outcome == .completed }.count == 8)
        #expect(
            Set(result.handshakes.filter { $0.outcome == .failed }.compactMap(\.reason)) == ["no_application_protocol"])
        let completed = result.handshakes.filter { $0.outcome == .completed }
        #expect(Set(completed.compactMap(\.tlsVersion)) == ["TLSv1.2", "TLSv1.3"])
        #expect(completed.allSatisfy { $0.alpn == "h2" && $0.sni == "a.example" })
        // It is of wire version 2, whose sockets were not held against the handshake's own.
        #expect(completed.allSatisfy { $0.socketConfidence == .inferred && $0.thread == $0.comm })
    }

    @Test("A recording cut or changed anywhere is refused or replayed, and crashes nothing")
    func hostileRecordings() throws {
        let file = try #require(
            Bundle.module.url(forResource: "handshakes", withExtension: "recording", subdirectory: "Fixtures"))
        let whole = [UInt8](try Data(contentsOf: file))
        var generator = SplitMix(seed: 7)
        var refused = 0
        for _ in 0..<300 {
            var bytes = whole
            if Bool.random(using: &generator) {
                bytes = Array(bytes.prefix(Int.random(in: 0..<bytes.count, using: &generator)))
            } else {
                for _ in 0..<8 {
                    bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(
                        in: 0...255, using: &generator)
                }
            }
            do {
                let result = Replay.run(
                    try RecordingReader(bytes: bytes, name: "fuzz"), timeout: 1_000_000_000, version: "test")
                if result.cut != nil { refused += 1 }
            } catch { refused += 1 }
        }
        #expect(refused > 0)
    }
}

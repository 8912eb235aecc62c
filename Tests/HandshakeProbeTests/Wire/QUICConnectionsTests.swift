import CEvents
import Foundation
import Glibc
import TestSupport
import Testing

@testable import HandshakeProbe
@testable import Handshakes

/// Datagrams of QUIC handshakes, as the kernel's programs send them: which connection each is of, and what comes of it.
@Suite("QUIC's connections") struct QUICConnectionsTests: RecordedStream {
    private static let fixtures = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "WireTests/Fixtures")

    private struct Datagram {
        var isClients: Bool
        var bytes: [UInt8]
    }

    /// Only those that the programs send: with long headers.
    private func datagrams(_ name: String) throws -> [Datagram] {
        let text = try String(contentsOf: Self.fixtures.appending(path: "quic-\(name).datagrams"), encoding: .utf8)
        return text.split(separator: "\n").map { line in
            let digits = line.dropFirst(2).map { UInt8($0.hexDigitValue ?? 0) }
            let bytes = stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
            return Datagram(isClients: line.hasPrefix("C"), bytes: bytes)
        }.filter { ($0.bytes.first ?? 0) & 0x80 != 0 }
    }

    private func consumer() -> EventConsumer {
        EventConsumer(
            replayTimeout: 60 * second, metrics: MetricsRegistry(version: "test"), longestWindow: 60 * second,
            wallClockOffset: 0)
    }

    private func feed(_ record: [UInt8], to consumer: EventConsumer) {
        unsafe record.withUnsafeBytes { unsafe consumer.consume($0) }
    }

    private func record(
        _ time: UInt64, _ bytes: [UInt8], isSent: Bool, socket: UInt64 = 3, peer: UInt16 = 443, hasGap: Bool = false
    ) -> [UInt8] {
        var event = tlswatch_datagram()
        event.header.time_ns = time
        event.header.object = socket
        if isSent { (event.header.pid, event.header.tid, event.header.process_start_ns) = (7, 7, 5) }
        event.flags =
            (isSent ? UInt16(TLSWATCH_WIRE_SENT.rawValue) : 0) | (hasGap ? UInt16(TLSWATCH_WIRE_GAP.rawValue) : 0)
        event.byte_count = UInt16(bytes.count)
        event.length = UInt16(bytes.count)
        event.family = UInt16(AF_INET)
        (event.local_port, event.remote_port) = (5555, peer)
        (event.local.0, event.remote.0) = (127, 127)
        let fixed = unsafe withUnsafeBytes(of: &event) { unsafe Array($0) }
        // What lies behind in the ring is more than the record is long.
        return headed(fixed + bytes, TLSWATCH_DATAGRAM) + [UInt8](repeating: 0xee, count: 100)
    }

    /// A handshake as one of its sides has it, from `time` on.
    private func feed(
        _ name: String, as role: Role, at time: UInt64 = 1000, socket: UInt64 = 3, peer: UInt16 = 443,
        first count: Int = .max, to consumer: EventConsumer
    ) throws {
        for (index, datagram) in try datagrams(name).prefix(count).enumerated() {
            feed(
                record(
                    time + UInt64(index) * 1000, datagram.bytes, isSent: datagram.isClients == (role == .client),
                    socket: socket, peer: peer),
                to: consumer)
        }
    }

    @Test(
        "Each side's session has its process, its addresses and what the hellos tell",
        arguments: ["plain", "retry", "version-2", "version-negotiation", "both-versions", "long"])
    func sides(_ name: String) throws {
        for role in Role.allCases {
            let consumer = consumer()
            try feed(name, as: role, to: consumer)
            let rows = consumer.step(now: 20_000).finished
            try #require(rows.count == 1, "\(name) \(role)")
            let row = rows[0]
            #expect(row.role == role && row.outcome == .completed && row.transport == .quic)
            #expect(row.stack == "wire" && row.observedBy == .wire && row.pid == 7)
            #expect(row.local == "127.0.0.0:5555" && row.remote == "127.0.0.0:443")
            #expect(row.socketConfidence == .exact && row.rtt == nil && row.tcpConnect == nil)
            #expect(row.sni == "a.example" && row.alpnOffered?.first == "hq" && row.alpn == nil)
            #expect(row.tlsVersion == "TLSv1.3" && row.cipher == "TLS_AES_256_GCM_SHA384")
            #expect(row.start == 1000)
            // What comes late, or twice, begins nothing.
            try feed(name, as: role, at: 100_000, to: consumer)
            #expect(consumer.step(now: 20 * second).finished.isEmpty)
            #expect(consumer.wire.inFlight == 0)
            #expect(consumer.decoder.rejected.allSatisfy { $0 == 0 })
        }
    }

    @Test("Connections on one socket and one pair of addresses are told apart by the client's own ids")
    func shared() throws {
        let consumer = consumer()
        let names = ["plain", "retry", "long", "no-protocol", "unknown-authority"]
        let all = try names.map { try datagrams($0) }
        var time: UInt64 = 1000
        for turn in 0..<8 {
            for datagrams in all where turn < datagrams.count {
                time += 1000
                feed(record(time, datagrams[turn].bytes, isSent: !datagrams[turn].isClients), to: consumer)
            }
        }
        let rows = consumer.step(now: time).finished
        #expect(rows.count == names.count)
        #expect(rows.count { $0.outcome == .completed } == 3)
        #expect(
            Set(rows.compactMap(\.reason)) == ["no_application_protocol", "bad_certificate"])
        #expect(rows.allSatisfy { $0.role == .server })
    }

    @Test("One that falls silent is abandoned; so is one whose process ends, at that moment")
    func unfinished() throws {
        let silent = consumer()
        try feed("plain", as: .client, first: 2, to: silent)
        #expect(silent.step(now: 9 * second).finished.isEmpty)
        let row = try #require(silent.step(now: 11 * second).finished.first)
        #expect(row.outcome == .abandoned && row.reason == "silent" && row.endConfidence == .inferred)
        #expect(row.duration == 1000 && row.cipher == nil && row.sni == "a.example")

        let ended = consumer()
        try feed("plain", as: .client, first: 2, to: ended)
        var exit = tlswatch_process()
        exit.header.time_ns = 5000
        (exit.header.pid, exit.header.process_start_ns) = (7, 5)
        feed(bytes(exit, TLSWATCH_PROCESS_EXIT), to: ended)
        let rows = ended.step(now: 6000).finished
        #expect(rows.map(\.outcome) == [.abandoned] && rows.map(\.reason) == ["closed"])
        #expect(rows.map(\.duration) == [4000])
    }

    @Test("Where datagrams were left out nothing is claimed")
    func gaps() throws {
        let consumer = consumer()
        let all = try datagrams("plain")
        feed(record(1000, all[0].bytes, isSent: true), to: consumer)
        feed(record(2000, all[1].bytes, isSent: false, hasGap: true), to: consumer)
        #expect(consumer.step(now: 3000).finished.map(\.reason) == ["events_lost"])
    }

    @Test(
        "Which of a pair's connections a left-out datagram was of is not known: nothing is claimed of any, but of other pairs'"
    )
    func gapsOfSeveral() throws {
        let consumer = consumer()
        let (one, two) = (try datagrams("plain"), try datagrams("long"))
        feed(record(1000, one[0].bytes, isSent: true), to: consumer)
        feed(record(1100, two[0].bytes, isSent: true), to: consumer)
        feed(record(1200, try datagrams("retry")[0].bytes, isSent: true, peer: 444), to: consumer)
        feed(record(2000, one[1].bytes, isSent: false, hasGap: true), to: consumer)
        #expect(consumer.step(now: 3000).finished.map(\.reason) == ["events_lost", "events_lost"])
        #expect(consumer.wire.inFlight == 1)
    }

    @Test("Whatever is in a record, nothing traps, and no connection begins that no client has sealed")
    func hostile() throws {
        var random = SplitMix(seed: 6)
        let consumer = consumer()
        let whole = try datagrams("plain") + datagrams("retry")
        for _ in 0..<4000 {
            let datagram = whole[Int.random(in: whole.indices, using: &random)]
            var bytes = Array(datagram.bytes.prefix(Int.random(in: 0...datagram.bytes.count, using: &random)))
            for _ in 0..<Int.random(in: 1...6, using: &random) where !bytes.isEmpty {
                bytes[Int.random(in: 0..<min(bytes.count, 40), using: &random)] ^= UInt8.random(
                    in: 1...255, using: &random)
            }
            var event = record(1000, bytes, isSent: Bool.random(using: &random))
            if Int.random(in: 0..<4, using: &random) == 0 {
                event[Int.random(in: 40..<60, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            feed(event, to: consumer)
        }
        #expect(consumer.decoder.submitted == 4000)
        #expect(consumer.wire.inFlight < 16)
    }
}

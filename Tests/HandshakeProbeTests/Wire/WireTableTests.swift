import CEvents
import Glibc
import TestSupport
import Testing

@testable import HandshakeProbe
@testable import Handshakes

/// Handshakes that packets show, beside those of libraries: each is counted once.
@Suite("The wire's sessions") struct WireTableTests: RecordedStream {
    private static let claimWait: UInt64 = 2 * second

    private func consumer() -> EventConsumer {
        let consumer = EventConsumer(
            replayTimeout: 60 * second, metrics: MetricsRegistry(version: "test"), longestWindow: 60 * second,
            wallClockOffset: 0)
        consumer.register(Self.library)
        return consumer
    }

    private func feed(_ record: [UInt8], to consumer: EventConsumer) {
        unsafe record.withUnsafeBytes { unsafe consumer.consume($0) }
    }

    /// A segment of a client's connection, as the kernel writes it.
    private func segment(
        _ time: UInt64, flags: [tlswatch_wire_flag], records: [(type: UInt8, length: UInt16, first: UInt8)] = [],
        number: UInt64 = 77, pid: UInt32 = 7, remotePort: UInt16 = 443, content: [UInt8] = [], rtt: UInt32 = 0,
        retransmits: UInt32 = 1, trailing: Int = 0
    ) -> [UInt8] {
        var event = tlswatch_wire()
        event.header.time_ns = time
        event.header.process_start_ns = 5
        event.header.object = number
        (event.header.pid, event.header.tid) = (pid, pid)
        event.start_ns = 1000
        event.flags = flags.reduce(0) { $0 | UInt16($1.rawValue) }
        event.family = UInt16(AF_INET)
        (event.local_port, event.remote_port) = (5555, remotePort)
        (event.local.0, event.remote.0) = (127, 127)
        event.records = UInt16(records.count)
        unsafe withUnsafeMutableBytes(of: &event.record) { bytes in
            for (index, record) in records.enumerated() {
                var entry = tlswatch_wire_record()
                (entry.length, entry.type) = (record.length, record.type)
                if record.first != 0 { (entry.held, entry.content.0) = (8, record.first) }
                unsafe bytes.storeBytes(
                    of: entry, toByteOffset: index * MemoryLayout<tlswatch_wire_record>.stride,
                    as: tlswatch_wire_record.self)
            }
        }
        // What lies behind in the ring is more than the record is long.
        event.byte_count = UInt16(content.count)
        (event.connecting_ns, event.established_ns) = (600, 800)
        (event.rtt_us, event.retransmits) = (rtt, rtt == 0 ? TLSWATCH_NO_COUNT : retransmits)
        let fixed = unsafe withUnsafeBytes(of: &event) { unsafe Array($0) }
        return headed(fixed + content, TLSWATCH_WIRE) + [UInt8](repeating: 0xee, count: trailing)
    }

    private func begin(
        _ time: UInt64 = 1000, number: UInt64 = 77, pid: UInt32 = 7, port: UInt16 = 443, random: UInt8? = nil,
        rtt: UInt32 = 0
    ) -> [UInt8] {
        segment(
            time, flags: [TLSWATCH_WIRE_SENT, TLSWATCH_WIRE_BEGINS], records: [(22, 200, 1)], number: number, pid: pid,
            remotePort: port, content: random.map(hello) ?? [], rtt: rtt, trailing: 1024)
    }

    /// A ClientHello's record, whose random is this byte over and over, and which offers h2.
    private func hello(random: UInt8) -> [UInt8] {
        let alpn: [UInt8] = [0, 16, 0, 5, 0, 3, 2] + Array("h2".utf8)
        let body =
            [3, 3] + [UInt8](repeating: random, count: 32) + [0, 0, 2, 0x13, 1, 1, 0, 0, UInt8(alpn.count)] + alpn
        let message = [1, 0, 0, UInt8(body.count)] + body
        return [22, 3, 1, 0, UInt8(message.count)] + message
    }

    /// The return that completes a library's handshake, with the random that its object has.
    private func completed(_ time: UInt64, from enter: UInt64, random: UInt8, object: UInt64 = 0x1000) -> [UInt8] {
        let half = UInt32(random) &* 0x0101_0101
        return headed(
            back(
                time, from: enter, result: 1, flow: Flow.finished, object: object,
                scalars: [.version: 0x0304, .random: half, .randomEnd: half]),
            TLSWATCH_CALL_RETURN)
    }

    private func entering(_ time: UInt64, object: UInt64 = 0x1000) -> [UInt8] {
        bytes(enter(time, object: object, server: 0), TLSWATCH_CALL_ENTER)
    }

    /// ServerHello and the encrypted flight, and the client's Finished.
    private func complete(_ consumer: EventConsumer, at time: UInt64 = 2000, number: UInt64 = 77, pid: UInt32 = 7) {
        feed(
            segment(time, flags: [], records: [(22, 122, 2), (20, 1, 0), (23, 800, 0)], number: number, pid: pid),
            to: consumer)
        feed(
            segment(
                time + 500, flags: [TLSWATCH_WIRE_SENT], records: [(20, 1, 0), (23, 53, 0)], number: number, pid: pid),
            to: consumer)
    }

    /// A library's use of the same connection.
    private func claim(_ time: UInt64, pid: UInt32 = 7, port: UInt16 = 443, object: UInt64 = 0x1000) -> [UInt8] {
        var event = used(time)
        event.header.pid = pid
        event.header.object = object
        event.family = UInt16(AF_INET6)
        (event.local_port, event.remote_port) = (5555, port)
        // ::ffff:127.0.0.0, as an IPv6 socket has it.
        (event.local.10, event.local.11, event.local.12) = (0xff, 0xff, 127)
        (event.remote.10, event.remote.11, event.remote.12) = (0xff, 0xff, 127)
        return bytes(event, TLSWATCH_SOCKET)
    }

    @Test("One of a process without a library is a session at once, with what the packets show")
    func own() throws {
        let consumer = consumer()
        feed(begin(), to: consumer)
        complete(consumer)
        let rows = consumer.step(now: 3000).finished
        try #require(rows.count == 1)
        let row = rows[0]
        #expect(row.stack == "wire" && row.observedBy == .wire && row.library.isEmpty && row.calls == 0)
        #expect(row.role == .client && row.outcome == .completed && row.duration == 1500)
        // Without the ServerHello's bytes the length alone tells.
        #expect(row.endConfidence == .inferred)
        #expect(row.pid == 7 && row.local == "127.0.0.0:5555" && row.remote == "127.0.0.0:443")
        #expect(row.rtt == nil && row.retransmits == nil)
        #expect(row.parts == .unknown)
        #expect(consumer.wire.counts == [.own: 1])
        #expect(consumer.tallies.filter { $0.stack == "wire" }.map(\.started) == [1])
        // What lies behind a record in the ring is no part of it.
        #expect(consumer.decoder.rejected.allSatisfy { $0 == 0 })
        #expect(consumer.decoder.decoded == 3)
    }

    @Test(
        "The time before each of the peer's segments is the peer's; of a flight that was not seen to its end nothing is said"
    )
    func peerTime() {
        // The server's flight in two segments, of which the second may not be told.
        let cases: [(flags: [tlswatch_wire_flag], second: Bool, retransmits: UInt32, peer: UInt64?)] = [
            ([], false, 0, 1000), ([TLSWATCH_WIRE_CONTINUES], true, 0, 1700),
            ([TLSWATCH_WIRE_CONTINUES], false, 0, nil),
            ([TLSWATCH_WIRE_GAP], true, 0, nil), ([], true, 2, nil),
        ]
        for (flags, hasSecond, retransmits, peer) in cases {
            let consumer = consumer()
            feed(begin(), to: consumer)
            feed(segment(2000, flags: flags, records: [(22, 122, 2), (20, 1, 0), (23, 800, 0)]), to: consumer)
            if hasSecond { feed(segment(2700, flags: [], records: [(23, 53, 0)]), to: consumer) }
            feed(
                segment(
                    3000, flags: [TLSWATCH_WIRE_SENT], records: [(20, 1, 0), (23, 53, 0)], rtt: 30,
                    retransmits: retransmits), to: consumer)
            let rows = consumer.step(now: 4000).finished
            #expect(rows.map(\.duration) == [2000] && rows.map(\.outcome) == [.completed])
            #expect(rows.map(\.parts.peer) == [peer], "\(flags)")
            #expect(rows.allSatisfy { $0.parts.unread == nil && $0.busy == nil && $0.wait == nil && $0.cause == nil })
        }
    }

    @Test("One on a socket that a library has used is the library's, whether it claims it before the end or behind it")
    func merged() {
        for isEarly in [true, false] {
            let consumer = consumer()
            feed(begin(), to: consumer)
            feed(entering(1100), to: consumer)
            if isEarly { feed(claim(1200), to: consumer) }
            complete(consumer)
            if !isEarly { #expect(consumer.step(now: 4000).finished.isEmpty) }
            if !isEarly { feed(claim(1200), to: consumer) }
            #expect(consumer.step(now: 5000).finished.isEmpty)
            #expect(consumer.step(now: 10 * second).finished.isEmpty)
            #expect(consumer.wire.counts == [.merged: 1], "\(isEarly)")
        }
    }

    @Test(
        "A library's session that ends in a later step than its packets, and has claimed its socket, is lent what they show"
    )
    func claimedEarly() throws {
        let consumer = consumer()
        feed(begin(random: 4, rtt: 30), to: consumer)
        feed(entering(1100), to: consumer)
        feed(claim(1200), to: consumer)
        complete(consumer)
        #expect(consumer.step(now: 2600).finished.isEmpty)
        feed(completed(2700, from: 1100, random: 4), to: consumer)
        let rows = consumer.step(now: 3000).finished
        #expect(rows.map(\.stack) == ["openssl"])
        #expect(rows.map(\.alpnOffered) == [["h2"]] && rows.map(\.rtt) == [30_000])
        #expect(consumer.wire.counts == [.merged: 1])
    }

    @Test(
        "A handshake that a TLS connection carries is lent nothing of that connection's ClientHello, whose socket it shares"
    )
    func carried() {
        let consumer = consumer()
        feed(entering(900), to: consumer)
        feed(begin(random: 4, rtt: 30), to: consumer)
        feed(claim(1200), to: consumer)
        complete(consumer)
        feed(completed(2700, from: 900, random: 4), to: consumer)
        feed(entering(2800, object: 0x2000), to: consumer)
        feed(claim(2850, object: 0x2000), to: consumer)
        feed(completed(2900, from: 2800, random: 5, object: 0x2000), to: consumer)
        let rows = consumer.step(now: 3000).finished
        #expect(rows.map(\.stack) == ["openssl", "openssl"])
        #expect(rows.map(\.alpnOffered) == [["h2"], nil] && rows.map(\.rtt) == [30_000, nil])
        #expect(rows.map(\.tcpConnect) == [200, nil])
        #expect(consumer.step(now: 10 * second).finished.isEmpty)
        #expect(consumer.wire.counts == [.merged: 1])
    }

    @Test("A claim of another process, of another connection, or of one before it, is none")
    func otherClaims() {
        for record in [claim(1200, pid: 8), claim(1200, port: 444)] {
            let consumer = consumer()
            feed(begin(), to: consumer)
            feed(record, to: consumer)
            complete(consumer)
            #expect(consumer.step(now: 3000).finished.map(\.stack) == ["wire"])
        }
        let consumer = consumer()
        feed(claim(1000), to: consumer)
        var late = begin(second)
        // It begins a second behind the claim.
        let start = MemoryLayout<tlswatch_wire>.offset(of: \.start_ns) ?? 0
        for byte in 0..<8 { late[start + byte] = UInt8(truncatingIfNeeded: second >> UInt64(8 * byte)) }
        feed(late, to: consumer)
        complete(consumer, at: second + 1000)
        #expect(consumer.step(now: 2 * second).finished.map(\.stack) == ["wire"])
    }

    @Test("One of a process whose library has a session without a socket meanwhile is no session, and is counted")
    func unmatched() {
        // It has ended, or is in flight.
        for hasEnded in [true, false] {
            let consumer = consumer()
            feed(entering(900), to: consumer)
            feed(begin(), to: consumer)
            complete(consumer)
            if hasEnded { feed(returned(2700, from: 900), to: consumer) }
            let now = 3000 + Self.claimWait
            #expect(consumer.step(now: 3000).finished.map(\.stack) == (hasEnded ? ["openssl"] : []))
            #expect(consumer.step(now: now).finished.isEmpty)
            #expect(consumer.wire.counts == [.unmatched: 1])
        }
    }

    @Test("Of a process the last 64 sessions without a socket are remembered")
    func remembered() {
        for others in [63, 64] as [UInt64] {
            let consumer = consumer()
            feed(entering(900), to: consumer)
            feed(begin(), to: consumer)
            complete(consumer)
            feed(returned(2700, from: 900), to: consumer)
            // Long behind it.
            for time in 1...others {
                feed(entering(time * second), to: consumer)
                feed(returned(time * second + 100, from: time * second), to: consumer)
            }
            _ = consumer.step(now: 100 * second)
            #expect(consumer.wire.counts == [others == 63 ? .unmatched : .own: 1])
        }
    }

    @Test("A library's session without a socket gets it from the packets with its random, and is counted once")
    func byRandom() throws {
        // Its library ends before the packets show the end, or after that.
        for isEarly in [true, false] {
            let consumer = consumer()
            feed(entering(900), to: consumer)
            feed(begin(random: 0x5a, rtt: 30), to: consumer)
            if isEarly { feed(completed(1900, from: 900, random: 0x5a), to: consumer) }
            var rows = consumer.step(now: 1950).finished
            complete(consumer)
            if !isEarly { feed(completed(2700, from: 900, random: 0x5a), to: consumer) }
            rows += consumer.step(now: 3000).finished
            rows += consumer.step(now: 10 * second).finished
            #expect(rows.map(\.stack) == ["openssl"], "\(isEarly)")
            let row = try #require(rows.first)
            #expect(row.observedBy == .library && row.socketConfidence == .exact)
            #expect(row.local == "127.0.0.0:5555" && row.remote == "127.0.0.0:443")
            #expect(row.alpnOffered == ["h2"])
            #expect(row.rtt == 30_000 && row.retransmits == 1)
            #expect(row.tcpConnect == 200 && row.firstRecordDelay == 200)
            #expect(consumer.wire.counts == [.merged: 1])
            #expect(consumer.tallies.filter { $0.stack == "wire" }.isEmpty)
        }
    }

    @Test("Of a library whose random has agreed with packets, another random is another stack's handshake")
    func anotherRandom() {
        for isTrusted in [true, false] {
            let consumer = consumer()
            if isTrusted {
                feed(entering(100), to: consumer)
                feed(begin(110, number: 1, random: 1), to: consumer)
                feed(completed(200, from: 100, random: 1), to: consumer)
                complete(consumer, at: 210, number: 1)
                #expect(consumer.step(now: 300).finished.count == 1)
            }
            feed(entering(900), to: consumer)
            feed(begin(random: 2), to: consumer)
            feed(completed(1500, from: 900, random: 3), to: consumer)
            complete(consumer)
            #expect(consumer.step(now: 3000).finished.map(\.stack) == ["openssl"])
            let later = consumer.step(now: 3000 + Self.claimWait).finished.map(\.stack)
            #expect(later == (isTrusted ? ["wire"] : []))
            #expect(consumer.wire.counts[isTrusted ? .own : .unmatched] == 1)
        }
    }

    @Test("A random on two of a host's sockets is the session's of its role and process; without that, of none")
    func relayed() {
        let consumer = consumer()
        feed(entering(900), to: consumer)
        feed(begin(number: 1, pid: 8, port: 444, random: 9), to: consumer)
        feed(begin(number: 2, random: 9), to: consumer)
        feed(begin(number: 3, pid: 9, port: 445, random: 9), to: consumer)
        feed(completed(1900, from: 900, random: 9), to: consumer)
        #expect(consumer.step(now: 1950).finished.map(\.remote) == ["127.0.0.0:443"])
        let unknown = self.consumer()
        feed(entering(900), to: unknown)
        feed(begin(number: 1, pid: 0, port: 444, random: 9), to: unknown)
        feed(begin(number: 2, pid: 0, random: 9), to: unknown)
        feed(completed(1900, from: 900, random: 9), to: unknown)
        #expect(unknown.step(now: 1950).finished.map(\.remote) == [nil])
    }

    @Test("Where the library's session has another socket, or none was in flight, it is another stack's, and a session")
    func anotherStack() {
        let consumer = consumer()
        feed(entering(900), to: consumer)
        feed(claim(950, port: 444), to: consumer)
        feed(returned(990, from: 900), to: consumer)
        feed(begin(), to: consumer)
        complete(consumer)
        #expect(consumer.step(now: 3000).finished.map(\.stack) == ["openssl"])
        #expect(consumer.step(now: 3000 + Self.claimWait).finished.map(\.stack) == ["wire"])
        #expect(consumer.wire.counts == [.own: 1])
    }

    @Test("One whose owner is not known waits for a library's claim, and is told without a process")
    func withoutOwner() throws {
        let consumer = consumer()
        feed(begin(pid: 0), to: consumer)
        feed(segment(2000, flags: [TLSWATCH_WIRE_FIN], pid: 0), to: consumer)
        #expect(consumer.step(now: 3000).finished.isEmpty)
        let rows = consumer.step(now: 3000 + Self.claimWait).finished
        #expect(rows.map(\.pid) == [0])
        #expect(rows.map(\.outcome) == [.abandoned])
        #expect(rows.map(\.reason) == ["peer_closed"])
    }

    @Test("One whose connection is not known, seen on a listener's socket alone, is no session")
    func withoutConnection() {
        let consumer = consumer()
        feed(begin(port: 0), to: consumer)
        feed(segment(2000, flags: [TLSWATCH_WIRE_RESET], remotePort: 0), to: consumer)
        #expect(consumer.step(now: 10 * second).finished.isEmpty)
        #expect(consumer.wire.counts == [.untracked: 1])
    }

    @Test("A ClientHello on a listener's socket of which no connection comes leaves the table after three seconds")
    func withoutConnectionForLong() {
        let consumer = consumer()
        feed(begin(number: 1, port: 0), to: consumer)
        feed(begin(number: 2), to: consumer)
        #expect(consumer.step(now: 2 * second).finished.isEmpty)
        #expect(consumer.wire.inFlight == 2)
        #expect(consumer.step(now: 4 * second).finished.isEmpty)
        #expect(consumer.wire.inFlight == 1)
        #expect(consumer.wire.counts == [.untracked: 1])
    }

    @Test("At the end of the stream nothing is waited for")
    func endOfStream() {
        let consumer = consumer()
        feed(begin(pid: 0), to: consumer)
        feed(segment(2000, flags: [TLSWATCH_WIRE_RESET], pid: 0), to: consumer)
        #expect(consumer.finish(now: 2500).map(\.reason) == ["connection_reset"])
    }

    @Test("What was in flight while events were lost is abandoned, and nothing is claimed of it")
    func losses() {
        let consumer = consumer()
        feed(begin(), to: consumer)
        consumer.note(loss: LossSpan(from: 1500, to: 1600))
        complete(consumer)
        let rows = consumer.step(now: 3000).finished
        #expect(rows.map(\.outcome) == [.abandoned])
        #expect(rows.map(\.reason) == ["events_lost"])
        #expect(rows.allSatisfy { $0.cipher == nil })
    }

    @Test("One that is idle for longer than the timeout ends so; a segment of an unknown connection changes nothing")
    func timeout() {
        let consumer = consumer()
        feed(segment(900, flags: [TLSWATCH_WIRE_SENT], records: [(23, 53, 0)], number: 5), to: consumer)
        feed(begin(), to: consumer)
        #expect(consumer.step(now: 30 * second).finished.isEmpty)
        #expect(consumer.step(now: 70 * second).finished.map(\.outcome) == [.timeout])
        #expect(consumer.wire.inFlight == 0)
    }

    @Test("More connections than the table holds are counted, and the table does not grow")
    func full() {
        let consumer = consumer()
        for number in 1...17_000 as ClosedRange<UInt64> { feed(begin(number: number), to: consumer) }
        #expect(consumer.wire.inFlight == 16_384)
        #expect(consumer.wire.counts == [.untracked: 616])
    }

    @Test("Records whose lengths do not agree are rejected; no bytes of one are out of bounds")
    func hostile() {
        var random = SplitMix(seed: 3)
        let consumer = consumer()
        let whole = begin()
        for _ in 0..<20_000 {
            var record = Array(whole.prefix(Int.random(in: 0...whole.count, using: &random)))
            for _ in 0..<Int.random(in: 0...8, using: &random) where !record.isEmpty {
                record[Int.random(in: record.indices, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            feed(record, to: consumer)
        }
        #expect(consumer.decoder.submitted == 20_000)
        _ = consumer.step(now: 10 * second)
        #expect(consumer.wire.inFlight <= 16_384)
    }
}

import CEvents
import Handshakes
import Testing

@testable import HandshakeProbe

/// What s2n's calls and their results make of a session.
@Suite("s2n's sessions") struct S2NSessionTests: SessionStream {
    private func s2n() -> SessionTable { table(rules: .s2n, stack: "s2n") }

    private func call(_ time: UInt64, message: UInt32 = 0, role: UInt32 = 0, closed: UInt32 = 0) -> tlswatch_call_enter
    {
        var event = enter(time, flow: 0)
        event.present = 0
        for (fact, value) in [(.state, message), (.role, role), (S2NFact.readClosed, closed)] as [(Fact, UInt32)] {
            event.set(fact, value)
        }
        return event
    }

    private func back(
        _ time: UInt64, from enter: UInt64, result: Int32, message: UInt32, scalars: [Fact: UInt32] = [:], io: Int32 = 5
    ) -> [UInt8] {
        back(
            time, from: enter, result: result, flow: message, io: io,
            scalars: [.role: 0, .detail: 0, S2NFact.readClosed: 0].merging(scalars) { $1 })
    }

    /// As a call that has failed or waits tells it: the error's type, and its number in that.
    private func error(_ type: Int32, _ number: Int32 = 0) -> Int32 { S2NState.errorBase + type << 26 + number }
    private var waits: Int32 { error(3) }

    @Test("A server's calls before it has heard of its client are of one session")
    func untouched() {
        var table = s2n()
        table.callEntered(call(100))
        table.callReturned(back(110, from: 100, result: waits, message: 0, io: -11))
        table.callEntered(call(200))
        table.callReturned(back(220, from: 200, result: waits, message: 4, io: -11))
        table.callEntered(call(300, message: 4))
        table.callReturned(back(330, from: 300, result: 0, message: 9))
        let finished = table.takeFinished()
        #expect(finished.map(\.outcome) == [.completed] && finished.map(\.start) == [100])
        #expect(finished.map(\.calls) == [3] && table.inFlight == 0)
    }

    @Test("A connection that is cleared and used again has another session")
    func usedAgain() {
        var table = s2n()
        table.callEntered(call(100))
        table.callReturned(back(110, from: 100, result: waits, message: 4, io: -11))
        table.callEntered(call(200))
        #expect(table.takeFinished().map(\.outcome) == [.abandoned])
        table.callReturned(back(210, from: 200, result: waits, message: 0, io: -11))
        table.socketUsed(used(211))
        table.socketClosed(closed(220))
        // Its last word may still come, until another socket shows that this is another's.
        table.callEntered(call(300))
        #expect(table.takeFinished().isEmpty && table.inFlight == 1)
        var other = used(310, cookie: 10)
        other.remote_port = 4242
        table.socketUsed(other)
        let finished = table.takeFinished()
        #expect(finished.map(\.outcome) == [.abandoned] && finished.map(\.end) == [220])
        #expect(finished.map(\.calls) == [1] && table.inFlight == 1)
        table.callReturned(back(320, from: 300, result: 0, message: 9))
        #expect(table.takeFinished().map(\.start) == [300] && table.inFlight == 0)
    }

    @Test("A socket that is closed before its first message was read: the library has the last word")
    func closedEarly() {
        var table = s2n()
        table.callEntered(call(100))
        table.socketUsed(used(105))
        table.callReturned(back(110, from: 100, result: waits, message: 0, io: -11))
        table.socketClosed(closed(150))
        table.callEntered(call(200))
        // Reset: it has another number, and no peer any more.
        table.socketUsed(used(205, cookie: 10))
        table.callReturned(back(210, from: 200, result: error(1), message: 0, io: -104))
        let finished = table.takeFinished()
        #expect(finished.map(\.reason) == ["connection_reset"] && finished.map(\.calls) == [2])
        #expect(finished.map(\.start) == [100] && table.inFlight == 0)
    }

    @Test("The error's type tells a wait from a failure; what is known of the transport, or the alert, tells why")
    func errors() {
        for (result, scalars, io, reason, alert) in [
            (error(4), [S2NFact.alertLength: 2, S2NFact.alert: 48], 7, "unknown_ca", 48),
            (error(2), [S2NFact.alertLength: 2, S2NFact.alert: 0], 7, "close_notify", 0),
            (error(2), [:], 0, "peer_closed", nil), (error(1), [:], -104, "connection_reset", nil),
            (error(2), [:], TLSWATCH_NO_RESULT, "peer_closed", nil),
            (error(1), [:], TLSWATCH_NO_RESULT, "transport_error", nil),
            (error(5, 7), [S2NFact.alertLength: 1], 7, "protocol_error", nil),
            (error(6), [:], 7, "internal_error", nil),
            (error(0), [:], 7, "library_error", nil), (error(7, 3), [:], 7, "library_error", nil),
        ] as [(Int32, [Fact: UInt32], Int32, String, UInt8?)] {
            var table = s2n()
            table.callEntered(call(100))
            table.callReturned(back(110, from: 100, result: waits, message: 1, io: -11))
            table.callReturned(back(130, from: 120, result: error(3, 1), message: 1))
            table.callReturned(back(150, from: 140, result: error(3, 2), message: 1))
            #expect(table.takeFinished().isEmpty)
            table.callReturned(back(200, from: 160, result: result, message: 1, scalars: scalars, io: io))
            let finished = table.takeFinished()
            #expect(finished.map(\.outcome) == [.failed] && finished.map(\.reason) == [reason], "\(reason)")
            #expect(finished.map(\.alert) == [alert])
            #expect(finished.map(\.alertDirection) == [alert == nil ? nil : .received])
        }
    }

    @Test("A build that tells no error: the connection's end of reading, or the transport's, is the failure")
    func withoutErrors() {
        for (scalars, io, reason) in [
            ([S2NFact.readClosed: 1], 7, "unknown"),
            ([S2NFact.readClosed: 1, S2NFact.alertLength: 2, S2NFact.alert: 70], 7, "protocol_version"),
            ([:], -104, "connection_reset"), ([S2NFact.readClosed: 1], 0, "peer_closed"),
        ] as [([Fact: UInt32], Int32, String)] {
            var table = s2n()
            table.callEntered(call(100))
            table.callReturned(back(110, from: 100, result: -1, message: 1, io: -11))
            table.callReturned(back(120, from: 115, result: -1, message: 1, io: TLSWATCH_NO_RESULT))
            #expect(table.takeFinished().isEmpty)
            table.callReturned(back(200, from: 160, result: -1, message: 1, scalars: scalars, io: io))
            #expect(table.takeFinished().map(\.reason) == [reason])
        }
    }

    @Test("Facts: what was negotiated, and nothing of what was not")
    func facts() throws {
        func finished(_ scalars: [Fact: UInt32]) throws -> Handshake {
            var table = s2n()
            table.callEntered(call(100))
            table.callReturned(back(130, from: 100, result: 0, message: 7, scalars: scalars))
            return try #require(table.takeFinished().first)
        }
        let full = try finished([
            .detail: 1 | 2 | 4 | 8 | 16, S2NFact.version: 34, S2NFact.cipher: 0x0113, S2NFact.group: 29,
            S2NFact.hybridGroup: 4588, S2NFact.pskType: 0, S2NFact.hasProtocol: 0,
        ])
        #expect(full.tlsVersion == "TLSv1.3" && full.cipher == "TLS_AES_128_GCM_SHA256" && full.resumed == false)
        #expect(full.group == "X25519MLKEM768" && full.helloRetryRequest == true && full.alpn == nil)
        #expect(full.clientCertificateRequested == true && full.clientCertificateGiven == false && full.alpnWasRead)
        let resumed = try finished([.detail: 1, S2NFact.version: 34, S2NFact.group: 23, S2NFact.pskType: 0])
        #expect(resumed.resumed == true && resumed.group == "secp256r1" && resumed.cipher == nil)
        #expect(resumed.clientCertificateRequested == false && resumed.clientCertificateGiven == nil)
        #expect(try finished([.detail: 1, S2NFact.version: 34, S2NFact.pskType: 1]).resumed == false)
        #expect(try finished([.detail: 1, S2NFact.version: 34]).resumed == nil)
        // Below TLS 1.3 bit 4 is another's, and a curve may be there that was not used.
        let old = try finished([.detail: 1 | 2 | 16, S2NFact.version: 33, S2NFact.cipher: 0x9c00, S2NFact.group: 23])
        #expect(old.tlsVersion == "TLSv1.2" && old.group == nil && old.helloRetryRequest == nil)
        let curve = try finished([.detail: 1 | 2, S2NFact.version: 33, S2NFact.cipher: 0x2bc0, S2NFact.group: 23])
        #expect(curve.group == "secp256r1" && curve.cipher == "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256")
        #expect(
            try finished([.detail: 1, S2NFact.version: 33, S2NFact.cipher: 0x2bc0, S2NFact.group: 23]).group == nil)
        #expect(try finished([S2NFact.quicOfConfiguration: 1]).transport == .quic)
        #expect(try finished([S2NFact.version: 99]).tlsVersion == nil)
    }

    @Test("Places that hold no connection's values are not believed")
    func implausible() {
        var table = s2n()
        for (message, role, closed) in [(32, 0, 0), (0, 2, 0), (0, 0, 7)] as [(UInt32, UInt32, UInt32)] {
            #expect(
                table.callEntered(call(100, message: message, role: role, closed: closed)) == .implausible)
        }
        #expect(table.inFlight == 0)
    }
}

import CEvents
import Handshakes
import Testing

@testable import HandshakeProbe

/// wolfSSL's calls return their connection's error, of which some are to wait.
@Suite("wolfSSL's sessions") struct WolfSSLSessionTests: SessionStream {
    private func wolfSSL() -> SessionTable { table(rules: .wolfSSL, stack: "wolfssl") }

    private func call(
        _ time: UInt64, error: Int32 = 0, progress: UInt32 = 0, handshake: UInt32 = 0
    ) -> tlswatch_call_enter {
        var event = enter(time, flow: 0)
        event.present = 0
        for (fact, value) in [
            (.state, UInt32(bitPattern: error) & 0xff), (.detail, progress), (WolfSSLFact.handshake, handshake),
            (WolfSSLFact.error, UInt32(bitPattern: error)),
        ] as [(Fact, UInt32)] { event.set(fact, value) }
        return event
    }

    private func back(
        _ time: UInt64, from enter: UInt64, _ result: Int32, scalars: [Fact: UInt32] = [:], io: Int32 = 5,
        steps: [tlswatch_step] = [], firstSend: UInt64 = 0
    ) -> [UInt8] {
        let error = result == WolfSSLState.done ? 0 : result
        return back(
            time, from: enter, result: result, flow: UInt32(bitPattern: error) & 0xff, io: io, firstSend: firstSend,
            scalars: [.detail: 1, WolfSSLFact.error: UInt32(bitPattern: error)].merging(scalars) { $1 }, steps: steps)
    }

    private static let noAlert: [Fact: UInt32] = [
        WolfSSLFact.alertReceived: .max, WolfSSLFact.levelReceived: .max, WolfSSLFact.alertSent: .max,
        WolfSSLFact.levelSent: .max,
    ]

    private func failed(_ result: Int32, _ scalars: [Fact: UInt32] = [:], io: Int32 = 5) throws -> Handshake {
        var table = wolfSSL()
        table.callEntered(call(100))
        table.callReturned(back(130, from: 100, result, scalars: Self.noAlert.merging(scalars) { $1 }, io: io))
        let finished = table.takeFinished()
        #expect(finished.map(\.outcome) == [.failed] && finished.map(\.end) == [130] && table.inFlight == 0)
        return try #require(finished.first)
    }

    @Test("A handshake that waits goes on with the calls that follow, and ends where it is complete")
    func waiting() throws {
        var table = wolfSSL()
        table.callEntered(call(100))
        for (time, error) in [(110, -323), (130, -327), (150, -108), (170, 83)] as [(UInt64, Int32)] {
            table.callReturned(back(time, from: time == 110 ? 100 : time - 10, error))
            #expect(table.inFlight == 1 && table.takeFinished().isEmpty)
            table.callEntered(call(time + 10, error: error, progress: 1))
        }
        let facts: [Fact: UInt32] = [
            WolfSSLFact.version: 0x0403, WolfSSLFact.cipher: 0x0113, WolfSSLFact.resumed: 0, WolfSSLFact.group: 0,
            WolfSSLFact.curve: 365, WolfSSLFact.handshake: 16, WolfSSLFact.extensions: 0x1000,
        ]
        table.callReturned(back(200, from: 180, WolfSSLState.done, scalars: facts))
        let handshake = try #require(table.takeFinished().first)
        #expect(handshake.outcome == .completed && handshake.duration == 100 && handshake.calls == 5)
        #expect(handshake.tlsVersion == "TLSv1.3" && handshake.cipher == "TLS_AES_128_GCM_SHA256")
        #expect(handshake.group == "x25519" && handshake.resumed == false)
        #expect(handshake.alpnWasRead && handshake.alpn == nil && handshake.sni == nil)
        #expect(table.inFlight == 0)
        // Called once more, or after a failure, it is none.
        table.callEntered(call(300, progress: 0x0f00, handshake: 16))
        table.callReturned(back(310, from: 300, WolfSSLState.done, scalars: facts))
        table.callEntered(call(320, error: -313))
        table.callReturned(back(330, from: 320, -313))
        #expect(table.takeFinished().isEmpty && table.inFlight == 0)
    }

    @Test("A read that finds nothing leaves a connection as it was: the next one is a call of the same handshake")
    func waitingWithoutATrace() throws {
        var table = wolfSSL()
        table.callEntered(call(100))
        table.callReturned(back(110, from: 100, -323, io: -11))
        table.callEntered(call(150))
        table.callReturned(back(170, from: 150, WolfSSLState.done, scalars: [WolfSSLFact.version: 0x0403]))
        let finished = table.takeFinished()
        #expect(finished.map(\.outcome) == [.completed] && finished.map(\.duration) == [70], "\(finished)")
        #expect(finished.map(\.calls) == [2])
        // Nor is a reset its end before it is read; a socket that the application has closed is, and the object another's.
        for (oldState, outcomes) in [(1, [.failed]), (8, [.abandoned, .failed])] as [(UInt32, [Outcome])] {
            table.callEntered(call(200))
            table.socketUsed(used(204))
            table.callReturned(back(210, from: 200, -323, io: -11))
            var closing = closed(220)
            (closing.old_state, closing.new_state) = (oldState, oldState == 1 ? 7 : 4)
            table.socketClosed(closing)
            table.callEntered(call(250))
            table.callReturned(back(260, from: 250, -308, io: -104))
            #expect(table.takeFinished().map(\.outcome) == outcomes, "from state \(oldState)")
        }
        // What has sent something has begun.
        table.callEntered(call(300))
        table.callReturned(back(310, from: 300, -323, firstSend: 305))
        table.callEntered(call(350))
        #expect(table.takeFinished().map(\.outcome) == [.abandoned] && table.inFlight == 1)
    }

    @Test("What failed it is the alert that was sent or received, and the library's own word beside it")
    func failures() throws {
        let sent = try failed(-188, [WolfSSLFact.alertSent: 48, WolfSSLFact.levelSent: 2])
        #expect(sent.reason == "unknown_ca" && sent.alert == 48 && sent.alertDirection == .sent)
        #expect(sent.libraryReason == "asn_no_signer")
        let received = try failed(-313, [WolfSSLFact.alertReceived: 120, WolfSSLFact.levelReceived: 2])
        #expect(received.reason == "no_application_protocol" && received.alertDirection == .received)
        #expect(received.libraryReason == nil, "it says that there was an alert")
        let warned = try failed(-345, [WolfSSLFact.alertSent: 90, WolfSSLFact.levelSent: 1])
        #expect(warned.reason == "no_peer_cert" && warned.alert == nil, "a warning is no cause")
        let closed = try failed(-343)
        #expect(closed.reason == "close_notify" && closed.alert == 0 && closed.alertDirection == .received)
        #expect(try failed(-1999).reason == "library_error_1999")
        // The transport says more.
        #expect(try failed(-397, io: 0).reason == "peer_closed")
        #expect(try failed(-308, io: -104).reason == "connection_reset")
        // Nothing is an error where it has not completed.
        #expect(try failed(0).reason == "library_error_0")
    }

    @Test("Values that no connection has are an error of ours")
    func implausible() {
        var table = wolfSSL()
        #expect(table.callEntered(call(100, error: 4711)) == .implausible)
        #expect(table.callEntered(call(100, error: -5000)) == .implausible)
        #expect(table.callEntered(call(100, handshake: 77)) == .implausible)
        #expect(table.inFlight == 0)
    }

    @Test("The group is the handshake's: of TLS 1.3, or of an ECDHE cipher below it that was not resumed")
    func groups() throws {
        func group(_ version: UInt32, _ cipher: UInt32, resumed: UInt32 = 0, named: UInt32 = 0, curve: UInt32) throws
            -> String?
        {
            var table = wolfSSL()
            table.callEntered(call(100))
            table.callReturned(
                back(
                    130, from: 100, WolfSSLState.done,
                    scalars: [
                        WolfSSLFact.version: version, WolfSSLFact.cipher: cipher, WolfSSLFact.resumed: resumed,
                        WolfSSLFact.group: named, WolfSSLFact.curve: curve,
                    ]))
            return try #require(table.takeFinished().first).group
        }
        #expect(try group(0x0403, 0x0113, named: 24, curve: 526) == "secp384r1")
        #expect(try group(0x0403, 0x0113, resumed: 1, curve: 526) == "secp256r1", "shares are exchanged again")
        #expect(try group(0x0303, 0x2cc0, curve: 526) == "secp256r1")
        #expect(try group(0x0303, 0x2cc0, resumed: 1, curve: 526) == nil)
        #expect(try group(0x0303, 0x9e00, curve: 526) == nil, "DHE has no curve")
        #expect(try group(0x0303, 0x2cc0, curve: 12345) == nil)
    }
}

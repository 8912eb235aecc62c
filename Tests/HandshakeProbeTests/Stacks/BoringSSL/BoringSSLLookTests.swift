import CEvents
import Testing

@testable import HandshakeProbe
@testable import Handshakes

/// Servers' objects that are there to parse a ClientHello, and be thrown away.
@Suite("BoringSSL's looks at a ClientHello") struct BoringSSLLookTests: SessionStream {
    private static let readingHello: UInt32 = 2
    private static let mute = UInt16(TLSWATCH_CALL_MUTE.rawValue)

    private func boringSSL() -> SessionTable { table(rules: .boringSSL, stack: "boringssl") }

    /// A server's first call. No call of these moves a byte.
    private func first(_ time: UInt64) -> tlswatch_call_enter {
        var event = enter(time, flow: 0)
        event.present = 0
        for (fact, value) in [
            (BoringSSLFact.step, 0), (BoringSSLFact.wait, 1), (.role, 1), (BoringSSLFact.quic, 0),
            (BoringSSLFact.connected, 0), (BoringSSLFact.finalized, 0), (BoringSSLFact.want, 0),
        ] as [(Fact, UInt32)] {
            event.set(fact, value)
        }
        return event
    }

    /// Its return: refused by the application, or waiting for more of the ClientHello.
    private func back(
        _ time: UInt64, from enter: UInt64, refused: Bool, step: UInt32 = readingHello, flags: UInt16 = mute
    ) -> [UInt8] {
        let facts: [Fact: UInt32] = [
            BoringSSLFact.wait: refused ? 0 : 3, BoringSSLFact.want: refused ? 0 : 2, .role: 1,
            BoringSSLFact.finalized: 0, BoringSSLFact.quic: 0, BoringSSLFact.connected: 0,
            // SSL_R_CONNECTION_REJECTED, and the alert that nobody gets.
            BoringSSLFact.errors.count: refused ? 1 : 0, BoringSSLFact.errors.first: 16 << 24 | 133,
            BoringSSLFact.sentAlert: refused ? 40 << 8 | 2 : 0,
        ]
        return back(
            time, from: enter, result: -1, flow: step, io: TLSWATCH_NO_RESULT, scalars: facts, flags: flags)
    }

    private func started(_ table: SessionTable) -> UInt64 {
        table.counts.started(.server, "boringssl")
    }

    @Test("One that can answer nobody is no session, whether it got all of the ClientHello or not")
    func look() {
        var table = boringSSL()
        table.callEntered(first(100))
        table.callReturned(back(120, from: 100, refused: true))
        #expect(table.inFlight == 0)
        // Freed, or kept for good, after half of one.
        table.callEntered(first(200))
        table.callReturned(back(220, from: 200, refused: false, step: 1))
        #expect(table.inFlight == 0)
        table.stepped(alone(step(300, .objectFree)))
        table.callEntered(first(400))
        table.callReturned(back(420, from: 400, refused: false, step: 1))
        table.expire(now: 500 + 2 * Self.timeout)
        // In two calls.
        table.callEntered(first(600))
        table.callReturned(back(620, from: 600, refused: false, step: 1))
        table.callReturned(back(720, from: 700, refused: true))
        #expect(table.takeFinished().isEmpty)
        #expect(started(table) == 0 && table.inFlight == 0)
    }

    @Test("A refusal that reaches the peer is a failure, and so is one that comes later")
    func refusal() {
        for (flags, step) in [(0, Self.readingHello), (Self.mute, 6)] as [(UInt16, UInt32)] {
            var table = boringSSL()
            table.callEntered(first(100))
            table.callReturned(back(120, from: 100, refused: true, step: step, flags: flags))
            let finished = table.takeFinished()
            #expect(finished.map(\.outcome) == [.failed] && finished.map(\.alert) == [40])
            #expect(started(table) == 1 && table.inFlight == 0)
        }
    }

    @Test("A server that waits for its ClientHello is in flight, in its call or between calls")
    func waiting() {
        var table = boringSSL()
        table.callEntered(first(100))
        table.callReturned(back(120, from: 100, refused: false, step: 1, flags: 0))
        #expect(started(table) == 1 && table.inFlight == 1)
        table.stepped(alone(step(300, .objectFree)))
        #expect(table.takeFinished().map(\.outcome) == [.abandoned])
        // A call that blocks.
        table.callEntered(first(1_000))
        table.expire(now: 2_000)
        #expect(table.inFlight == 0)
        table.expire(now: 5_000_000_000)
        #expect(started(table) == 2 && table.inFlight == 1)
        table.stepped(alone(step(6_000_000_000, .objectFree)))
        #expect(table.takeFinished().map(\.outcome) == [.abandoned])
    }
}

import CEvents
import Glibc
import TestSupport
import Testing

@testable import HandshakeProbe
@testable import Handshakes

/// Early data, renegotiations, and what is no handshake.
@Suite("What begins a session") struct SessionBeginningTests: SessionStream {
    @Test(
        "Between the halves of a handshake with early data nothing ends and nothing begins",
        arguments: [(46, 0x0304), (49, 0x0304), (46, 0x0303), (46, 0x10000)] as [(UInt32, UInt32)])
    func earlyData(_ hand: UInt32, _ version: UInt32) {
        var table = table()
        table.callEntered(enter(100))
        table.callReturned(back(130, from: 100, result: 1, flow: Flow.finished, scalars: [.handState: hand]))
        #expect(table.takeFinished().isEmpty)
        #expect(table.inFlight == 1)
        var again = enter(200, flow: Flow.finished, version: version)
        again.set(.handState, hand)
        table.callEntered(again)
        #expect(table.takeFinished().isEmpty)
        #expect(table.inFlight == 1)
        // The entry is known: a return that does not know it ends that call.
        table.callReturned(back(240, from: 0, result: 1, flow: Flow.finished, scalars: [.earlyData: 2]))
        let finished = table.takeFinished()
        #expect(finished.map(\.parts) == [.unknown] && finished.map(\.duration) == [140])
        #expect(finished.map(\.earlyData) == [.accepted])
        again.header.time_ns = 300
        table.callEntered(again)
        #expect(table.inFlight == 0, "the second half of a handshake that was not seen to begin")
        #expect(table.counts.started(.server, "openssl") == 1)
    }

    @Test(
        "Of entries into a finished connection only a renegotiation's own begins a handshake",
        arguments: [
            (1, 0x0303, 19, false), (1, 0x0303, 0, true), (0, 0x0303, 19, true), (0, 0x0304, 0, false),
            (1, 0x0304, 0, false), (1, 0xfefd, 19, false), (1, 0xfefd, 0, true),
        ] as [(UInt32, UInt32, UInt32, Bool)])
    func onlyARenegotiationBeginsAnew(_ server: UInt32, _ version: UInt32, _ request: UInt32, _ begins: Bool) {
        var table = table()
        var entry = enter(300, flow: Flow.finished, version: version, server: server)
        entry.set(.requestState, request)
        #expect(table.callEntered(entry) == nil)
        #expect(table.inFlight == 0, "nothing was read or written yet")
        table.callReturned(
            back(
                310, from: 300, result: -1, flow: Flow.reading, io: -EAGAIN,
                scalars: [.handState: HandState.serverReadsHello]))
        #expect(table.inFlight == (begins ? 1 : 0))
    }

    /// A server's renegotiation in one call, and what it finds: a session, or none.
    private func renegotiated(
        _ server: UInt32 = 1, flow: UInt32 = Flow.finished, hand: UInt32 = HandState.ok, io: Int32 = 5,
        steps: [tlswatch_step] = []
    ) -> (finished: [Handshake], started: UInt64) {
        var table = table()
        table.callEntered(enter(300, flow: Flow.finished, version: 0x0303, server: server))
        table.socketUsed(used(305))
        table.callReturned(
            back(
                400, from: 300, result: flow == Flow.finished ? 1 : -1, flow: flow, io: io,
                scalars: [.handState: hand, .version: 0x0303], steps: steps))
        table.stepped(alone(step(500, .objectFree)))
        #expect(table.inFlight == 0)
        let role: Role = server == 1 ? .server : .client
        return (table.takeFinished(), table.counts.started(role, "openssl"))
    }

    @Test("A renegotiation that is refused, or a state machine entered after a shutdown, is no session and in no count")
    func noRenegotiation() {
        // The server answers with a warning and is where it was.
        var outcome = renegotiated()
        #expect(outcome.finished.isEmpty)
        #expect(outcome.started == 0)
        // After a shutdown: it begins to read, fails or is freed, and the handshake's own state never moves.
        outcome = renegotiated(0, flow: Flow.reading, io: -EAGAIN)
        #expect(outcome.finished.isEmpty)
        #expect(outcome.started == 0)
        var fatal = step(350, .fatal, argument: Alert.none, argument2: Reason.protocolIsShutdown)
        fatal.detail = UInt16(HandState.ok)
        outcome = renegotiated(0, flow: Flow.error, io: 0, steps: [fatal])
        #expect(outcome.finished.isEmpty)
        #expect(outcome.started == 0)
    }

    @Test("A renegotiation that installs keys, with phases or without, or fails on its way is a session")
    func realRenegotiation() {
        for hook in [HookKind.keyChange, .newKeys] {
            let outcome = renegotiated(steps: [step(350, hook, argument: Keys.serverRead)])
            #expect(outcome.finished.map(\.outcome) == [.completed])
            #expect(outcome.started == 1)
        }
        var fatal = step(350, .fatal, argument: Alert.handshakeFailure, argument2: Reason.noRenegotiation)
        fatal.detail = UInt16(HandState.clientWritesHello)
        let outcome = renegotiated(0, flow: Flow.error, hand: HandState.clientWritesHello, steps: [fatal])
        #expect(outcome.finished.map(\.reason) == ["no_renegotiation"])
        #expect(outcome.started == 1)
        #expect(outcome.finished.map(\.alertDirection) == [.received] && outcome.finished.map(\.alert) == [100])
    }
}

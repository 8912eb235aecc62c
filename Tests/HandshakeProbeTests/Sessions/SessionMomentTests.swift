import Glibc
import Testing

@testable import HandshakeProbe
@testable import Handshakes

/// When the key exchange begins, and whether it succeeded.
@Suite("The moments inside a session") struct SessionMomentTests: SessionStream {
    @Test("The key exchange begins when the share was read, in whichever call and whatever held the calls up since")
    func keyExchangeBegins() {
        // A certificate callback holds the first call up; the next one reads nothing before it changes keys.
        var table = table()
        table.callEntered(enter(100))
        table.callReturned(
            back(130, from: 100, result: -1, flow: Flow.reading, scalars: [.want: Want.certificate], input: 120))
        table.callReturned(back(230, from: 200, result: -1, flow: Flow.reading, scalars: [.want: Want.certificate]))
        let keys = step(350, .keyChange, argument: Keys.handshakeServerWrite, input: 300)
        table.callReturned(
            back(400, from: 300, result: 1, flow: Flow.finished, scalars: [.version: 0x0304], steps: [keys]))
        var finished = table.takeFinished().first
        #expect(finished?.keyExchange == 230)
        #expect(finished?.timeline.keyExchangeBegin == 120)

        // One that waits for the peer brings its own input.
        table.callEntered(enter(100))
        table.callReturned(
            back(
                130, from: 100, result: -1, flow: Flow.reading, io: -EAGAIN, scalars: [.want: Want.reading], input: 120)
        )
        table.callReturned(
            back(400, from: 300, result: 1, flow: Flow.finished, scalars: [.version: 0x0304], steps: [keys]))
        finished = table.takeFinished().first
        #expect(finished?.keyExchange == 50)

        // A job is paused in the private key's operation; what is left of the call tells no input.
        table.callEntered(enter(100))
        table.stepped(alone(step(130, .pause, input: 120)))
        table.stepped(alone(step(300, .masterSecret)))
        let change = step(390, .keyChange, argument: Keys.serverRead)
        table.callReturned(
            back(
                400, from: 0, result: 1, flow: Flow.finished, scalars: [.version: 0x0303, .resumed: 0], steps: [change])
        )
        finished = table.takeFinished().first
        #expect(finished?.keyExchange == 270)
    }

    @Test("Below TLS 1.3 the exchange begins with the share of the master secret, not with what was read after it")
    func anRSAExchangeBeginsWithTheMasterSecret() {
        let steps = [
            step(180, .masterSecret, input: 110), step(190, .keyChange, argument: Keys.serverRead, input: 185),
        ]
        var table = table()
        table.callEntered(enter(100))
        table.callReturned(
            back(
                200, from: 100, result: 1, flow: Flow.finished, scalars: [.version: 0x0303, .resumed: 0], steps: steps))
        #expect(table.takeFinished().map(\.keyExchange) == [80])
    }

    @Test(
        "Only what fails at the peer's share, or after it was used, is a failed key exchange",
        arguments: [
            (120, 235, [], false), (70, 258, [], nil), (40, 193, [], nil), (48, 134, [], nil), (-1, 1048, [], nil),
            (40, 101, [], false),
            (47, 108, [], false), (51, 123, [.masterSecret], false), (51, 123, [.keyChange], true),
            (48, 134, [.keyChange], true),
        ] as [(Int32, Int32, [HookKind], Bool?)])
    func keyExchangeFails(_ alert: Int32, _ reason: Int32, _ before: [HookKind], _ succeeded: Bool?) {
        let steps = before.map { step(110, $0, argument: Keys.handshake, input: 105) }
        let failed = oneCall(
            result: -1, flow: Flow.error, scalars: [.version: 0x0304],
            steps: steps + [step(120, .fatal, argument: alert, argument2: reason)])
        #expect(failed?.outcome == .failed)
        #expect(failed?.keyExchangeSucceeded == succeeded)
    }
}

import Glibc
import Testing

@testable import HandshakeProbe
@testable import Handshakes

/// What may be told of a session while records were lost.
@Suite("Sessions during losses") struct SessionLossTests: SessionStream {
    @Test(
        "A loss taints a session of several calls from its first moment to its last",
        arguments: [
            (10, 99, false), (10, 100, true), (250, 900, true), (251, 900, false), (150, 160, true), (10, 900, true),
        ] as [(UInt64, UInt64, Bool)])
    func lossEdges(_ from: UInt64, _ to: UInt64, _ taints: Bool) {
        var table = table()
        table.callEntered(enter(100))
        table.note(loss: LossSpan(from: from, to: to))
        table.callReturned(back(130, from: 100, result: -1, flow: Flow.reading, io: -EAGAIN))
        let facts: [Fact: UInt32] = [.version: 0x0304, .cipher: 0x0300_1301, .resumed: 0]
        let keys = [step(240, .keyChange, argument: Keys.handshakeServerWrite)]
        table.callReturned(back(250, from: 210, result: 1, flow: Flow.finished, scalars: facts, steps: keys))
        let finished = table.takeFinished()
        #expect(finished.map(\.tlsVersion) == [taints ? nil : "TLSv1.3"])
        #expect(finished.map(\.outcome) == [taints ? .abandoned : .completed])
        #expect(finished.map(\.reason) == [taints ? "events_lost" : nil])
        #expect(finished.map(\.cipher) == [taints ? nil : "TLS_AES_128_GCM_SHA256"])
        #expect(finished.map(\.resumed) == [taints ? nil : false])
        #expect(table.inFlight == 0)
    }

    @Test("No end but one call's own return is believed over a loss: not a failure, a timeout or a freed object")
    func lossAndOtherEnds() {
        let loss = LossSpan(from: 110, to: 120)
        let fatal = step(240, .fatal, argument: Alert.handshakeFailure, argument2: Reason.noSharedCipher)

        var table = table()
        table.callEntered(enter(100))
        table.note(loss: loss)
        table.callReturned(back(250, from: 210, result: -1, flow: Flow.error, steps: [fatal]))
        let failed = table.takeFinished()
        #expect(failed.map(\.outcome) == [.abandoned])
        #expect(failed.map(\.reason) == ["events_lost"])
        #expect(failed.map(\.alert) == [nil] && failed.map(\.alertDirection) == [nil])

        table.callEntered(enter(100))
        table.stepped(alone(step(130, .objectFree)))
        table.callEntered(enter(100))
        table.expire(now: 101 + Self.timeout)
        #expect(table.takeFinished().map(\.reason) == ["events_lost", "events_lost"])
        #expect(table.inFlight == 0)

        table.callEntered(enter(100))
        table.callReturned(back(250, from: 100, result: -1, flow: Flow.error, steps: [fatal]))
        let whole = table.takeFinished()
        #expect(whole.map(\.outcome) == [.failed] && whole.map(\.alert) == [40])
    }
}

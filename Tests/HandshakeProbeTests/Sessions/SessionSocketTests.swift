import CEvents
import TestSupport
import Testing

@testable import HandshakeProbe
@testable import Handshakes

/// Which socket is a session's, and what is known of it when.
@Suite("The sockets of a session") struct SessionSocketTests: SessionStream {
    @Test("A connection that comes about after its first bytes is told by a second record of its socket")
    func aLateConnectionHasASecondRecord() {
        var table = table()
        table.callEntered(enter(100, server: 0))
        var first = used(110)
        first.connecting_ns = 105
        first.direction = UInt16(TLSWATCH_SEND.rawValue)
        table.socketUsed(first)
        var second = used(140)
        (second.connecting_ns, second.established_ns) = (105, 130)
        table.socketUsed(second)
        table.callReturned(back(200, from: 100, result: 1, flow: Flow.finished))
        let finished = table.takeFinished().first
        #expect(finished?.tcpConnect == 25, "its first record left before")
        #expect(finished?.firstRecordDelay == nil, "its first record left before")
    }

    @Test("An inferred socket gives way to one that is proven, and never the other way round")
    func inferredSocket() {
        var table = table()
        func session(_ proofs: [(UInt64, tlswatch_proof)]) -> (UInt64?, SocketConfidence?) {
            table.callEntered(enter(100))
            for (cookie, proof) in proofs {
                var event = used(110, cookie: cookie)
                event.proof = UInt16(proof.rawValue)
                (event.local_port, event.local.0, event.local.3) = (UInt16(cookie), 127, 1)
                table.socketUsed(event)
            }
            table.callReturned(back(200, from: 100, result: 1, flow: Flow.finished))
            let finished = table.takeFinished().first
            return (finished?.local.flatMap { UInt64($0.dropFirst(10)) }, finished?.socketConfidence)
        }
        #expect(session([(7, TLSWATCH_INFERRED)]) == (7, .inferred))
        #expect(session([(7, TLSWATCH_INFERRED), (8, TLSWATCH_PROOF_RECORD)]) == (8, .exact))
        #expect(session([(8, TLSWATCH_PROOF_DESCRIPTOR), (7, TLSWATCH_INFERRED)]) == (8, .exact))
        #expect(session([(7, TLSWATCH_INFERRED), (7, TLSWATCH_PROOF_RECORD)]) == (7, .exact))
    }
}

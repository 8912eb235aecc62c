import CEvents
import Glibc
import Testing

@testable import HandshakeProbe
@testable import Handshakes

/// What becomes of a session once its socket has closed.
@Suite("Sessions whose socket closed first") struct SessionCloseTests: SessionStream {
    @Test(
        "A call that fails on the closed socket tells why, until the grace is over",
        arguments: [
            (-104, "connection_reset"), (0, "peer_closed"), (-32, "peer_closed"), (-110, "transport_error"),
        ] as [(Int32, String)])
    func failsAfterClose(_ io: Int32, _ reason: String) {
        var table = closedInBetween()
        let last = 200 + SessionTable.closeGrace
        table.expire(now: last)
        table.callReturned(back(last, from: last - 10, result: -1, flow: Flow.reading, io: io))
        let failed = table.takeFinished()
        #expect(failed.map(\.outcome) == [.failed] && failed.map(\.reason) == [reason])
        #expect(failed.map(\.end) == [last], "its end is the library's word, not the close")
        #expect(failed.map(\.calls) == [2] && failed.map(\.alert) == [nil])
        table.expire(now: last + 1 + SessionTable.closeGrace)
        #expect(table.takeFinished().isEmpty)
        #expect(table.inFlight == 0)
    }

    @Test("A call that only wants more after the close is not the last word: the close was the end")
    func wantsAfterClose() {
        var table = closedInBetween()
        table.callReturned(back(260, from: 250, result: -1, flow: Flow.reading, io: -EAGAIN))
        #expect(table.takeFinished().isEmpty)
        table.expire(now: 201 + SessionTable.closeGrace)
        let finished = table.takeFinished()
        #expect(finished.map(\.outcome) == [.abandoned] && finished.map(\.end) == [200])
        #expect(finished.map(\.duration) == [100] && finished.map(\.busy) == [30])

        table = closedInBetween()
        table.callReturned(back(900, from: 300, result: -1, flow: Flow.reading, io: -EAGAIN))
        table.endClosed()
        #expect(table.takeFinished().map(\.busy) == [30], "a call after the end is no part of the session")
    }

    @Test("The handshake that is done after the close ends when it is done")
    func completesAfterClose() {
        var table = closedInBetween()
        table.callReturned(back(260, from: 250, result: 1, flow: Flow.finished, scalars: [.version: 0x0304]))
        let finished = table.takeFinished().first
        #expect(finished?.outcome == .completed)
        #expect(finished?.end == 260)
        #expect(finished?.tlsVersion == "TLSv1.3")
    }

    @Test("What nothing follows is abandoned at the close, once, and no later word brings it back")
    func closedForGood() {
        var table = closedInBetween()
        table.socketClosed(closed(700))
        table.expire(now: 201 + SessionTable.closeGrace)
        let finished = table.takeFinished()
        #expect(finished.map(\.outcome) == [.abandoned] && finished.map(\.reason) == [nil])
        #expect(finished.map(\.end) == [200], "the first close")
        table.callReturned(back(3_000_000_000, from: 2_999_999_000, result: -1, flow: Flow.reading, io: -ECONNRESET))
        table.stepped(alone(step(3_000_000_100, .objectFree)))
        table.endClosed()
        table.expire(now: 1 + 4 * Self.timeout)
        #expect(table.takeFinished().isEmpty)
        #expect(table.inFlight == 0)
        #expect(table.counts.inFlight(.server, "openssl") == 0)
    }

    @Test("Another connection's socket closes no session, nor does one of a session that used none")
    func foreignSocket() {
        var table = table()
        table.callEntered(enter(100))
        table.socketClosed(closed(150, cookie: 0))
        table.socketUsed(used(160, cookie: 9))
        table.socketClosed(closed(170, cookie: 10))
        table.endClosed()
        #expect(table.takeFinished().isEmpty)
        #expect(table.inFlight == 1)
        table.socketClosed(closed(180, cookie: 9))
        table.endClosed()
        #expect(table.takeFinished().map(\.end) == [180])
    }

    @Test("Freed, used anew, or its process gone after the close: abandoned at the close")
    func goneAfterClose() {
        var table = closedInBetween()
        table.stepped(alone(step(900, .objectFree)))
        #expect(table.takeFinished().map(\.end) == [200])

        table = closedInBetween()
        table.callEntered(enter(900))
        #expect(table.takeFinished().map(\.end) == [200])
        table.callReturned(back(950, from: 900, result: 1, flow: Flow.finished))
        #expect(table.takeFinished().map(\.duration) == [50], "the object's next handshake is its own")

        table = closedInBetween()
        table.processes.set(pid: 7, start: 5, exe: "/x")
        var exit = tlswatch_process()
        exit.header = header(900)
        table.processEnded(exit)
        let finished = table.takeFinished()
        #expect(finished.map(\.end) == [200])
        #expect(finished.map(\.outcome) == [.abandoned])
    }

    @Test(
        "The error that a connection had at its close is the failure, where the library reports none",
        arguments: [
            (104, .failed, "connection_reset"), (32, .failed, "peer_closed"), (110, .failed, "transport_error"),
            (0, .abandoned, nil),
        ] as [(UInt16, Outcome, String?)])
    func connectionError(_ error: UInt16, _ outcome: Outcome, _ reason: String?) {
        var silent = SessionRules.openSSL
        silent.reportsConnectionErrors = false
        func table(_ rules: SessionRules) -> SessionTable {
            var table = self.table(rules: rules)
            table.callEntered(enter(100))
            table.socketUsed(used(105))
            table.callReturned(back(130, from: 100, result: -1, flow: Flow.reading, io: -EAGAIN))
            table.socketClosed(closed(200, error: error))
            return table
        }
        var left = table(silent)
        left.endClosed()
        var freed = table(silent)
        freed.stepped(alone(step(900, .objectFree)))
        for finished in [left.takeFinished(), freed.takeFinished()] {
            #expect(finished.map(\.outcome) == [outcome] && finished.map(\.reason) == [reason], "\(finished)")
            #expect(finished.map(\.end) == [200] && finished.map(\.alert) == [nil], "\(finished)")
        }
        // Others' calls would have said so.
        var told = table(.openSSL)
        told.endClosed()
        let finished = told.takeFinished()
        #expect(finished.map(\.outcome) == [.abandoned] && finished.map(\.reason) == [nil], "\(finished)")
    }

    @Test("A socket that closes inside a call ends the call as well, and it takes no longer than the session")
    func closedInsideCall() {
        var table = table()
        table.callEntered(enter(100))
        table.socketUsed(used(110))
        table.socketClosed(closed(150))
        table.endClosed()
        let finished = table.takeFinished().first
        #expect(finished?.duration == 50)
        #expect(finished?.parts == .unknown, "nobody tells what became of the call")
        #expect(finished?.calls == 1)
    }
}

import Glibc
import TestSupport
import Testing

@testable import HandshakeProbe
@testable import Handshakes

/// Calls without effect, calls seen in part, calls that are left for a while.
@Suite("The calls of a session") struct SessionCallTests: SessionStream {
    @Test("Calls that changed nothing are told with the next record, or with the object's end")
    func idleCalls() {
        var table = table()
        table.callEntered(enter(100))
        table.callReturned(back(130, from: 100, result: -1, flow: Flow.reading, io: -EAGAIN))
        table.callReturned(back(250, from: 210, result: 1, flow: Flow.finished, idle: (5, 20)))
        var finished = table.takeFinished().first
        #expect(finished?.calls == 7)
        #expect(finished?.busy == 90)

        table.callEntered(enter(100))
        table.callReturned(back(130, from: 100, result: -1, flow: Flow.reading, io: -EAGAIN))
        table.stepped(alone(step(250, .objectFree, argument: 5, input: 20)))
        finished = table.takeFinished().first
        #expect(finished?.calls == 6)
        #expect(finished?.busy == 50)
    }

    @Test("A return whose entry is not known ends the call that is known, and counts no other")
    func unknownEntry() {
        var table = table()
        table.callEntered(enter(100))
        table.callReturned(back(150, from: 0, result: -1, flow: Flow.reading, io: -EAGAIN))
        table.callReturned(back(400, from: 0, result: 1, flow: Flow.finished))
        let finished = table.takeFinished().first
        #expect(finished?.outcome == .completed)
        #expect(finished?.calls == 1)
        #expect(finished?.parts == .unknown, "the second time it was in no call that is known")
        #expect(finished?.duration == 300)
    }

    @Test("A known entry and a return that does not know it are one call")
    func entryOfItsOwn() {
        var table = table()
        table.callEntered(enter(100))
        table.callReturned(back(130, from: 100, result: -1, flow: Flow.reading, io: -EAGAIN))
        table.callEntered(enter(200, flow: Flow.reading))
        table.callReturned(back(240, from: 0, result: 1, flow: Flow.finished))
        let finished = table.takeFinished().first
        #expect(finished?.duration == 140)
        #expect(finished?.parts == .unknown)
    }

    @Test("A pause leaves the call, a second one none, and the paused job's end does not begin it anew")
    func aPausedCallIsLeftOnce() {
        var table = table()
        table.callEntered(enter(100))
        table.stepped(alone(step(130, .pause)))
        table.stepped(alone(step(170, .pause)))
        #expect(table.takeFinished().isEmpty)
        #expect(table.inFlight == 1)
        table.stepped(alone(step(300, .objectFree)))
        let finished = table.takeFinished().first
        #expect(finished?.outcome == .abandoned)
        #expect(finished?.parts == .unknown)
        #expect(finished?.duration == 200)
        #expect(finished?.calls == 1)
    }
}

import CEvents
import Glibc
import Handshakes
import TestSupport
import Testing

@testable import HandshakeProbe

/// Where a session's time went, from streams made by hand: each rule, and that nothing is lost or invented.
@Suite("The parts of a session") struct SessionPartsTests: SessionStream {
    private static let unknown = TLSWATCH_NO_TIME

    /// A server's two calls, from 100 to 200 and from 300 to `end`.
    private func twoCalls(
        _ first: CallTime = CallTime(), _ second: CallTime = CallTime(), until end: UInt64 = 400,
        idle: (UInt32, UInt64) = (0, 0)
    ) -> Handshake? {
        var table = table()
        table.callEntered(enter(100))
        table.callReturned(back(200, from: 100, result: -1, flow: Flow.reading, io: -EAGAIN, time: first))
        table.callReturned(back(end, from: 300, result: 1, flow: Flow.finished, idle: idle, time: second))
        return table.takeFinished().first
    }

    private func parts(_ cpu: UInt64?, _ runqueue: UInt64?, _ unread: UInt64?, of duration: UInt64 = 300)
        -> HandshakeParts
    {
        HandshakeParts(of: duration, cpu: cpu, runqueue: runqueue, unread: unread)
    }

    // MARK: calls

    @Test("What a call was neither on a processor nor waiting for one is wait; between the calls there is nothing else")
    func blockedInACallIsWaiting() {
        let handshake = twoCalls(CallTime(offCPU: 60, delay: 20), CallTime(offCPU: 30, delay: 5))
        #expect(handshake?.parts == parts(40 + 70, 25, 0))
        #expect(handshake?.parts.peer == 165)
        #expect(handshake?.busy == 135)
        #expect(handshake?.wait == 165)
    }

    @Test("Bytes that lay in the socket while the call was blocked are unread; the rest of that is the peer's")
    func unreadInACall() {
        let handshake = twoCalls(CallTime(offCPU: 60, delay: 20, unread: 30))
        #expect(handshake?.parts == parts(140, 20, 30))
        #expect(handshake?.parts.peer == 110)
    }

    @Test("No part of a call is longer than what it is part of")
    func partsOfACallAreBounded() {
        #expect(twoCalls(CallTime(offCPU: 1_000))?.parts == parts(100, 0, 0))
        #expect(twoCalls(CallTime(offCPU: 60, delay: 1_000))?.parts == parts(140, 60, 0))
        #expect(twoCalls(CallTime(offCPU: 60, delay: 20, unread: 1_000))?.parts == parts(140, 20, 40))
    }

    @Test("Calls without effect computed in the gap before the call that tells of them, and not longer than it")
    func idleCallsCompute() {
        #expect(twoCalls(idle: (3, 40))?.parts == parts(240, 0, 0))
        #expect(twoCalls(idle: (3, 4_000))?.parts == parts(300, 0, 0))
    }

    @Test("What calls without effect did not compute is told together with the call behind them")
    func idleCallsWait() {
        let some = CallTime(offCPU: 60, delay: 20, unread: 10)
        #expect(twoCalls(CallTime(), some, idle: (3, 40))?.parts == parts(180, 20, 10))
        #expect(twoCalls(CallTime(), CallTime(offCPU: 120, delay: 110), idle: (3, 40))?.parts == parts(120, 110, 0))
        #expect(twoCalls(CallTime(), CallTime(offCPU: 1_000, delay: 1_000), idle: (3, 40))?.parts == parts(100, 140, 0))
    }

    @Test("Calls without effect before the object's end computed, and not longer than from the last call to that end")
    func idleCallsAtTheEnd() {
        for (time, cpu) in [(20, 50), (1_000, 150)] as [(UInt64, UInt64)] {
            var table = table()
            table.callEntered(enter(100))
            table.callReturned(back(130, from: 100, result: -1, flow: Flow.reading, io: -EAGAIN))
            table.stepped(alone(step(250, .objectFree, argument: 5, input: time)))
            #expect(table.takeFinished().first?.parts == parts(cpu, 0, 0, of: 150))
        }
    }

    // MARK: gaps

    @Test(
        "Of a gap, what is behind the arrival of the bytes that the next call reads is unread",
        arguments: [(0, 0), (50, 100), (200, 100), (201, 99), (260, 40), (300, 0), (350, 0)] as [(UInt64, UInt64)])
    func unreadInAGap(_ arrived: UInt64, _ unread: UInt64) {
        #expect(twoCalls(CallTime(), CallTime(arrived: arrived))?.parts == parts(200, 0, unread))
    }

    @Test("Calls without effect found nothing to read: their time is no unread time")
    func unreadBesideIdleCalls() {
        #expect(twoCalls(CallTime(), CallTime(arrived: 150), idle: (2, 30))?.parts == parts(230, 0, 70))
    }

    @Test("What arrived before the first call was entered is in no session's time")
    func arrivedBeforeTheStart() {
        #expect(twoCalls(CallTime(arrived: 10))?.parts == parts(200, 0, 0))
    }

    @Test("A call that read no socket brings no arrival")
    func anArrivalWithoutASocketIsNone() {
        let second = CallTime(unread: Self.unknown, arrived: 250)
        #expect(twoCalls(CallTime(), second)?.parts == parts(200, 0, 0))
    }

    @Test("What follows the last call of a session that is given up or times out is the peer's")
    func theTailIsThePeers() {
        for byTimeout in [false, true] {
            var table = table()
            table.callEntered(enter(100))
            table.callReturned(
                back(130, from: 100, result: -1, flow: Flow.reading, io: -EAGAIN, time: CallTime(offCPU: 10, delay: 4)))
            if byTimeout { table.expire(now: 131 + Self.timeout) } else { table.stepped(alone(step(250, .objectFree))) }
            let handshake = table.takeFinished().first
            #expect(handshake?.outcome == (byTimeout ? .timeout : .abandoned))
            #expect(handshake?.parts == parts(20, 4, 0, of: byTimeout ? 31 + Self.timeout : 150))
        }
    }

    // MARK: what is not known

    @Test("Without a socket of its own in any call, unread and peer are absent; the wait is known")
    func withoutASocket() {
        let reads = CallTime(offCPU: 40, delay: 10, unread: Self.unknown)
        let handshake = twoCalls(reads, reads)
        #expect(handshake?.parts == parts(120, 20, nil))
        #expect(handshake?.wait == 160)
        #expect(handshake?.parts.peer == nil)
        #expect(handshake?.parts.unread == nil)
    }

    @Test("One call that read a socket is enough: the others had nothing to read there")
    func oneCallWithASocket() {
        let handshake = twoCalls(CallTime(offCPU: 40, unread: Self.unknown), CallTime(offCPU: 40, unread: 15))
        #expect(handshake?.parts == parts(120, 0, 15))
    }

    @Test("Where the kernel does not keep how long threads wait for a processor, only the CPU part is known")
    func withoutRunDelay() {
        let handshake = twoCalls(CallTime(offCPU: 40, delay: Self.unknown, unread: 10), CallTime(offCPU: 40))
        #expect(handshake?.parts == parts(120, nil, nil))
        #expect(handshake?.parts.cpu == 120)
        #expect(handshake?.busy == nil)
        #expect(handshake?.wait == nil)
    }

    @Test("A call whose time off the processor is not known leaves no part known")
    func withoutOffCPU() {
        #expect(twoCalls(CallTime(), CallTime(offCPU: Self.unknown))?.parts == .unknown)
    }

    @Test("A call that began before the last one came back is another thread's: no part is known")
    func overlappingCalls() {
        var table = table()
        table.callEntered(enter(100))
        table.callReturned(back(200, from: 100, result: -1, flow: Flow.reading, io: -EAGAIN))
        table.callReturned(back(300, from: 150, result: 1, flow: Flow.finished))
        #expect(table.takeFinished().first?.parts == .unknown)
    }

    @Test("A call that was entered and did not come back leaves no part known, one entered again neither")
    func aCallThatDidNotComeBack() {
        var table = table()
        table.callEntered(enter(100))
        table.callReturned(back(300, from: 200, result: 1, flow: Flow.finished))
        #expect(table.takeFinished().first?.parts == .unknown)
        table.callEntered(enter(400))
        table.callReturned(back(410, from: 400, result: -1, flow: Flow.reading, io: -EAGAIN))
        table.callEntered(enter(420, flow: Flow.reading))
        table.callEntered(enter(430, flow: Flow.reading))
        table.callReturned(back(450, from: 430, result: 1, flow: Flow.finished))
        let handshake = table.takeFinished().first
        #expect(handshake?.duration == 50)
        #expect(handshake?.parts == .unknown)
    }

    @Test("Sessions that lost events claim nothing of their time, unless one call tells it all")
    func lostEvents() {
        for (whole, known) in [(true, parts(300, 0, 0)), (false, .unknown)] {
            var table = table()
            table.callEntered(enter(100))
            if !whole { table.callReturned(back(200, from: 100, result: -1, flow: Flow.reading, io: -EAGAIN)) }
            table.note(loss: LossSpan(from: 210, to: 220))
            table.callReturned(back(400, from: whole ? 100 : 300, result: 1, flow: Flow.finished))
            let handshake = table.takeFinished().first
            #expect(handshake?.outcome == (whole ? .completed : .abandoned))
            #expect(handshake?.parts == known)
        }
    }

    @Test("A call that the close of the socket fell into is in part of a session that ended there: nothing is claimed")
    func aCloseInsideACall() {
        var table = closedInBetween()
        table.callReturned(back(260, from: 190, result: -1, flow: Flow.reading, io: -EAGAIN))
        table.callReturned(back(290, from: 280, result: -1, flow: Flow.reading, io: -EAGAIN))
        table.endClosed()
        #expect(table.takeFinished().first?.parts == .unknown)

        table = closedInBetween()
        table.callReturned(back(260, from: 190, result: 1, flow: Flow.finished, time: CallTime(offCPU: 20, delay: 20)))
        #expect(table.takeFinished().first?.parts == parts(30 + 50, 20, 0, of: 160), "it was not the end")
    }

    // MARK: TCP's figures

    private func figures(_ before: UInt32, _ calls: [(rtt: UInt32, retransmits: UInt32)], seen: Bool) -> Handshake? {
        var table = table()
        table.callEntered(enter(100))
        var socket = used(110)
        socket.retransmits = before
        if seen { (socket.connecting_ns, socket.established_ns) = (10, 20) }
        table.socketUsed(socket)
        var time: UInt64 = 100
        for (index, call) in calls.enumerated() {
            let last = index == calls.count - 1
            table.callReturned(
                back(
                    time + 20, from: time, result: last ? 1 : -1, flow: last ? Flow.finished : Flow.reading,
                    io: -EAGAIN,
                    time: CallTime(rtt: call.rtt, retransmits: call.retransmits)))
            time += 100
        }
        return table.takeFinished().first
    }

    @Test("The round-trip time is the last that is known, in nanoseconds")
    func roundTripTime() {
        #expect(figures(0, [(300, 0), (412, 0), (0, 0)], seen: true)?.rtt == 412_000)
        #expect(figures(0, [(0, 0)], seen: true)?.rtt == nil)
    }

    @Test("Retransmissions count from a connection's beginning in its first handshake, else from the session's own")
    func retransmissions() {
        #expect(figures(2, [(0, 2), (0, 3)], seen: true)?.retransmits == 3)
        #expect(figures(2, [(0, 2), (0, 3)], seen: false)?.retransmits == 1)
        #expect(figures(2, [(0, 3), (0, .max)], seen: false)?.retransmits == 1, "the last that is known")
        #expect(figures(.max, [(0, 3)], seen: false)?.retransmits == nil)
        #expect(figures(.max, [(0, 3)], seen: true)?.retransmits == 3)
        #expect(figures(0, [(0, .max)], seen: true)?.retransmits == nil)
        #expect(figures(5, [(0, 3)], seen: false)?.retransmits == nil, "of another socket")
    }

    @Test("A socket that is found to be the session's own brings its own count; its connection's end changes it to all")
    func retransmissionsOfAnotherSocket() {
        var table = table()
        table.callEntered(enter(100))
        var socket = used(110, cookie: 1)
        socket.proof = UInt16(TLSWATCH_INFERRED.rawValue)
        socket.retransmits = 1
        table.socketUsed(socket)
        table.callReturned(
            back(120, from: 100, result: -1, flow: Flow.reading, io: -EAGAIN, time: CallTime(retransmits: 7)))
        socket = used(130, cookie: 2)
        socket.retransmits = 4
        table.socketUsed(socket)
        table.callReturned(
            back(140, from: 125, result: -1, flow: Flow.reading, io: -EAGAIN, time: CallTime(retransmits: 5)))
        // TCP Fast Open: the same socket again, once its connection has come about.
        socket.header.time_ns = 150
        socket.connecting_ns = 90
        socket.established_ns = 145
        table.socketUsed(socket)
        table.callReturned(back(160, from: 155, result: 1, flow: Flow.finished, time: CallTime(retransmits: 6)))
        #expect(table.takeFinished().first?.retransmits == 6)
    }

    // MARK: properties

    /// A session whose truth is known: what each of its moments was.
    private struct Truth {
        var cpu: UInt64 = 0
        var runqueue: UInt64 = 0
        var unread: UInt64 = 0
        var peer: UInt64 = 0
        var duration: UInt64 { cpu + runqueue + unread + peer }
    }

    @Test("Random sessions come out as they were made, to the nanosecond", arguments: 0..<20 as Range<UInt64>)
    func randomSessions(_ seed: UInt64) {
        var random = SplitMix(seed: seed)
        func upTo(_ limit: UInt64) -> UInt64 { UInt64.random(in: 0...limit, using: &random) }
        for _ in 0..<50 {
            var table = table()
            var truth = Truth()
            let start = 1_000 + upTo(1 << 40)
            var now = start
            table.callEntered(enter(start))
            let count = 1 + Int(upTo(6))
            for index in 0..<count {
                var arrived: UInt64 = 0
                var idle: UInt64 = 0
                if index > 0 {
                    // The peer answers, the program is late; meanwhile it may have called in vain.
                    let (waited, late) = (upTo(1_000_000), upTo(3) == 0 ? upTo(1_000_000) : 0)
                    idle = upTo(1) == 0 ? upTo(waited) : 0
                    truth.cpu += idle
                    truth.peer += waited - idle
                    truth.unread += late
                    arrived = now + waited
                    now += waited + late
                }
                let enter = now
                let (cpu, delay, unread, blocked) = (
                    1 + upTo(500_000), upTo(100_000), upTo(100_000), upTo(2_000_000)
                )
                now += cpu + delay + unread + blocked
                truth.cpu += cpu
                truth.runqueue += delay
                truth.unread += unread
                truth.peer += blocked
                let last = index == count - 1
                table.callReturned(
                    back(
                        now, from: enter, result: last ? 1 : -1, flow: last ? Flow.finished : Flow.reading, io: -EAGAIN,
                        idle: (idle > 0 ? 1 : 0, idle),
                        time: CallTime(
                            offCPU: delay + unread + blocked, delay: delay, unread: unread, arrived: arrived)))
            }
            let handshake = table.takeFinished().first
            #expect(handshake?.duration == truth.duration)
            #expect(
                handshake?.parts
                    == parts(truth.cpu, truth.runqueue, truth.unread, of: truth.duration), "seed \(seed)")
            #expect(handshake?.parts.peer == truth.peer)
        }
    }

    @Test("Whatever a record says, the parts are the duration to the nanosecond", arguments: 100..<120 as Range<UInt64>)
    func conservation(_ seed: UInt64) {
        var random = SplitMix(seed: seed)
        func any() -> UInt64 {
            switch UInt64.random(in: 0...5, using: &random) {
            case 0: 0
            case 1: TLSWATCH_NO_TIME - 1
            case 2: UInt64.random(in: 0...UInt64.max - 1, using: &random)
            default: UInt64.random(in: 0...10_000, using: &random)
            }
        }
        for _ in 0..<100 {
            var table = table()
            var now: UInt64 = 5_000
            table.callEntered(enter(now))
            let count = Int.random(in: 1...5, using: &random)
            let completes = Bool.random(using: &random)
            for index in 0..<count {
                let enter = now
                now += UInt64.random(in: 0...5_000, using: &random)
                let last = completes && index == count - 1
                if index == 1, Bool.random(using: &random) { table.socketUsed(used(enter)) }
                table.callReturned(
                    back(
                        now, from: enter, result: last ? 1 : -1, flow: last ? Flow.finished : Flow.reading, io: -EAGAIN,
                        idle: (1, any() >> 1),
                        time: CallTime(offCPU: any(), delay: any(), unread: any(), arrived: any())))
                now += UInt64.random(in: 0...5_000, using: &random)
            }
            if !completes { table.stepped(alone(step(now, .objectFree, argument: 1, input: any() >> 1))) }
            guard let handshake = table.takeFinished().first, let cpu = handshake.parts.cpu,
                let runqueue = handshake.parts.runqueue, let unread = handshake.parts.unread,
                let peer = handshake.parts.peer
            else {
                Issue.record("seed \(seed): a part is missing")
                return
            }
            #expect(cpu + runqueue + unread + peer == handshake.duration, "seed \(seed)")
            #expect((handshake.busy ?? 0) + (handshake.wait ?? 0) == handshake.duration)
        }
    }
}

import Handshakes
import CEvents
import Glibc
import TestSupport
import Testing

@testable import HandshakeProbe

/// Streams made by hand: every rule of the session table, without a kernel.
@Suite("The session table") struct SessionTableTests: SessionStream {
    @Test("Two calls with a wait between them are one session; busy and wait add up")
    func twoCalls() {
        var table = table()
        table.callEntered(enter(100))
        table.callReturned(back(130, from: 100, result: -1, flow: Flow.reading, io: -EAGAIN))
        #expect(table.takeFinished().isEmpty, "WANT_READ is no end")
        table.callReturned(back(250, from: 210, result: 1, flow: Flow.finished))
        let finished = table.takeFinished()
        #expect(finished.count == 1)
        #expect(finished.first?.outcome == .completed)
        #expect(finished.first?.duration == 150)
        #expect(finished.first?.busy == 70)
        #expect(finished.first?.wait == 80)
        #expect(finished.first?.calls == 2)
    }

    @Test("A ticket after a TLS 1.3 handshake is no handshake; the same entry in TLS 1.2 renegotiates")
    func afterTheHandshake() {
        var table = table()
        table.callEntered(enter(100, flow: Flow.finished, version: 0x0304))
        table.callReturned(back(110, from: 100, result: 1, flow: Flow.finished))
        #expect(table.takeFinished().isEmpty)
        table.callEntered(enter(200, flow: Flow.finished, version: 0x0303))
        let keys = [
            step(205, .keyChange, argument: Keys.serverRead), step(206, .keyChange, argument: Keys.serverWrite),
        ]
        table.callReturned(back(210, from: 200, result: 1, flow: Flow.finished, steps: keys))
        #expect(table.takeFinished().count == 1)
    }

    @Test("A failure counts once, however often the application calls again")
    func failsOnce() {
        var table = table()
        table.callEntered(enter(100))
        table.stepped(
            alone(
                step(
                    120, .fatal, argument: Alert.noApplicationProtocol, argument2: Reason.noApplicationProtocol,
                    input: 110)))
        table.callReturned(back(130, from: 100, result: -1, flow: Flow.error))
        table.callEntered(enter(140, flow: Flow.error))
        table.callReturned(back(150, from: 140, result: -1, flow: Flow.error))
        let finished = table.takeFinished()
        #expect(finished.map(\.outcome) == [.failed])
        #expect(finished.first?.reason == "no_application_protocol")
        #expect(finished.first?.alert == 120)
        #expect(finished.first?.alertDirection == .sent)
    }

    @Test("The end of the stream inside a call is told as the peer's close, a reset as a reset")
    func transportErrors() {
        var table = table()
        for (io, reason) in [(Int32(0), "peer_closed"), (-104, "connection_reset")] {
            table.callEntered(enter(100))
            table.callReturned(back(130, from: 100, result: -1, flow: Flow.reading, io: io))
            #expect(table.takeFinished().map(\.reason) == [reason])
        }
    }

    @Test("The same address in two processes is two sessions")
    func twoProcesses() {
        var table = table()
        table.callEntered(enter(100, pid: 7))
        table.callEntered(enter(110, pid: 8))
        table.callReturned(back(130, from: 100, result: 1, flow: Flow.finished, pid: 7))
        table.callReturned(back(170, from: 110, result: 1, flow: Flow.finished, pid: 8))
        #expect(table.takeFinished().map(\.duration) == [30, 60])
    }

    @Test("Freed, cleared and used again, closed, or its process gone: abandoned")
    func freedObjectsAreAbandoned() {
        var table = table()
        table.callEntered(enter(100))
        table.callReturned(back(110, from: 100, result: -1, flow: Flow.reading, io: -EAGAIN))
        table.stepped(alone(step(150, .objectFree)))
        #expect(table.takeFinished().map(\.outcome) == [.abandoned])
        table.callEntered(enter(200))
        table.callEntered(enter(300))
        #expect(table.takeFinished().map(\.duration) == [100])
        var ended = tlswatch_process()
        ended.header = header(400)
        table.processes.set(pid: 7, start: 5, exe: "/x")
        table.processEnded(ended)
        #expect(table.takeFinished().map(\.outcome) == [.abandoned])
        #expect(table.inFlight == 0)
    }

    @Test("An idle session times out; one that moves does not")
    func idleSessionsTimeOut() {
        var table = table()
        table.callEntered(enter(1_000))
        table.expire(now: 1_000 + Self.timeout)
        #expect(table.takeFinished().isEmpty)
        table.expire(now: 1_001 + Self.timeout)
        #expect(table.takeFinished().map(\.outcome) == [.timeout])
    }

    @Test("The table is bounded: the one idle longest makes room, and is counted")
    func theLongestIdleSessionMakesRoom() {
        var table = table(capacity: 3)
        for index in 0..<10 as Range<UInt64> { table.callEntered(enter(100 + index, object: 0x1000 + index)) }
        let finished = table.takeFinished()
        #expect(table.inFlight == 3)
        #expect(finished.count == 7)
        #expect(finished.allSatisfy { $0.outcome == .abandoned && $0.reason == "session_table_full" })
        #expect(table.counts.started(.server, "openssl") == 10)
        #expect(table.counts.inFlight(.server, "openssl") == 3)
    }

    @Test("A full table gives up exactly the longest idle, and rarely looks at all of it to find out")
    func longestIdle() {
        let capacity = 256
        var table = table(capacity: capacity)
        var model: [UInt64: UInt64] = [:]
        var random = SplitMix(seed: 11)
        for time in UInt64(1_000)..<6_000 {
            if Bool.random(using: &random), let moved = model.keys.sorted().randomElement(using: &random) {
                table.callReturned(back(time, from: time, result: -1, flow: Flow.reading, io: -EAGAIN, object: moved))
                model[moved] = time
                continue
            }
            let oldest = model.count == capacity ? model.min { $0.value < $1.value }?.key : nil
            table.callEntered(enter(time, object: time))
            #expect(table.takeFinished().map(\.start) == (oldest.map { [$0] } ?? []))
            if let oldest { model[oldest] = nil }
            model[time] = time
        }
        #expect(table.inFlight == capacity)
        #expect(table.idleOrder.surveys > 100, "not once a session")
        #expect(table.idleOrder.surveys < 1_200, "not once a session")
    }

    @Test("Key exchange runs from the input before the agreement to the handshake keys; ALPN to the choice")
    func phasesRunBetweenTheirEvents() {
        var table = table()
        table.callEntered(enter(100))
        let steps = [
            step(120, .alpnSelect, input: 110),
            step(160, .keyAgreement, argument2: 1, input: 110, duration: 20),
            step(170, .keyChange, argument: Keys.handshakeServerWrite, input: 110),
            step(190, .keyChange, argument: Keys.applicationServerWrite, input: 110),
        ]
        table.callReturned(back(200, from: 100, result: 1, flow: Flow.finished, steps: steps))
        let handshake = table.takeFinished().first
        #expect(handshake?.keyExchange == 60)
        #expect(handshake?.keyExchangeCompute == 20)
        #expect(handshake?.keyExchangeSucceeded == true)
        #expect(handshake?.alpnNegotiation == nil, "no protocol was read: absent, not guessed")
    }

    @Test("After the socket closed the library has the last word: reset, the peer's alert, or done after all")
    func lastWord() {
        var table = closedInBetween()
        #expect(table.takeFinished().isEmpty, "not yet")
        table.callReturned(back(260, from: 250, result: -1, flow: Flow.reading, io: -ECONNRESET))
        #expect(table.takeFinished().map(\.reason) == ["connection_reset"])
        table = closedInBetween()
        let alert = step(255, .fatal, argument: Alert.none, argument2: Reason.receivedUnknownCA)
        table.callReturned(back(260, from: 250, result: -1, flow: Flow.error, steps: [alert]))
        let failed = table.takeFinished().first
        #expect(failed?.reason == "unknown_ca")
        #expect(failed?.alert == 48)
        #expect(failed?.alertDirection == .received)
        table = closedInBetween()
        table.callReturned(back(260, from: 250, result: 1, flow: Flow.finished))
        #expect(table.takeFinished().map(\.outcome) == [.completed])
    }

    @Test("Where no word comes, the close was the end: told after the grace, or when the object goes")
    func noLastWord() {
        var table = closedInBetween()
        table.expire(now: 200 + SessionTable.closeGrace)
        #expect(table.takeFinished().isEmpty)
        table.expire(now: 201 + SessionTable.closeGrace)
        let finished = table.takeFinished()
        #expect(finished.map(\.outcome) == [.abandoned] && finished.map(\.end) == [200])
        table = closedInBetween()
        table.stepped(alone(step(900, .objectFree)))
        #expect(table.takeFinished().map(\.end) == [200])
        table = closedInBetween()
        table.endClosed()
        #expect(table.takeFinished().map(\.end) == [200])
        #expect(table.inFlight == 0)
    }

    @Test("Of a session in flight during a loss nothing is claimed, unless one call told all of it")
    func nothingIsClaimedDuringALoss() {
        var table = table()
        table.callEntered(enter(100))
        table.note(loss: LossSpan(from: 150, to: 160))
        table.callReturned(back(250, from: 210, result: 1, flow: Flow.finished, scalars: [.version: 0x0304]))
        let lost = table.takeFinished().first
        #expect(lost?.outcome == .abandoned)
        #expect(lost?.reason == "events_lost")
        #expect(lost?.tlsVersion == nil)
        table.callEntered(enter(140))
        table.callReturned(back(170, from: 140, result: 1, flow: Flow.finished))
        table.callEntered(enter(300))
        table.callReturned(back(350, from: 320, result: 1, flow: Flow.finished))
        #expect(table.takeFinished().map(\.outcome) == [.completed, .completed])
    }

    @Test("Early data parts one handshake in two calls; a HelloRequest is none")
    func notTheEnd() {
        var table = table()
        table.callEntered(enter(100))
        table.callReturned(
            back(130, from: 100, result: 1, flow: Flow.finished, scalars: [.handState: HandState.earlyData]))
        var again = enter(200, flow: Flow.finished)
        again.set(.handState, HandState.earlyData)
        table.callEntered(again)
        #expect(table.takeFinished().isEmpty)
        table.callReturned(back(240, from: 200, result: 1, flow: Flow.finished))
        #expect(table.takeFinished().map(\.calls) == [2])
        var request = enter(300, flow: Flow.finished, version: 0x0303)
        request.set(.requestState, HandState.serverWritesHelloRequest)
        table.callEntered(request)
        let answer = back(
            310, from: 300, result: -1, flow: Flow.writing, io: -EAGAIN,
            scalars: [.handState: HandState.clientWritesHello])
        table.callReturned(answer)
        #expect(table.inFlight == 0)
        request.server = 0
        table.callEntered(request)
        table.callReturned(answer)
        #expect(table.inFlight == 1, "a client that renegotiates begins with the same state")
    }

    @Test(
        "An alert that only TLS 1.3 knows goes out as handshake_failure below it",
        arguments: [(0x0303, 40, "handshake_failure"), (0x0304, 116, "certificate_required")]
            as [(UInt32, UInt8, String)])
    func alertOnTheWire(_ version: UInt32, _ alert: UInt8, _ reason: String) {
        var table = table()
        table.callEntered(enter(100))
        let fatal = step(
            120, .fatal, argument: Alert.certificateRequired, argument2: Reason.peerDidNotReturnACertificate)
        table.callReturned(
            back(130, from: 100, result: -1, flow: Flow.error, scalars: [.version: version], steps: [fatal]))
        let failed = table.takeFinished().first
        #expect(failed?.alert == alert)
        #expect(failed?.reason == reason)
        #expect(failed?.alertDirection == .sent)
    }

    @Test("An error of the record layer fails the handshake although the state machine stands where it was")
    func recordLayer() {
        var table = table()
        table.callEntered(enter(100))
        let fatal = step(120, .fatal, argument: Alert.none, argument2: Reason.httpRequest)
        table.callReturned(
            back(130, from: 100, result: -1, flow: Flow.reading, scalars: [.want: Want.reading], steps: [fatal]))
        #expect(table.takeFinished().map(\.reason) == ["http_request"])
    }

    @Test("close_notify is told where bytes came, and not where an end of file only looks like it")
    func closeNotifyTakesBytes() {
        var table = table()
        for (io, reason) in [(Int32(7), "close_notify"), (0, "peer_closed"), (1 << 30, "peer_closed")] {
            table.callEntered(enter(100))
            table.callReturned(
                back(
                    130, from: 100, result: -1, flow: Flow.reading, io: io,
                    scalars: [.want: Want.reading, .shutdown: Shutdown.received]))
            #expect(table.takeFinished().map(\.reason) == [reason])
        }
    }

    @Test(
        "The group is the handshake's own: not one that a client offered for TLS 1.3, nor an earlier session's",
        arguments: [
            (0x0304, 0, "X25519MLKEM768"), (0x0304, 1, "X25519MLKEM768"), (0x0303, 0, "secp384r1"), (0x0303, 1, nil),
        ] as [(UInt32, UInt32, String?)])
    func theGroupIsTheHandshakesOwn(_ version: UInt32, _ resumed: UInt32, _ expected: String?) {
        var table = table()
        table.callEntered(enter(100, server: 0))
        let facts: [Fact: UInt32] = [.version: version, .resumed: resumed, .group: 4588, .sessionGroup: 24]
        table.callReturned(back(130, from: 100, result: 1, flow: Flow.finished, scalars: facts))
        #expect(table.takeFinished().map(\.group) == [expected])
    }

    @Test("Client certificates: what a server asks in this handshake, and what a client was asked")
    func clientCertificatesAreThisHandshakes() {
        var table = table()
        func facts(_ server: UInt32, _ scalars: [Fact: UInt32]) -> [Bool?] {
            table.callEntered(enter(100, server: server))
            table.callReturned(back(130, from: 100, result: 1, flow: Flow.finished, scalars: scalars))
            let handshake = table.takeFinished().first
            return [handshake?.clientCertificateRequested, handshake?.clientCertificateGiven]
        }
        let tls13: [Fact: UInt32] = [.version: 0x0304, .resumed: 0]
        #expect(facts(1, tls13.merging([.verifyMode: Verify.peer, .peerCertificate: 5]) { $1 }) == [true, true])
        #expect(facts(1, tls13.merging([.verifyMode: Verify.peer, .peerCertificate: 0]) { $1 }) == [true, false])
        #expect(
            facts(1, tls13.merging([.verifyMode: Verify.peerAfterHandshake, .peerCertificate: 5]) { $1 }) == [
                false, nil,
            ], "asked later")
        #expect(
            facts(1, [.version: 0x0304, .resumed: 1, .verifyMode: Verify.peer, .peerCertificate: 5]) == [false, nil],
            "the earlier session's certificate")
        #expect(facts(0, tls13.merging([.certificateRequest: 1]) { $1 }) == [true, true])
        #expect(facts(0, tls13.merging([.certificateRequest: 2]) { $1 }) == [true, false])
        #expect(facts(0, tls13.merging([.certificateRequest: 0]) { $1 }) == [false, nil])
        #expect(facts(0, tls13.merging([.certificateRequest: 77]) { $1 }) == [nil, nil], "no value of the field")
    }

    @Test("The verified Finished is a server's, and only the client's application keys tell it")
    func peerFinished() {
        var table = table()
        for (server, argument, expected) in [
            (1, Keys.applicationServerRead, 80), (1, Keys.applicationServerWrite, nil),
            (0, Keys.applicationServerRead, nil),
        ]
            as [(UInt32, Int32, UInt64?)]
        {
            table.callEntered(enter(100, server: server))
            let steps = [step(180, .keyChange, argument: argument)]
            table.callReturned(
                back(200, from: 100, result: 1, flow: Flow.finished, scalars: [.version: 0x0304], steps: steps))
            #expect(table.takeFinished().map(\.finished) == [expected])
        }
    }

    @Test("A paused job leaves its call; a return whose entry is not known counts no other")
    func aPausedJobLeavesItsCall() {
        var table = table()
        table.callEntered(enter(100))
        table.stepped(alone(step(130, .pause)))
        table.callReturned(back(500, from: 0, result: 1, flow: Flow.finished))
        let handshake = table.takeFinished().first
        #expect(handshake?.calls == 1)
        #expect(handshake?.parts == .unknown, "what the job did after the pause is not told")
        #expect(handshake?.duration == 400)
    }

    @Test("A library whose first records make no sense is distrusted")
    func anImplausibleLibraryIsDistrusted() {
        var table = table()
        for time in [100, 200, 300] as [UInt64] {
            #expect(table.callEntered(enter(time, version: 0x7777)) == .implausible)
        }
        #expect(table.health[1].isWrong)
        #expect(table.inFlight == 0)
    }

    @Test("What is held against a library is not held against the next one with its number")
    func aReusedProfileBeginsAnew() throws {
        var table = table()
        for time in [100, 200, 300] as [UInt64] { table.callEntered(enter(time, version: 0x7777)) }
        try #require(table.health[1].isWrong)
        table.register(
            ProfileEntry(rules: .openSSL, stack: "openssl", library: "/another", version: nil), at: 1)
        #expect(table.health[1] == ProfileHealth())
    }

    @Test("A handshake that waits without a known socket wants to be told of freed objects; no other does")
    func unknownSocketsAreNoted() {
        var table = table()
        table.callEntered(enter(100))
        table.socketUsed(used(110))
        table.callReturned(back(150, from: 100, result: -1, flow: Flow.reading, io: -11))
        table.callEntered(enter(160))
        table.callReturned(back(200, from: 160, result: 1, flow: Flow.finished))
        // One call is one handshake: nothing waits.
        table.callEntered(enter(300))
        table.callReturned(back(400, from: 300, result: 1, flow: Flow.finished))
        #expect(!table.health[1].hasUnknownSockets)
        table.callEntered(enter(500))
        table.callReturned(back(600, from: 500, result: -1, flow: Flow.reading, io: -11))
        #expect(table.health[1].hasUnknownSockets)
    }
}

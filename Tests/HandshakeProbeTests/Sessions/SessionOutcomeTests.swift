import CEvents
import Glibc
import TestSupport
import Testing

@testable import HandshakeProbe
@testable import Handshakes

/// How a session ends, and what may be told of it then: the edges of each rule, on streams made by hand.
@Suite("How sessions end") struct SessionOutcomeTests: SessionStream {
    /// One call of a handshake, from 100 to 130.
    private func oneCall(
        server: UInt32 = 1, result: Int32 = 1, flow: UInt32 = Flow.finished, io: Int32 = 5,
        scalars: [Fact: UInt32] = [:],
        steps: [tlswatch_step] = []
    ) -> Handshake? {
        var table = table()
        table.callEntered(enter(100, server: server))
        table.callReturned(
            back(130, from: 100, result: result, flow: flow, io: io, scalars: scalars, steps: steps))
        return table.takeFinished().first
    }

    // MARK: the socket closed first

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
        #expect(table.counts.inFlight[SessionCounts.Key(role: .server, stack: "openssl")] == 0)
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

    // MARK: losses

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

    // MARK: beginnings and what is none

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
        #expect(table.counts.started[SessionCounts.Key(role: .server, stack: "openssl")] == 1)
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
        return (table.takeFinished(), table.counts.started[SessionCounts.Key(role: role, stack: "openssl")] ?? 0)
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

    // MARK: moments

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

    // MARK: calls without effect

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

    // MARK: sockets

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

    // MARK: words and names

    @Test(
        "The library's own word stands beside the reason where it says more",
        arguments: [
            (40, 193, nil, "no_shared_cipher"), (70, 258, nil, "unsupported_protocol"),
            (48, 134, 62, "hostname_mismatch"),
            (48, 134, 0, "certificate_verify_failed"), (48, 134, nil, "certificate_verify_failed"),
            (120, 235, nil, nil), (-1, 1048, nil, nil), (40, 199, nil, "peer_did_not_return_a_certificate"),
            (80, 0xc0103, nil, nil), (80, 0x80006, nil, "evp_lib"), (40, 777, nil, nil), (40, 339, nil, nil),
        ] as [(Int32, Int32, UInt32?, String?)])
    func libraryReason(_ alert: Int32, _ reason: Int32, _ verification: UInt32?, _ word: String?) {
        let failed = oneCall(
            result: -1, flow: Flow.error, scalars: verification.map { [.verifyResult: $0] } ?? [:],
            steps: [step(120, .fatal, argument: alert, argument2: reason)])
        #expect(failed?.outcome == .failed)
        #expect(failed?.libraryReason == word)
    }

    @Test("The name of a ClientHello that was refused while it was read is the session's, made safe")
    func refusedName() {
        var table = table()
        table.callEntered(enter(100))
        var name = tlswatch_name()
        name.header = header(110, hook: .fatal)
        name.step = step(110, .fatal, argument: 112, argument2: 234)
        unsafe withUnsafeMutableBytes(of: &name.text) { unsafe $0.copyBytes(from: Array("a\nb.example".utf8)) }
        name.length = 11
        #expect(table.failedNamed(name) == nil)
        table.callReturned(back(200, from: 100, result: -1, flow: Flow.error))
        let finished = table.takeFinished()
        #expect(finished.map(\.reason) == ["unrecognized_name"], "the failure came with it")
        #expect(finished.map(\.sni) == ["a\u{fffd}b.example"])
    }

    // MARK: alerts

    @Test(
        "The alert is the one on the wire: two that only TLS 1.3 knows become handshake_failure below it",
        arguments: [
            (116, 0x0303, 40), (109, 0x0303, 40), (116, 0xfefd, 40), (116, 0x0304, 116), (109, 0x0304, 109),
            (120, 0x0303, 120), (116, nil, 116),
        ] as [(Int32, UInt32?, UInt8)])
    func sentAlert(_ alert: Int32, _ version: UInt32?, _ wire: UInt8) {
        let failed = oneCall(
            result: -1, flow: Flow.error, scalars: version.map { [.version: $0] } ?? [:],
            steps: [step(120, .fatal, argument: alert, argument2: Reason.peerDidNotReturnACertificate)])
        #expect(failed?.alert == wire)
        #expect(failed?.reason == IANA.alert(wire))
        #expect(failed?.alertDirection == .sent)
    }

    @Test(
        "A reason from 1001 to 1255 is the peer's alert, whatever this side would have sent",
        arguments: [
            (-1, 1048, 48, "unknown_ca"), (-1, 1255, 255, "alert_255"), (-1, 1001, 1, "alert_1"),
            (40, 1120, 120, "no_application_protocol"), (-1, 1000, nil, "library_error_1000"),
            (-1, 1256, nil, "library_error_1256"),
        ] as [(Int32, Int32, UInt8?, String)])
    func receivedAlert(_ alert: Int32, _ reason: Int32, _ code: UInt8?, _ text: String) {
        let failed = oneCall(
            result: -1, flow: Flow.error, scalars: [.version: 0x0303],
            steps: [step(120, .fatal, argument: alert, argument2: reason)])
        #expect(failed?.outcome == .failed)
        #expect(failed?.alert == code)
        #expect(failed?.reason == text)
        #expect(failed?.alertDirection == (code == nil ? nil : .received))
    }

    @Test(
        "The library's reason stands where the alert says nothing, and the alert where it does",
        arguments: [
            (80, 134, 80, "certificate_verify_failed"), (80, 68, 80, "internal_error"),
            (40, 193, 40, "handshake_failure"), (80, 294, nil, "peer_closed"), (-1, 294, nil, "peer_closed"),
            (-1, 156, nil, "http_request"), (256, 267, nil, "wrong_version_number"),
            (-1, 777, nil, "library_error_777"), (-1, 207, nil, "protocol_is_shutdown"),
        ] as [(Int32, Int32, UInt8?, String)])
    func theReasonStandsWhereTheAlertIsSilent(_ alert: Int32, _ reason: Int32, _ code: UInt8?, _ text: String) {
        let failed = oneCall(
            result: -1, flow: Flow.error, steps: [step(120, .fatal, argument: alert, argument2: reason)])
        #expect(failed?.reason == text)
        #expect(failed?.alert == code)
        #expect(failed?.alertDirection == (code == nil ? nil : .sent))
    }

    @Test("close_notify is the peer's, received: this side's own ends nothing")
    func onlyAReceivedCloseNotifyEnds() {
        let received = oneCall(
            result: -1, flow: Flow.reading, io: 31, scalars: [.want: Want.reading, .shutdown: Shutdown.both])
        #expect(received?.outcome == .failed)
        #expect(received?.reason == "close_notify")
        #expect(received?.alert == 0)
        #expect(received?.alertDirection == .received)
        #expect(
            oneCall(result: -1, flow: Flow.reading, io: 31, scalars: [.want: Want.reading, .shutdown: Shutdown.sent])
                == nil, "sent")
        #expect(
            oneCall(result: -1, flow: Flow.reading, io: 31, scalars: [.want: Want.reading, .shutdown: Shutdown.none])
                == nil)
    }

    @Test(
        "A call that waits is no end: not while the transport may be asked again",
        arguments: [(-11, 3, nil), (-4, 3, nil), (5, 2, nil), (1 << 30, 3, nil), (5, 1, .failed), (-104, 3, .failed)]
            as [(Int32, UInt32, Outcome?)])
    func aWaitingCallIsNoEnd(_ io: Int32, _ want: UInt32, _ outcome: Outcome?) {
        #expect(oneCall(result: -1, flow: Flow.reading, io: io, scalars: [.want: want])?.outcome == outcome)
    }

    @Test("A fatal error in a call that wants more is the end, be it told with the call or before it")
    func fatalInWaitingCall() {
        let first = step(115, .fatal, argument: Alert.none, argument2: Reason.httpRequest)
        let second = step(120, .fatal, argument: Alert.internalError, argument2: Reason.certificateVerifyFailed)
        let told = oneCall(
            result: -1, flow: Flow.reading, io: -EAGAIN, scalars: [.want: Want.reading], steps: [first, second])
        #expect(told?.outcome == .failed, "the first is the cause")
        #expect(told?.reason == "http_request", "the first is the cause")

        var table = table()
        table.callEntered(enter(100))
        table.stepped(alone(first))
        #expect(table.takeFinished().isEmpty)
        table.callReturned(back(130, from: 100, result: -1, flow: Flow.reading, io: -EAGAIN, steps: [second]))
        #expect(table.takeFinished().map(\.reason) == ["http_request"])
        table.callReturned(back(150, from: 140, result: -1, flow: Flow.reading, io: -EAGAIN))
        #expect(table.takeFinished().isEmpty)
        #expect(table.inFlight == 0)
    }

    // MARK: facts

    @Test(
        "The group comes from where this handshake left it, and only if it is a registered one",
        arguments: [
            (0x0304, 0, 29, 24, "x25519"), (0x0304, 1, 29, 24, "x25519"), (0x0304, 0, nil, 24, "secp384r1"),
            (0x0304, 0, 0x2001d, 24, "secp384r1"), (0x0304, 0, 9999, 24, "secp384r1"), (0x0303, 0, 29, 24, "secp384r1"),
            (0x0303, 0, 29, nil, nil), (0x0303, 1, 29, 24, nil), (0x0303, nil, 29, 24, nil), (0x0303, 0, 29, 9999, nil),
        ] as [(UInt32, UInt32?, UInt32?, UInt32?, String?)])
    func onlyARegisteredGroupIsReported(
        _ version: UInt32, _ resumed: UInt32?, _ own: UInt32?, _ session: UInt32?, _ expected: String?
    ) {
        let told: [Fact: UInt32?] = [.version: version, .resumed: resumed, .group: own, .sessionGroup: session]
        let finished = oneCall(server: 0, scalars: told.compactMapValues { $0 })
        #expect(finished?.outcome == .completed)
        #expect(finished?.group == expected)
    }

    @Test(
        "Client certificates are told by the side that knows, of the handshake that asked",
        arguments: [
            (1, [.resumed: 0, .verifyMode: Verify.peerOrFail, .peerCertificate: 9], true, true),
            // TLS_PSK_WITH_AES_128_GCM_SHA256, TLS_DH_anon_WITH_AES_128_GCM_SHA256, TLS_RSA_PSK_WITH_AES_128_GCM_SHA256
            (1, [.resumed: 0, .verifyMode: Verify.peer, .version: 0x0303, .cipher: 0x0300_00a8], false, nil),
            (1, [.resumed: 0, .verifyMode: Verify.peer, .version: 0x0303, .cipher: 0x0300_00a6], false, nil),
            (
                1,
                [.resumed: 0, .verifyMode: Verify.peer, .version: 0x0303, .cipher: 0x0300_00ac, .peerCertificate: 0],
                true,
                false
            ),
            (1, [.resumed: 0, .verifyMode: Verify.peer], true, nil),
            (1, [.resumed: 0, .verifyMode: Verify.none, .peerCertificate: 9], false, nil),
            (1, [.verifyMode: Verify.peer, .peerCertificate: 9], nil, nil),
            (1, [.resumed: 0, .verifyMode: 0x11, .peerCertificate: 9], nil, nil),
            (
                1, [.resumed: 0, .verifyMode: Verify.peerAfterHandshake, .peerCertificate: 9, .version: 0x0303], true,
                true
            ),
            (1, [.resumed: 0, .certificateRequest: 1], nil, nil),
            (0, [.resumed: 0, .verifyMode: Verify.peer, .peerCertificate: 9], nil, nil),
            (0, [.resumed: 0, .certificateRequest: 2, .peerCertificate: 9], true, false),
            (0, [.certificateRequest: 3], nil, nil),
        ] as [(UInt32, [Fact: UInt32], Bool?, Bool?)])
    func clientCertificate(_ server: UInt32, _ told: [Fact: UInt32], _ requested: Bool?, _ given: Bool?) {
        let finished = oneCall(
            server: server, scalars: told.merging([.version: 0x0304, .cipher: 0x0300_1301]) { own, _ in own })
        #expect(finished?.outcome == .completed)
        #expect(finished?.clientCertificateRequested == requested)
        #expect(finished?.clientCertificateGiven == given)
    }

    @Test("A failed handshake tells nothing that it only offered")
    func failedFacts() {
        let facts: [Fact: UInt32] = [
            .version: 0x0304, .cipher: 0x0300_1301, .resumed: 0, .group: 29, .verifyMode: Verify.peer,
            .peerCertificate: 9,
            .helloRetry: 1, .earlyData: 1,
        ]
        let failed = oneCall(result: -1, flow: Flow.error, scalars: facts)
        #expect(failed?.outcome == .failed)
        #expect(failed?.tlsVersion == nil)
        #expect(failed?.cipher == nil)
        #expect(failed?.group == nil)
        #expect(failed?.resumed == nil)
        #expect(failed?.helloRetryRequest == nil)
        #expect(failed?.clientCertificateRequested == nil)
        #expect(failed?.earlyData == nil)
        let done = oneCall(scalars: facts)
        #expect(done?.cipher == "TLS_AES_128_GCM_SHA256")
        #expect(done?.helloRetryRequest == true)
        #expect(done?.earlyData == .rejected)
    }

    @Test(
        "The client's Finished is verified where a server takes its application keys for reading into use",
        arguments: [
            (1, [Keys.applicationServerRead], 20), (1, [Keys.applicationServerWrite], nil),
            (1, [Keys.applicationClientRead], nil), (1, [Keys.handshakeServerRead], nil), (1, [Keys.serverRead], nil),
            (0, [Keys.applicationServerRead], nil), (1, [Keys.applicationServerWrite, Keys.applicationServerRead], 21),
            (1, [Keys.applicationServerRead, Keys.applicationServerRead], 20),
        ] as [(UInt32, [Int32], UInt64?)])
    func aServerVerifiesFinishedAtItsReadKeys(_ server: UInt32, _ changes: [Int32], _ expected: UInt64?) {
        let steps = changes.enumerated().map { step(120 + UInt64($0.offset), .keyChange, argument: $0.element) }
        let done = oneCall(server: server, scalars: [.version: 0x0304], steps: steps)
        #expect(done?.outcome == .completed)
        #expect(done?.finished == expected)
    }

    // MARK: calls

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

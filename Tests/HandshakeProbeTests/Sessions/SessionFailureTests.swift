import CEvents
import Glibc
import TestSupport
import Testing

@testable import HandshakeProbe
@testable import Handshakes

/// Alerts, the library's words, and calls that fail or only wait.
@Suite("How sessions fail") struct SessionFailureTests: SessionStream {
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
}

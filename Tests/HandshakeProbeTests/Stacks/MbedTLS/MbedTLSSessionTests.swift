import CEvents
import Handshakes
import Testing

@testable import HandshakeProbe

/// What Mbed TLS's states and results mean.
@Suite("Mbed TLS's sessions") struct MbedTLSSessionTests: SessionStream {
    private func state(_ state: UInt32, role: UInt32 = 1, session: UInt32 = 0, version: UInt32 = 3) -> StateValues {
        StateValues(present: 0b1_1101, values: [state, 0, role, session, version, 0, 0, 0])
    }

    @Test("A handshake begins in the first state, again where there was one, and nothing does elsewhere")
    func entry() {
        func kind(_ values: StateValues) -> EntryKind {
            SessionRules.mbedTLS.entry(EntryState(values: values, isServer: true))
        }
        #expect(kind(state(0)) == .start)
        #expect(kind(state(0, session: 0x5500_1000)) == .renegotiate)
        #expect(kind(state(2)) == .proceed && kind(state(16)) == .proceed)
        #expect(kind(state(65)) == .implausible && kind(state(0, role: 2)) == .implausible)
        #expect(kind(state(0, version: 0x0305)) == .implausible && kind(state(0, version: 5)) == .implausible)
        #expect(kind(state(0, version: 0x0304)) == .start)
    }

    @Test(
        "A return goes on where the library wants something, ends by its place, and fails otherwise",
        arguments: [
            (Int32(TLSWATCH_NO_RESULT), Exit.Kind.completed), (-0x6900, .wants), (-0x6880, .wants), (-0x6500, .wants),
            (-0x7000, .wants), (0, .wants), (-0x7780, .failed), (-0x7280, .failed), (40, .failed),
        ])
    func exit(_ result: Int32, _ kind: Exit.Kind) {
        func exit(_ version: UInt32) -> Exit {
            SessionRules.mbedTLS.exit(ExitState(result: result, values: state(2, version: version), io: nil))
        }
        #expect(exit(3).kind == kind && exit(0x0303).kind == kind)
        #expect(exit(3).isSuspended == [-0x6500, -0x7000].contains(result))
    }

    @Test("Early data has the number of a wrong key exchange of 2.x") func earlyData() {
        func kind(_ version: UInt32) -> Exit.Kind {
            SessionRules.mbedTLS.exit(ExitState(result: -0x7c00, values: state(1, version: version), io: nil)).kind
        }
        #expect(kind(0x0304) == .wants && kind(3) == .failed)
    }

    private func failed(_ result: Int32, version: UInt32 = 3, alert: UInt32? = nil, sent: Int32? = nil) -> Handshake? {
        var table = table(rules: .mbedTLS, stack: "mbedtls")
        var first = enter(100, flow: 0)
        first.present = 0
        for (fact, value) in [(.state, 0), (.role, 1), (MbedTLSFact.session, 0)] as [(Fact, UInt32)] {
            first.set(fact, value)
        }
        table.callEntered(first)
        var scalars: [Fact: UInt32] = [.role: 1, .detail: 0, MbedTLSFact.session: 0, MbedTLSFact.version: version]
        if let alert { scalars[MbedTLSFact.alert] = alert }
        let steps = sent.map { [step(120, .alertSent, argument: $0, argument2: 2)] } ?? []
        table.callReturned(back(130, from: 100, result: result, flow: 3, scalars: scalars, steps: steps))
        return table.takeFinished().first
    }

    @Test("Why a handshake failed: the alert first, then the library's word, in the words of its release")
    func reasons() {
        func told(_ handshake: Handshake?) -> [String?] {
            [
                handshake?.reason, handshake?.alert.map(String.init), handshake?.alertDirection?.rawValue,
                handshake?.libraryReason,
            ]
        }
        #expect(told(failed(-0x7780, alert: 48)) == ["unknown_ca", "48", "received", nil])
        #expect(told(failed(-0x7880)) == ["close_notify", "0", "received", nil])
        #expect(told(failed(-0x2700, sent: 48)) == ["unknown_ca", "48", "sent", "x509_cert_verify_failed"])
        // A step's end is the alert itself.
        #expect(told(failed(70)) == ["protocol_version", "70", "sent", nil])
        #expect(told(failed(-0x7280)) == ["peer_closed", nil, nil, "conn_eof"])
        #expect(told(failed(-0x0050)) == ["connection_reset", nil, nil, "net_conn_reset"])
        #expect(told(failed(-0x7580)) == ["certificate_required", nil, nil, nil])
        #expect(told(failed(-0x7580, version: 0x0303)) == ["no_application_protocol", nil, nil, nil])
        #expect(told(failed(-0x0c42)) == ["library_error_3138", nil, nil, nil])
        // Without the message there is no number.
        #expect(told(failed(-0x7780)) == ["fatal_alert_message", nil, nil, nil])
    }

    @Test("Versions are as on the wire, and DTLS has its own") func versions() {
        #expect(MbedTLSState.version(3) == 0x0303 && MbedTLSState.version(0x0304) == 0x0304)
        #expect(MbedTLSState.version(5) == nil && MbedTLSState.version(0x0200) == nil)
        #expect(MbedTLSState.datagramVersion(0x0302) == 0xfeff && MbedTLSState.datagramVersion(0x0303) == 0xfefd)
        #expect(MbedTLSState.datagramVersion(0x0301) == nil)
        #expect(MbedTLSState.finished(over: 16) == [16] && MbedTLSState.finished(over: 27) == [27, 28, 29])
    }
}

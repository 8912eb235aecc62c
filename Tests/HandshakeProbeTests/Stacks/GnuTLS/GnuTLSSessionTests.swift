import CEvents
import Handshakes
import Testing

@testable import HandshakeProbe

/// GnuTLS tells the application that a handshake has failed; the alert is the application's affair.
@Suite("GnuTLS's sessions") struct GnuTLSSessionTests: SessionStream {
    private static let idle: UInt32 = 0
    private static let inProgress: UInt32 = 110

    private func gnuTLS() -> SessionTable { table(rules: .gnuTLS, stack: "gnutls") }

    private func first(_ time: UInt64, negotiated: UInt32 = 0, state: UInt32 = idle) -> tlswatch_call_enter {
        var event = enter(time, flow: 0)
        event.present = 0
        for (fact, value) in [(.state, state), (.role, 1), (GnuTLSFact.negotiated, negotiated)] as [(Fact, UInt32)] {
            event.set(fact, value)
        }
        return event
    }

    private func back(
        _ time: UInt64, from enter: UInt64, result: Int32, state: UInt32, scalars: [Fact: UInt32] = [:], io: Int32 = 5,
        steps: [tlswatch_step] = []
    ) -> [UInt8] {
        back(
            time, from: enter, result: result, flow: state, io: io,
            scalars: [.role: 1, .detail: 0].merging(scalars) { $1 }, steps: steps)
    }

    private func alert(_ time: UInt64, _ number: Int32, level: Int32 = 2) -> tlswatch_step {
        step(time, .alertSent, argument: number, argument2: level)
    }

    /// A call that has failed with GNUTLS_E_NO_APPLICATION_PROTOCOL.
    private func failed() -> SessionTable {
        var table = gnuTLS()
        table.callEntered(first(100))
        table.callReturned(back(130, from: 100, result: -344, state: 2))
        return table
    }

    @Test("A failure waits for its alert, and ends when the call came back")
    func alertAfterTheCall() {
        var table = failed()
        #expect(table.takeFinished().isEmpty && table.inFlight == 1)
        table.stepped(alone(alert(150, 100, level: 1)))
        #expect(table.takeFinished().isEmpty, "a warning is no cause")
        table.stepped(alone(alert(160, 120)))
        let finished = table.takeFinished()
        #expect(finished.map(\.outcome) == [.failed] && finished.map(\.end) == [130])
        #expect(finished.map(\.reason) == ["no_application_protocol"])
        #expect(finished.map(\.alert) == [120] && finished.map(\.alertDirection) == [.sent])
        #expect(finished.map(\.libraryReason) == [nil], "it says what the alert says")
        #expect(table.inFlight == 0)
    }

    @Test("The library's word stands beside an alert that says less")
    func libraryReason() {
        var table = gnuTLS()
        table.callEntered(first(100))
        table.callReturned(back(130, from: 100, result: -24, state: 2))
        table.stepped(alone(alert(160, 20)))
        let finished = table.takeFinished()
        #expect(finished.map(\.reason) == ["bad_record_mac"])
        #expect(finished.map(\.libraryReason) == ["decryption_failed"])
    }

    enum Ending: CaseIterable { case grace, close, free, again, nextCall, exit, over }

    @Test("Where no alert is sent, the failure is told all the same", arguments: Ending.allCases)
    func withoutAlert(_ ending: Ending) {
        var table = failed()
        switch ending {
        case .grace:
            table.expire(now: 130 + SessionTable.alertGrace)
            #expect(table.takeFinished().isEmpty)
            table.expire(now: 131 + SessionTable.alertGrace)
        case .close:
            table = gnuTLS()
            table.callEntered(first(100))
            table.socketUsed(used(110))
            table.callReturned(back(130, from: 100, result: -344, state: 2))
            table.socketClosed(closed(170))
        case .free: table.stepped(alone(step(170, .objectFree)))
        // The same address: another session.
        case .again: table.callEntered(first(170))
        // The application calls again.
        case .nextCall: table.callReturned(back(180, from: 170, result: -344, state: 2))
        case .exit: table.processEnded(tlswatch_process(exitOf: 7, at: 170))
        case .over: table.endClosed()
        }
        let finished = table.takeFinished()
        #expect(finished.map(\.outcome) == [.failed] && finished.map(\.end) == [130])
        #expect(finished.map(\.reason) == ["no_application_protocol"])
        #expect(finished.map(\.alert) == [nil] && finished.map(\.calls) == [1])
        #expect(table.inFlight == (ending == .again ? 1 : 0))
    }

    @Test("An alert that was received, and a transport that is gone, are waited for by nobody")
    func nothingToSend() {
        var table = gnuTLS()
        table.callEntered(first(100))
        table.callReturned(back(130, from: 100, result: -12, state: 2, scalars: [GnuTLSFact.alert: 48]))
        table.callEntered(first(200))
        table.callReturned(back(230, from: 200, result: -110, state: 2, io: 0))
        table.callEntered(first(300))
        table.callReturned(back(330, from: 300, result: -54, state: 2, io: -104))
        let finished = table.takeFinished()
        #expect(finished.map(\.reason) == ["unknown_ca", "peer_closed", "connection_reset"])
        #expect(finished.map(\.alert) == [48, nil, nil])
        #expect(finished.map(\.alertDirection) == [.received, nil, nil])
        #expect(finished.allSatisfy { $0.libraryReason == nil })
    }

    @Test("A handshake goes on after EAGAIN, a warning, and after False Start")
    func goesOn() {
        var table = gnuTLS()
        table.callEntered(first(100))
        for (time, result) in [(110, -28), (120, -52), (130, -16), (140, 0)] as [(UInt64, Int32)] {
            table.callReturned(back(time + 5, from: time, result: result, state: 18, io: -11))
        }
        #expect(table.takeFinished().isEmpty && table.inFlight == 1)
        table.callReturned(
            back(
                160, from: 150, result: 0, state: Self.idle, scalars: [GnuTLSFact.negotiated: 1, GnuTLSFact.version: 5])
        )
        let finished = table.takeFinished()
        #expect(finished.map(\.outcome) == [.completed] && finished.map(\.tlsVersion) == ["TLSv1.3"])
    }

    @Test("A renegotiation is one where keys were changed, and none where it was refused")
    func renegotiation() {
        var table = gnuTLS()
        table.callEntered(first(100, negotiated: 1))
        // GNUTLS_E_WARNING_ALERT_RECEIVED, no_renegotiation.
        table.callReturned(back(130, from: 100, result: -16, state: Self.idle, scalars: [GnuTLSFact.alert: 100]))
        #expect(table.takeFinished().isEmpty && table.inFlight == 0)
        #expect(table.counts.started == 0)
        table.callEntered(first(200, negotiated: 1))
        table.callReturned(
            back(
                230, from: 200, result: 0, state: Self.idle, scalars: [GnuTLSFact.version: 4],
                steps: [step(220, .newKeys)]))
        #expect(table.takeFinished().map(\.outcome) == [.completed])
    }

    @Test(
        "Early data are accepted in a resumed handshake of TLS 1.3; what was refused leaves no trace",
        arguments: [
            (5, 1, 1 << 23, EarlyData.accepted), (5, 1, 1 << 22, nil), (5, 0, 1 << 23, nil), (4, 1, 1 << 23, nil),
        ] as [(UInt32, UInt32, UInt32, EarlyData?)])
    func earlyData(_ version: UInt32, _ resumed: UInt32, _ flags: UInt32, _ expected: EarlyData?) {
        var table = gnuTLS()
        table.callEntered(first(100))
        table.callReturned(
            back(
                130, from: 100, result: 0, state: Self.idle,
                scalars: [
                    GnuTLSFact.negotiated: 1, GnuTLSFact.version: version, GnuTLSFact.resumed: resumed,
                    GnuTLSFact.flags: flags,
                ]))
        #expect(table.takeFinished().map(\.earlyData) == [expected])
    }

    @Test("Places that hold no session's values are not believed")
    func implausible() {
        var table = gnuTLS()
        for (state, negotiated) in [(70_000, 0), (0, 7)] as [(UInt32, UInt32)] {
            #expect(table.callEntered(first(100, negotiated: negotiated, state: state)) == .implausible)
        }
        #expect(table.inFlight == 0)
    }
}

extension tlswatch_process {
    fileprivate init(exitOf pid: UInt32, at time: UInt64) {
        self.init()
        header.pid = pid
        header.process_start_ns = 5
        header.time_ns = time
    }
}

import CEvents
import Handshakes

/// The meaning of Mbed TLS's states and results (mbedtls/ssl.h).
extension SessionRules {
    static let mbedTLS = SessionRules(
        entry: { entry in
            let state = MbedTLSState(entry.values)
            guard state.isSane else { return .implausible }
            guard state.state == MbedTLSState.begin else { return .proceed }
            return state.hasSession ? .renegotiate : .start
        },
        exit: { exit in
            let state = MbedTLSState(exit.values)
            guard state.isSane else { return Exit(kind: .implausible) }
            return state.exit(result: exit.result)
        },
        keyChange: { _ in .handshake },
        facts: { event, _, _ in SessionFacts(mbedTLS: event) },
        failsKeyExchange: { reason, _, _ in MbedTLSState.keyExchangeReasons.contains(reason) },
        failure: { alert, reason, _ in MbedTLSState.failure(alert: alert, reason: reason) },
        libraryReason: { reason, _ in reason < 0 ? MbedTLSReasons.name(reason) : nil },
        usualReasons: [],
        states: KernelStates(
            start: [UInt8(MbedTLSState.begin)], end: [], over: [UInt8(MbedTLSState.begin)],
            doneResult: MbedTLSState.done, waitResults: MbedTLSState.waits),
        fatal: { event in MbedTLSState.fatal(event) }
    )
}

/// What a context's fields, and the results of its calls, mean.
struct MbedTLSState {
    let state: UInt32?
    private let role: UInt32?
    private let session: UInt32?
    private let version: UInt32?

    init(_ values: StateValues) {
        state = values[.state]
        role = values[.role]
        session = values[MbedTLSFact.session]
        version = values[MbedTLSFact.version]
    }

    /// `MBEDTLS_SSL_HELLO_REQUEST`: nothing has been done.
    static let begin: UInt32 = 0
    private static let lastState: UInt32 = 64

    var isSane: Bool {
        guard let state, state <= Self.lastState else { return false }
        return role.map { $0 <= 1 } ?? true && version.map { Self.version($0) != nil } ?? true
    }

    var hasSession: Bool { session.map { $0 != 0 } ?? false }

    /// `MBEDTLS_SSL_HANDSHAKE_OVER`; since 3.0 tickets are sent in the two states behind it.
    static func finished(over: UInt8) -> Set<UInt8> {
        over < modernOver ? [over] : Set(over...over.addingReportingOverflow(2).partialValue)
    }

    private static let modernOver: UInt8 = 20

    /// What completes a handshake was called: that site has no result.
    static let done: Int32 = TLSWATCH_NO_RESULT

    private static let wantRead: Int32 = -0x6900
    private static let wantWrite: Int32 = -0x6880
    private static let asynchronous: Int32 = -0x6500
    private static let restartable: Int32 = -0x7000
    /// Since 3.0; before, the client's key exchange was wrong.
    private static let earlyData: Int32 = -0x7c00
    /// The most frequent ones.
    static let waits: [Int32] = [wantRead, wantWrite, asynchronous, restartable]

    func exit(result: Int32) -> Exit {
        if result == Self.done { return Exit(kind: .completed) }
        let isModern = version.map(Self.isModern) ?? false
        guard result == 0 || Self.waits.contains(result) || (isModern && result == Self.earlyData) else {
            return Exit(kind: .failed)
        }
        var exit = Exit(kind: .wants)
        exit.isSuspended = result == Self.asynchronous || result == Self.restartable
        return exit
    }

    /// Whether a version is as the library has it since 3.0.
    private static func isModern(_ version: UInt32) -> Bool { version >= 0x0300 }

    // MARK: failures

    private static let alertReceived: Int32 = -0x7780
    private static let closeNotify: Int32 = -0x7880
    /// Reasons from it on are alerts received.
    static let receivedAlertOffset: Int32 = 1000
    /// Added to results since 3.0: some numbers have had another meaning before.
    static let modern: Int32 = -0x10000

    /// Why a handshake failed: the alert that was sent, one that was received, or the library's error.
    static func fatal(_ event: borrowing CallReturn) -> (alert: Int32, reason: Int32)? {
        let result = event.fixed.result
        guard result < 0 else { return (result, 0) }
        switch result {
        case alertReceived:
            if let number = event.scalar(MbedTLSFact.alert) { return (-1, receivedAlertOffset + Int32(number & 0xff)) }
        case closeNotify: return (-1, receivedAlertOffset)
        default: break
        }
        return (-1, event.scalar(MbedTLSFact.version).map(isModern) ?? false ? result + modern : result)
    }

    static func failure(alert: Int32, reason: Int32) -> FailureReason {
        if let received = FailureReason.received(reason, from: receivedAlertOffset) { return received }
        let named = reasons[reason < modern ? reason - modern : reason]
        guard let code = UInt8(exactly: alert) else {
            return FailureReason(reason: named ?? MbedTLSReasons.name(reason) ?? "library_error_\(-reason)")
        }
        return .sent(code)
    }

    /// Failures without an alert, in the words of other libraries: those of the transport, and what an alert would say.
    private static let reasons: [Int32: String] = [
        -0x7280: "peer_closed", -0x0050: "connection_reset", -0x004c: "transport_error", -0x004e: "transport_error",
        -0x2700: "certificate_verify_failed", -0x7480: "certificate_required", -0x6800: "handshake_timeout",
    ]

    /// Of 2.x: the messages with the shares are wrong, or what was made of them.
    static let keyExchangeReasons: Set<Int32> = [-0x7b00, -0x7c00, -0x7c80, -0x7d00]

    /// As on the wire.
    static func version(_ number: UInt32) -> UInt32? {
        switch number {
        case 0...4: 0x0300 + number
        case 0x0300...0x0304: number
        default: nil
        }
    }

    /// DTLS 1.0 has the number of TLS 1.1, and 1.2 that of 1.2.
    static func datagramVersion(_ version: UInt32) -> UInt32? {
        switch version {
        case 0x0302: 0xfeff
        case 0x0303: 0xfefd
        default: nil
        }
    }
}

import CEvents
import Handshakes

/// The meaning of GnuTLS's states and results (lib/handshake.c, gnutls/gnutls.h).
extension SessionRules {
    static let gnuTLS = SessionRules(
        entry: { entry in
            let state = GnuTLSState(entry.values)
            guard state.isSane else { return .implausible }
            // Called again after a failure, it is no session's.
            guard state.state == GnuTLSState.idle else { return .proceed }
            return state.negotiated == 1 ? .renegotiate : .start
        },
        exit: { exit in
            let state = GnuTLSState(exit.values)
            guard state.isSane else { return Exit(kind: .implausible) }
            return state.exit(result: exit.result, io: exit.io)
        },
        keyChange: { argument in
            switch argument {
            // The stages of TLS 1.3: 0 of the handshake, 1 of the application; below it the one set.
            case 0, GnuTLSState.readKeys, GnuTLSState.writeKeys: .handshake
            case GnuTLSState.readKeys + 1: .peerFinished
            default: .other
            }
        },
        facts: { event, role, _ in SessionFacts(gnuTLS: event, role: role) },
        failsKeyExchange: { reason, _, _ in GnuTLSState.keyExchangeReasons.contains(reason) },
        failure: { alert, reason, _ in GnuTLSState.failure(alert: alert, reason: reason) },
        libraryReason: { reason, _ in
            reason >= GnuTLSState.receivedAlertOffset ? nil : GnuTLSReasons.name(reason)
        },
        usualReasons: GnuTLSState.usualReasons,
        states: KernelStates(
            start: [0], end: [], over: [0], server: KernelStates.Test(fact: .role, mask: ~0, value: 1), doneResult: 0,
            waitResults: GnuTLSState.waits.sorted()),
        fatal: { event in GnuTLSState.fatal(event) },
        alertMayFollow: { reason in reason < 0 }
    )
}

/// What a session's fields, and the results of its calls, mean.
struct GnuTLSState {
    let state: UInt32?
    let negotiated: UInt32?
    private let role: UInt32?

    init(_ values: StateValues) {
        state = values[.state]
        negotiated = values[GnuTLSFact.negotiated]
        role = values[.role]
    }

    /// No handshake is in progress.
    static let idle: UInt32 = 0
    /// 0 to 20, and 90 to 115 of TLS 1.3.
    private static let lastState: UInt32 = 255

    var isSane: Bool {
        guard let state, state <= Self.lastState else { return false }
        return role.map { $0 == 1 || $0 == 2 } ?? true && negotiated.map { $0 <= 1 } ?? true
    }

    /// `GNUTLS_E_AGAIN`, `GNUTLS_E_INTERRUPTED`, and `GNUTLS_E_WARNING_ALERT_RECEIVED`: it may be called again.
    static let again: Int32 = -28
    static let interrupted: Int32 = -52
    static let warned: Int32 = -16
    static let waits: Set<Int32> = [again, interrupted, warned]
    /// `GNUTLS_E_FATAL_ALERT_RECEIVED`.
    private static let alertReceived: Int32 = -12
    /// The transport's: its own result says more. `GNUTLS_E_PUSH_ERROR`, `GNUTLS_E_PULL_ERROR`,
    /// `GNUTLS_E_PREMATURE_TERMINATION`.
    private static let transportErrors: Set<Int32> = [-53, -54, -110]
    /// Reasons from it on are alerts received.
    static let receivedAlertOffset: Int32 = 1000
    /// Added to the stage of a change of keys in one direction.
    static let readKeys: Int32 = 0x100
    static let writeKeys: Int32 = 0x200

    func exit(result: Int32, io: Int32?) -> Exit {
        // False Start, or its like of TLS 1.3 servers: it comes back to be used before it is done.
        if result == 0 { return Exit(kind: state == Self.idle ? .completed : .wants) }
        // A warning that no handshake is wanted takes it back.
        guard Self.waits.contains(result), state != Self.idle else {
            return Exit(kind: .failed)
        }
        var exit = Exit(kind: .wants)
        // The transport has all that was asked of it: the application's own part is waited for.
        exit.isSuspended = result == Self.again && (io ?? 1) > 0
        return exit
    }

    /// Why a handshake failed; `nil` where the transport tells.
    static func fatal(_ event: borrowing CallReturn) -> (alert: Int32, reason: Int32)? {
        let result = event.fixed.result
        guard result < 0, !transportErrors.contains(result) else { return nil }
        if result == alertReceived || result == warned {
            return event.scalar(GnuTLSFact.alert).map { (-1, receivedAlertOffset + Int32($0 & 0xff)) } ?? (-1, result)
        }
        return (-1, result)
    }

    static func failure(alert: Int32, reason: Int32) -> FailureReason {
        if let received = FailureReason.received(reason, from: receivedAlertOffset) { return received }
        let named = reasons[reason]
        guard let code = UInt8(exactly: alert) else {
            return FailureReason(reason: named ?? GnuTLSReasons.name(reason) ?? "library_error_\(-reason)")
        }
        return .sent(code, named: named)
    }

    /// `GNUTLS_E_*` in the words of the alerts that say the same, for an application that sends none.
    private static let reasons: [Int32: String] = [
        -8: "protocol_version",
        -21: "handshake_failure",
        -43: "bad_certificate",
        -87: "handshake_failure",
        -112: "certificate_required",
        -319: "handshake_timeout",
        -344: "no_application_protocol",
        -348: "certificate_verify_failed",
    ]

    /// The reasons that stand in the place of an alert's name.
    static let usualReasons: [String] = ["handshake_timeout", "certificate_verify_failed"]

    /// Failures at the peer's share itself, or for want of one that both sides know: ECC_NO_SUPPORTED_CURVES, ECC_UNSUPPORTED_CURVE, PK_INVALID_PUBKEY, NO_COMMON_KEY_SHARE,
    /// DH_PRIME_UNACCEPTABLE.
    static let keyExchangeReasons: Set<Int32> = [-321, -322, -409, -423, -63]

    // HSK_* of lib/gnutls_int.h, the same in 3.7 and 3.8.
    static let certificateProven: UInt32 = 1 << 0
    static let certificateAsked: UInt32 = 1 << 2
    static let retrySent: UInt32 = 1 << 3
    static let retryReceived: UInt32 = 1 << 4
    static let certificateRequestSent: UInt32 = 1 << 5
    static let shareReceived: UInt32 = 1 << 17
    static let earlyDataAccepted: UInt32 = 1 << 23

    /// `gnutls_protocol_t`.
    static func version(_ number: UInt32) -> UInt32? {
        switch number {
        case 1...5: 0x0300 + number - 1
        case 201: 0xfeff
        case 202: 0xfefd
        default: nil
        }
    }

    /// `gnutls_group_t`, which is public and stable but for the hybrid ones.
    static func group(_ number: UInt32) -> UInt32? {
        switch number {
        case 1: 21
        case 2: 23
        case 3: 24
        case 4: 25
        case 5: 19
        case 6: 29
        case 20: 30
        case 256, 257, 258: number
        // FFDHE8192 was there before FFDHE6144.
        case 259: 260
        case 260: 259
        case 513: 4587
        case 514: 4588
        case 518: 4589
        default: nil
        }
    }
}

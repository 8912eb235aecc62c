import CEvents
import Handshakes

/// The meaning of wolfSSL's states (wolfssl/internal.h) and errors (wolfssl/error-ssl.h).
extension SessionRules {
    static let wolfSSL = SessionRules(
        entry: { entry in
            let state = WolfSSLState(entry.values)
            guard state.isSane else { return .implausible }
            // Called again after a failure, or after its handshake, it is no session's. A read or write forgets that it has waited.
            return state.isUnused ? .startUnlessWaiting : .proceed
        },
        exit: { exit in
            let state = WolfSSLState(exit.values)
            guard state.isSane else { return Exit(kind: .implausible) }
            return WolfSSLState.exit(result: exit.result, io: exit.io)
        },
        keyChange: { argument in argument == WolfSSLState.handshakeKeys ? .handshake : .other },
        facts: { event, role, _ in SessionFacts(wolfSSL: event, role: role) },
        failsKeyExchange: { reason, _, _ in WolfSSLState.keyExchangeReasons.contains(reason) },
        failure: { alert, reason, _ in WolfSSLState.failure(alert: alert, reason: reason) },
        libraryReason: { reason, _ in
            reason >= WolfSSLState.receivedAlertOffset ? nil : WolfSSLReasons.name(reason)
        },
        usualReasons: [],
        states: KernelStates(
            start: [0], end: [], doneResult: WolfSSLState.done, waitResults: WolfSSLState.waits.sorted()),
        fatal: { event in WolfSSLState.fatal(event) }
    )
}

/// What a connection's fields mean.
struct WolfSSLState {
    private let error: UInt32?
    private let handshake: UInt32?
    private let progress: UInt32?

    init(_ values: StateValues) {
        error = values[WolfSSLFact.error]
        handshake = values[WolfSSLFact.handshake]
        progress = values[.detail]
    }

    /// The completion's site has no result.
    static let done: Int32 = TLSWATCH_NO_RESULT
    /// `WANT_READ`.
    static let wantsToRead: Int32 = -323
    /// `WC_PENDING_E`, `WANT_WRITE`, `OCSP_WANT_READ`.
    static let waits: Set<Int32> = [-108, wantsToRead, -327, -408]
    /// `WOLFSSL_ERROR_WANT_X509_LOOKUP`: a callback has no certificate yet.
    private static let wantsCertificate: Int32 = 83
    /// Errors lie between these.
    private static let lowest: Int32 = -2000
    private static let highest: Int32 = 255
    /// `HANDSHAKE_DONE` is 16.
    private static let lastHandshake: UInt32 = 32
    /// `handshake_key`, of `DeriveTls13Keys`.
    static let handshakeKeys: Int32 = 2

    var isSane: Bool {
        let isError = error.map { (Self.lowest...Self.highest).contains(Int32(bitPattern: $0)) } ?? true
        return isError && handshake.map { $0 <= Self.lastHandshake } ?? true
    }

    /// Nothing has been done with it: what the client or the server has done last is 0.
    var isUnused: Bool { error == 0 && progress.map { $0 == 0 } ?? true && handshake.map { $0 == 0 } ?? true }

    /// The result of a return is the connection's error.
    static func exit(result: Int32, io: Int32?) -> Exit {
        if result == done { return Exit(kind: .completed) }
        guard waits.contains(result) || result == wantsCertificate else { return Exit(kind: .failed) }
        var exit = Exit(kind: .wants)
        // The application's part, or another device's, is waited for.
        exit.isSuspended = result != wantsToRead && (io ?? 1) > 0
        return exit
    }

    // MARK: failures

    /// Reasons from it on are alerts received.
    static let receivedAlertOffset: Int32 = 1000
    private static let fatalLevel: UInt32 = 2
    /// `FATAL_ERROR`: the peer's alert.
    private static let alertReceived: Int32 = -313
    /// `ZERO_RETURN`: close_notify.
    private static let closed: Int32 = -343
    /// The transport's: its own result says more. `SOCKET_ERROR_E`, `SOCKET_PEER_CLOSED_E`.
    private static let transportErrors: Set<Int32> = [-308, -397]

    /// Why a handshake failed; `nil` where the transport tells.
    static func fatal(_ event: borrowing CallReturn) -> (alert: Int32, reason: Int32)? {
        let result = event.fixed.result
        guard !transportErrors.contains(result) else { return nil }
        if result == closed { return (-1, receivedAlertOffset) }
        if result == alertReceived, event.scalar(WolfSSLFact.levelReceived) == fatalLevel,
            let alert = event.scalar(WolfSSLFact.alertReceived), alert <= 255
        {
            return (-1, receivedAlertOffset + Int32(alert))
        }
        if event.scalar(WolfSSLFact.levelSent) == fatalLevel, let alert = event.scalar(WolfSSLFact.alertSent),
            alert <= 255
        {
            return (Int32(alert), result)
        }
        return (-1, result)
    }

    static func failure(alert: Int32, reason: Int32) -> FailureReason {
        if let received = FailureReason.received(reason, from: receivedAlertOffset) { return received }
        guard let code = UInt8(exactly: alert) else {
            return FailureReason(reason: WolfSSLReasons.name(reason) ?? "library_error_\(-Int64(reason))")
        }
        return .sent(code)
    }

    /// Failures at the peer's share itself, or for want of one that both sides know: `PEER_KEY_ERROR`, `ECC_CURVETYPE_ERROR`,
    /// `ECC_CURVE_ERROR`, `ECC_PEERKEY_ERROR`, `ECC_SHARED_ERROR`, `DH_KEY_SIZE_E`, `BAD_KEY_SHARE_DATA`, `DH_PARAMS_NOT_FFDHE_E`,
    /// `KEY_SHARE_ERROR`.
    static let keyExchangeReasons: Set<Int32> = [-342, -350, -351, -352, -355, -401, -421, -432, -503]

    // MARK: curves

    /// `ECC_X25519_OID`.
    static let x25519: UInt64 = 365

    /// IANA's number of a curve, by the sum of the bytes of its object identifier (`Ecc_Sum`); wolfSSL keeps those apart.
    static func group(curve: UInt32) -> UInt32? {
        switch curve {
        case 526: 23  // 1.2.840.10045.3.1.7
        case 210: 24  // 1.3.132.0.34
        case 211: 25
        case 209: 21  // 1.3.132.0.33
        case 186: 22  // 1.3.132.0.10
        case 365: 29
        case 362: 30
        case 104: 26  // 1.3.36.3.3.2.8.1.1.7
        case 108: 27
        case 110: 28
        default: nil
        }
    }
}

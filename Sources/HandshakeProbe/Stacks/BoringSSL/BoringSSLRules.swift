import Handshakes

/// The meaning of BoringSSL's and AWS-LC's states and codes (ssl/handshake.cc, include/openssl/ssl.h).
extension SessionRules {
    static let boringSSL = SessionRules(
        entry: { entry in
            let state = BoringSSLState(entry.values)
            guard state.isSane else { return .implausible }
            // It has failed, and is called again.
            guard let step = state.step, state.wait != BoringSSLState.failed else { return .unrelated }
            guard step == 0 else { return .proceed }
            if state.connected == 1 { return .renegotiate }
            // A server may make a connection to parse a ClientHello with, and throw it away.
            return entry.isServer ? (state.isQUIC ? .look : .tentative) : .start
        },
        exit: { exit in
            let state = BoringSSLState(exit.values)
            guard state.isSane else { return Exit(kind: .implausible) }
            return state.exit(result: exit.result, io: exit.io)
        },
        keyChange: { argument in
            // `ssl_encryption_level_t`: 2 handshake, 3 application; TLS 1.2 has the latter alone.
            switch (argument & 0xff, argument & BoringSSLState.writes != 0) {
            case (2, _), (3, true): .handshake
            case (3, false): .peerFinished
            default: .other
            }
        },
        facts: { event, role, _ in SessionFacts(boringSSL: event, role: role) },
        failsKeyExchange: { reason, _, _ in BoringSSLState.keyExchangeReasons.contains(reason) },
        failure: { alert, reason, _ in BoringSSLState.failure(alert: alert, reason: reason) },
        libraryReason: { reason, _ in
            reason >= BoringSSLState.receivedAlertOffset ? nil : BoringSSLReasons.name(reason)
        },
        usualReasons: BoringSSLState.usualReasons,
        states: KernelStates(
            start: [0], end: [], overWithoutState: true,
            ended: [KernelStates.Test(fact: BoringSSLFact.want, mask: ~0, value: BoringSSLState.wantsNothing)]),
        fatal: { event in BoringSSLState.fatal(event) },
        isNone: { event, role in BoringSSLState.wasOnlyALook(event, role) }
    )
}

/// What BoringSSL's state fields hold: of `SSL`, `SSL3_STATE` and `SSL_HANDSHAKE`.
struct BoringSSLState {
    let step: UInt32?
    let wait: UInt32?
    let finalized: UInt32?
    let want: UInt32?
    let connected: UInt32?
    private let role: UInt32?
    let isQUIC: Bool

    init(_ values: StateValues) {
        step = values[BoringSSLFact.step]
        wait = values[BoringSSLFact.wait]
        finalized = values[BoringSSLFact.finalized]
        want = values[BoringSSLFact.want]
        connected = values[BoringSSLFact.connected]
        role = values[.role]
        isQUIC = values[BoringSSLFact.quic].map { $0 != 0 } ?? false
    }

    /// `ssl_hs_error`.
    static let failed: UInt32 = 0
    /// `SSL_ERROR_NONE`, `SSL_ERROR_WANT_READ`, `SSL_ERROR_WANT_WRITE`, `SSL_ERROR_ZERO_RETURN`.
    static let wantsNothing: UInt32 = 0
    static let wantsToRead: UInt32 = 2
    static let wantsToWrite: UInt32 = 3
    static let wantsNoMore: UInt32 = 6
    /// A server's first steps: it begins, waits for the ClientHello, and looks at it.
    static let readingHello: UInt32 = 2
    /// `SSL_R_CONNECTION_REJECTED`: the application's callback wants no more of it.
    static let rejected: Int32 = 133
    /// Reasons from it on are alerts received.
    static let receivedAlertOffset: Int32 = 1000
    /// Added to the level of a change of keys for writing.
    static let writes: Int32 = 0x100

    /// Whether the values can be those of a connection; the enumerations have some 30 values at most.
    var isSane: Bool {
        [(step, 64), (wait, 64), (want, 32), (role, 1), (finalized, 1), (connected, 1)].allSatisfy { value, most in
            value.map { $0 <= UInt32(most) } ?? true
        }
    }

    /// What a return means.
    func exit(result: Int32, io: Int32?) -> Exit {
        if finalized == 1, result == 1 { return Exit(kind: .completed) }
        // False Start, or early data: it comes back to be used before it is done.
        if result == 1 { return Exit(kind: .wants) }
        var exit = Exit(kind: .wants)
        if isQUIC, role == 1, let step, step <= Self.readingHello { exit.isUnderWay = false }
        // The transport's end, or close_notify, which came in bytes.
        exit.peerHasEnded = result == 0
        guard let want, want != Self.wantsNothing, want != Self.wantsNoMore, wait != Self.failed, result != 0 else {
            exit.kind = .failed
            return exit
        }
        guard want == Self.wantsToRead || want == Self.wantsToWrite else {
            // A certificate, a private key, a session, a verification: the application has to give it.
            exit.isSuspended = true
            return exit
        }
        // A transport that is broken asks for no other wait than one that is empty.
        if !isQUIC, let io, io == 0 || (io < 0 && !TransportError.isRetry(io)) { exit.kind = .failed }
        return exit
    }

    /// Of `ssl_early_data_reason_t`, those that are told only where early data was offered.
    static func earlyData(_ reason: UInt32, _ role: Role) -> EarlyData? {
        switch (reason, role) {
        case (2, _): .accepted
        // Peer declined, session not resumed.
        case (4, .client), (6, .client): .rejected
        // Protocol mismatch, channel ID, the ticket's age, QUIC's parameters, ALPS.
        case (9, .server), (10, .server), (12, .server), (13, .server), (14, .server): .rejected
        // A HelloRetryRequest.
        case (8, _): .rejected
        default: nil
        }
    }

    static func failure(alert: Int32, reason: Int32) -> FailureReason {
        if let received = FailureReason.received(reason, from: receivedAlertOffset) { return received }
        let named = reasons[reason]
        guard let code = UInt8(exactly: alert) else {
            return FailureReason(reason: named ?? BoringSSLReasons.name(reason) ?? "library_error_\(reason)")
        }
        return .sent(code, named: named)
    }

    /// Failures at the peer's share itself, or for want of one that both sides know: BAD_DH_P_LENGTH, BAD_ECPOINT, BAD_RSA_ENCRYPT,
    /// BAD_SIGNATURE, DECRYPTION_FAILED, WRONG_CURVE, MISSING_KEY_SHARE, DUPLICATE_KEY_SHARE, NO_SHARED_GROUP.
    static let keyExchangeReasons: Set<Int32> = [105, 108, 113, 114, 138, 243, 258, 264, 266]

    /// The reasons that stand in the place of an alert's name.
    static let usualReasons: [String] = Array(reasons.values)

    /// Reasons without a telling alert.
    private static let reasons: [Int32: String] = [
        125: "certificate_verify_failed",
        133: "connection_rejected",
        155: "https_proxy_request",
        156: "http_request",
        184: "no_shared_cipher",
        192: "peer_did_not_return_a_certificate",
        240: "unsupported_protocol",
        247: "wrong_version_number",
        307: "no_application_protocol",
        319: "ech_rejected",
    ]
}

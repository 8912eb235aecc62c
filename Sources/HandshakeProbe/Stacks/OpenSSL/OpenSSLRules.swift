import Handshakes

/// The meaning of OpenSSL's states and codes, 1.1.1 to 3.6 (ssl/statem/statem.c, include/openssl/sslerr.h).
extension SessionRules {
    static let openSSL = SessionRules(
        entry: { entry in
            let state = OpenSSLState(entry.values)
            guard state.isSane else { return .implausible }
            switch state.flow {
            case OpenSSLState.uninitialised: return .start
            case OpenSSLState.finished:
                // Early data flows between two halves of one handshake.
                if let hand = state.hand, hand != OpenSSLState.done { return .proceed }
                // TLS 1.3 has no renegotiation: what comes after it is a ticket or a key update.
                guard let version = state.version, version != 0x0304 else { return .unrelated }
                // A server that only asks for a renegotiation: the client's answer is the handshake.
                return entry.isServer && state.request ?? 0 != 0 ? .unrelated : .renegotiate
            case OpenSSLState.error: return .unrelated
            default: return .proceed
            }
        },
        exit: { exit in
            let state = OpenSSLState(exit.values)
            guard state.isSane else { return Exit(kind: .implausible) }
            return Exit(
                kind: state.kind(result: exit.result, io: exit.io), isSuspended: state.waitsForApplication,
                peerHasEnded: state.peerHasEnded)
        },
        keyChange: { argument in
            // SSL3_CC_EARLY 0x40, SSL3_CC_HANDSHAKE 0x80, SSL3_CC_APPLICATION 0x100; none in TLS 1.2.
            if argument & 0x80 != 0 || argument & 0x1c0 == 0 { return .handshake }
            // SSL3_CC_APPLICATION | SSL3_CC_SERVER | SSL3_CC_READ
            return argument == 0x121 ? .peerFinished : .other
        },
        facts: { event, role, isRenegotiation in
            SessionFacts(openSSL: event, role: role, isRenegotiation: isRenegotiation)
        },
        failsKeyExchange: { reason, version, role in
            OpenSSLState.keyExchangeReasons.contains(reason)
                || (version == 0x0304 && role == .server && OpenSSLState.reasonsBehindShare.contains(reason))
        },
        failure: { alert, reason, version in OpenSSLState.failure(alert: alert, reason: reason, version: version) },
        libraryReason: { reason, verification in
            OpenSSLState.libraryReason(reason, verification: verification)
        },
        usualReasons: OpenSSLState.usualReasons,
        states: KernelStates(
            start: [0, 4], end: [1, 4], over: [1, 4], dead: [1],
            ended: [
                KernelStates.Test(fact: .want, mask: ~0, value: OpenSSLState.wantsNothing),
                KernelStates.Test(
                    fact: .shutdown, mask: OpenSSLState.receivedShutdown, value: OpenSSLState.receivedShutdown),
            ],
            // TLS 1.3 has no renegotiation: a ticket, a key update.
            after: [
                KernelStates.Test(fact: .flowState, mask: ~0, value: OpenSSLState.finished),
                KernelStates.Test(fact: .handState, mask: ~0, value: OpenSSLState.done),
                KernelStates.Test(fact: .version, mask: ~0, value: 0x0304),
            ])
    )
}

/// What OpenSSL's state fields hold: `MSG_FLOW_STATE`, `OSSL_HANDSHAKE_STATE` and their neighbours.
struct OpenSSLState {
    let flow: UInt32?
    let hand: UInt32?
    let version: UInt32?
    /// The state that a renegotiation begins with; 0 if none was asked for.
    let request: UInt32?
    /// What the library waits for.
    private let want: UInt32?
    private let role: UInt32?
    /// The peer's close_notify was received.
    let peerHasEnded: Bool

    init(_ values: StateValues) {
        flow = values[.flowState]
        hand = values[.handState]
        version = values[.version]
        request = values[.requestState]
        want = values[.want]
        role = values[.role]
        peerHasEnded = values[.shutdown].map { $0 & Self.receivedShutdown != 0 } ?? false
    }

    /// What a return means.
    func kind(result: Int32, io: Int32?) -> Exit.Kind {
        switch flow {
        case nil: return result == 1 ? .completed : .wants
        case Self.error: return .failed
        case Self.finished:
            // With 0-RTT it stops here for early data, the handshake not yet done.
            return hand ?? Self.done == Self.done ? .completed : .wants
        default: break
        }
        // A hard error leaves the state machine where it was, waiting for nothing or for a broken transport.
        if want == Self.wantsNothing || peerHasEnded { return .failed }
        if let io, io == 0 || (io < 0 && !TransportError.isRetry(io)) { return .failed }
        return .wants
    }

    /// Above SSL_WRITING and SSL_READING: a certificate, a private key, a ClientHello's callback.
    var waitsForApplication: Bool { want.map { $0 > Self.wantsToRead } ?? false }

    static let uninitialised: UInt32 = 0
    static let error: UInt32 = 1
    static let finished: UInt32 = 4
    /// `TLS_ST_OK`.
    static let done: UInt32 = 1
    /// `SSL_NOTHING`.
    static let wantsNothing: UInt32 = 1
    /// `SSL_READING`.
    static let wantsToRead: UInt32 = 3
    /// `TLS1_FLAGS_QUIC`, from 3.2 on; before, the bit is another's.
    static let quic: UInt32 = 0x2000

    /// `SSL_RECEIVED_SHUTDOWN`.
    static let receivedShutdown: UInt32 = 2

    /// Whether the values can be those of an OpenSSL connection.
    var isSane: Bool {
        if let flow, flow > 5 { return false }
        if let hand, hand > 80 { return false }
        if let role, role > 1 { return false }
        if let version {
            switch version {
            // TLS_ANY_VERSION and DTLS_ANY_VERSION stand before negotiation; 0 in a connection just cleared.
            case 0, 0x0300...0x0304, 0xfeff, 0xfefd, 0x0100, 0x10000, 0x1ffff: return true
            default: return false
            }
        }
        return true
    }

    /// SSL_AD_REASON_OFFSET: reasons above it are received alerts.
    private static let receivedAlertOffset: Int32 = 1000

    static func failure(alert: Int32, reason: Int32, version: UInt32?) -> FailureReason {
        if reason != receivedAlertOffset, let received = FailureReason.received(reason, from: receivedAlertOffset) {
            return received
        }
        // SSL_R_NO_RENEGOTIATION: the peer said so, in a warning; what is sent after it is only the consequence.
        if reason == 339 { return FailureReason(reason: "no_renegotiation", alert: 100, direction: .received) }
        let named = reasons[reason]
        guard let alert = UInt8(exactly: alert) else {
            return FailureReason(
                reason: named ?? OpenSSLReasons.name(reason) ?? "library_error_\(reason)", alert: nil, direction: nil)
        }
        // SSL_R_UNEXPECTED_EOF_WHILE_READING: the peer is gone; whether the alert after it got out is not known.
        if reason == 294 { return FailureReason(reason: "peer_closed") }
        return .sent(onTheWire(alert, version: version), named: named)
    }

    /// Alerts that only TLS 1.3 knows go out as handshake_failure below it (ssl/t1_enc.c: `tls1_alert_code`).
    private static func onTheWire(_ code: UInt8, version: UInt32?) -> UInt8 {
        guard let version, version != 0x0304, code == 109 || code == 116 else { return code }
        return 40
    }

    /// SSL_R_CERTIFICATE_VERIFY_FAILED.
    private static let verificationFailed: Int32 = 134

    static func libraryReason(_ reason: Int32, verification: UInt32?) -> String? {
        if reason > receivedAlertOffset, reason <= receivedAlertOffset + 255 { return nil }
        if reason == verificationFailed, let word = verification.flatMap(OpenSSLReasons.verification) { return word }
        return OpenSSLReasons.name(reason)
    }

    /// Failures at the peer's share itself, or for want of one that both sides know: NO_SUITABLE_KEY_SHARE, BAD_DH_VALUE,
    /// BAD_KEY_SHARE, BAD_SIGNATURE (of the share, below TLS 1.3), DECRYPTION_FAILED (of the pre-master secret),
    /// LENGTH_MISMATCH, LENGTH_TOO_SHORT, NO_SUITABLE_GROUPS, BAD_ECPOINT, WRONG_CURVE, DH_KEY_TOO_SMALL.
    static let keyExchangeReasons: Set<Int32> = [101, 102, 108, 123, 147, 159, 160, 295, 306, 378, 394]

    /// What a TLS 1.3 server refuses behind the ClientHello's key share: NO_APPLICATION_PROTOCOL, NO_SUITABLE_SIGNATURE_ALGORITHM,
    /// CERT_CB_ERROR.
    static let reasonsBehindShare: Set<Int32> = [235, 118, 377]

    /// The reasons that stand in the place of an alert's name: the library's words for what real peers do. Its others, some
    /// three hundred, are as good as never seen, and get their series when they are.
    static let usualReasons: [String] = reasons.values + ["no_renegotiation"]

    /// Reasons without a telling alert (include/openssl/sslerr.h; stable numbers).
    private static let reasons: [Int32: String] = [
        134: "certificate_verify_failed",
        143: "unknown_certificate_type",
        156: "http_request",
        155: "https_proxy_request",
        193: "no_shared_cipher",
        199: "peer_did_not_return_a_certificate",
        235: "no_application_protocol",
        258: "unsupported_protocol",
        267: "wrong_version_number",
        294: "peer_closed",
    ]
}

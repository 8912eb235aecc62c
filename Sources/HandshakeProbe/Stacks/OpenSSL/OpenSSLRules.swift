/// The meaning of OpenSSL's states and codes, 1.1.1 to 3.6 (ssl/statem/statem.c, include/openssl/sslerr.h).
extension SessionRules {
    static let openSSL = SessionRules(
        entry: { state in
            guard state.server <= 1, OpenSSLState.isSane(flow: state.flow, hand: state.hand, version: state.version)
            else { return .insane }
            switch state.flow {
            case OpenSSLState.uninitialised: return .start
            case OpenSSLState.finished:
                // TLS 1.3 has no renegotiation: what comes after it is a ticket or a key update.
                guard let version = state.version else { return .unrelated }
                return version >= 0x0304 && version < 0x0400 ? .unrelated : .start
            case OpenSSLState.error: return .unrelated
            default: return .proceed
            }
        },
        exit: { state in
            guard OpenSSLState.isSane(flow: state.flow, hand: state.hand, version: state.version) else {
                return .insane
            }
            if state.result == 1 {
                return .completed
            }
            if state.flow == OpenSSLState.error {
                return .failed
            }
            // A hard error of the transport leaves the state machine reading.
            if let io = state.io, io == 0 || (io < 0 && !OpenSSLState.isRetry(io)) {
                return .failed
            }
            return .wants
        },
        keyChange: { argument in
            // SSL3_CC_EARLY 0x40, SSL3_CC_HANDSHAKE 0x80, SSL3_CC_APPLICATION 0x100; none in TLS 1.2.
            argument & 0x80 != 0 || argument & 0x1c0 == 0 ? .handshake : .other
        },
        peerHelloRead: { handState, role in
            switch role {
            // TLS_ST_BEFORE until the first byte of a ClientHello was accepted.
            case .server: handState > 1
            // TLS_ST_CR_SRVR_HELLO is 3 in every version; 12 or 13 is "ClientHello written".
            case .client: (3...11).contains(handState) || handState > 13
            }
        },
        failure: { alert, reason in OpenSSLState.failure(alert: alert, reason: reason) },
        startStates: 1 << 0 | 1 << 4,
        endStates: 1 << 1 | 1 << 4,
        overStates: 1 << 1 | 1 << 4
    )
}

/// `MSG_FLOW_STATE` and the ranges of OpenSSL's state fields.
enum OpenSSLState {
    static let uninitialised: UInt32 = 0
    static let error: UInt32 = 1
    static let finished: UInt32 = 4

    /// Whether the values can be those of an OpenSSL connection.
    static func isSane(flow: UInt32?, hand: UInt32?, version: UInt32?) -> Bool {
        if let flow, flow > 5 { return false }
        if let hand, hand > 80 { return false }
        if let version {
            switch version {
            // TLS_ANY_VERSION and DTLS_ANY_VERSION stand before negotiation; 0 in a connection just cleared.
            case 0, 0x0300...0x0304, 0xfeff, 0xfefd, 0x0100, 0x10000, 0x1ffff: return true
            default: return false
            }
        }
        return true
    }

    /// EAGAIN and EINTR: the transport may be asked again.
    static func isRetry(_ io: Int32) -> Bool { io == -11 || io == -4 }

    /// SSL_AD_REASON_OFFSET: reasons above it are received alerts.
    private static let receivedAlertOffset: Int32 = 1000

    static func failure(alert: Int32, reason: Int32) -> FailureReason {
        if reason > receivedAlertOffset, reason <= receivedAlertOffset + 255 {
            let code = UInt8(reason - receivedAlertOffset)
            return FailureReason(reason: IANA.alert(code), alert: code, direction: .received)
        }
        let named = reasons[reason]
        if reason == 294 {
            // SSL_R_UNEXPECTED_EOF_WHILE_READING: the peer is gone, whatever alert is still tried.
            return FailureReason(reason: "peer_closed", alert: nil, direction: nil)
        }
        guard alert >= 0, alert <= 255 else {
            return FailureReason(reason: named ?? "library_error_\(reason)", alert: nil, direction: nil)
        }
        let code = UInt8(alert)
        return FailureReason(reason: sentReason(code, named: named), alert: code, direction: .sent)
    }

    /// The alert's name, unless the library's own reason says more than `internal_error` does.
    private static func sentReason(_ code: UInt8, named: String?) -> String {
        code == 80 ? named ?? IANA.alert(code) : IANA.alert(code)
    }

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

import Handshakes

/// OpenSSL's numbers, of those that the programs do not look at themselves.
extension Fact {
    // Of the state: they come with entries and plain returns.

    /// `MSG_FLOW_STATE`: 0 uninitialised, 1 error, 2 reading, 3 writing, 4 finished.
    package static var flowState: Fact { Fact(Fact.state.rawValue, "flowState") }
    /// `OSSL_HANDSHAKE_STATE`.
    package static var handState: Fact { Fact(Fact.detail.rawValue, "handState") }
    /// On the wire: 0x0304.
    package static var version: Fact { Fact(3, "version") }
    /// The state that a renegotiation begins with.
    package static var requestState: Fact { Fact(4, "requestState") }
    /// `SSL_want`.
    package static var want: Fact { Fact(5, "want") }
    /// `SSL_get_shutdown`.
    package static var shutdown: Fact { Fact(6, "shutdown") }

    package static var resumed: Fact { Fact(10, "resumed") }
    /// OpenSSL's number: 0x0300 in the upper half, IANA's in the lower.
    package static var cipher: Fact { Fact(11, "cipher") }
    /// Named group, IANA's number, of the connection; and the one kept in the session object.
    package static var group: Fact { Fact(12, "group") }
    package static var sessionGroup: Fact { Fact(13, "sessionGroup") }
    /// In TLS 1.3, whether this handshake agreed on keys: 0 with a pre-shared key alone (`psk_ke`). Then a client's connection
    /// keeps the group that it offered, and the session the earlier handshake's.
    package static var keyExchanged: Fact { Fact(21, "keyExchanged") }
    /// 0 none, 1 rejected, 2 accepted.
    package static var earlyData: Fact { Fact(14, "earlyData") }
    /// 0 none, else a HelloRetryRequest was sent or received.
    package static var helloRetry: Fact { Fact(15, "helloRetry") }
    /// The library's own flags of the connection.
    package static var flags: Fact { Fact(16, "flags") }
    /// What a server asks of its clients.
    package static var verifyMode: Fact { Fact(17, "verifyMode") }
    /// The low half of a pointer: 0 none.
    package static var peerCertificate: Fact { Fact(18, "peerCertificate") }
    /// On a client: 0 none, 1 asked, 2 asked and none to give.
    package static var certificateRequest: Fact { Fact(19, "certificateRequest") }
    /// What verifying the peer's certificate gave: X509_V_*, 0 is fine.
    package static var verifyResult: Fact { Fact(20, "verifyResult") }

    /// Host name kept in the session object.
    package static var sessionSNI: Fact { Fact(Fact.otherSNI.rawValue, "sessionSNI") }
}

extension OpenSSL {
    /// All that are looked for.
    static let facts: [Fact] = [
        .version, .role, .flowState, .handState, .resumed, .cipher, .group, .sessionGroup, .alpnLength, .earlyData,
        .helloRetry, .flags, .verifyMode, .peerCertificate, .certificateRequest, .references, .requestState, .want,
        .shutdown, .verifyResult, .alpn, .sni, .sessionSNI, .transport, .helloName, .random, .randomEnd,
        .keyExchanged,
    ]

    /// The order in which facts give way where there are more reads than a handshake is worth.
    static let expendable: [Fact] = [
        .helloName, .verifyResult, .references, .certificateRequest, .peerCertificate, .verifyMode, .flags, .helloRetry,
        .earlyData, .sessionSNI, .keyExchanged, .sessionGroup, .group, .sni, .alpn, .alpnLength, .cipher, .resumed,
    ]
}

extension SessionFacts {
    init(openSSL event: borrowing CallReturn, role: Role, isRenegotiation: Bool) {
        version = event.scalar(.version)
        // OpenSSL keeps IANA's number below 0x0300; anything else there is no cipher.
        if let id = event.scalar(.cipher), id >> 16 == 0x0300, id & 0xffff != 0 {
            cipher = UInt16(truncatingIfNeeded: id)
        }
        switch event.scalar(.resumed) {
        case 0?: resumed = false
        case 1?: resumed = true
        default: resumed = nil
        }
        // Before 3.0 nothing tells.
        if version == 0x0304, let exchanged = event.scalar(.keyExchanged), exchanged <= 1 {
            agreedOnKeys = exchanged == 1
        }
        if agreedOnKeys != false { group = Self.group(event, version: version, resumed: resumed) }
        alpn = event.alpn
        alpnWasRead = event.scalar(.alpnLength) != nil
        sni = event.sni
        switch event.scalar(.earlyData) {
        case 1?: earlyData = .rejected
        case 2?: earlyData = .accepted
        default: earlyData = nil
        }
        // SSL_HRR_NONE, SSL_HRR_PENDING, SSL_HRR_COMPLETE; no version below TLS 1.3 has the message.
        if version == 0x0304, let retry = event.scalar(.helloRetry), retry <= 2 { helloRetryRequest = retry != 0 }
        // Only the libraries that know QUIC have the version behind other fields, and the flag.
        isQUIC = version == 0x0304 && event.scalar(.flags).map { $0 & OpenSSLState.quic != 0 } ?? false
        verification = event.scalar(.verifyResult)
        fillClientCertificate(event, role, isRenegotiation)
    }

    /// TLS 1.3 agrees on a group even when it resumes (unless by the key alone: `agreedOnKeys`), and the connection keeps it.
    /// Below, a client's connection keeps what it offered for TLS 1.3, and a resumed session what an earlier handshake agreed
    /// on: neither is it.
    private static func group(_ event: borrowing CallReturn, version: UInt32?, resumed: Bool?) -> UInt32? {
        func known(_ group: UInt32?) -> UInt32? {
            group.flatMap { $0 >> 16 == 0 && IANA.group($0) != nil ? $0 : nil }
        }
        if version == 0x0304 { return known(event.scalar(.group)) ?? known(event.scalar(.sessionGroup)) }
        return resumed == false ? known(event.scalar(.sessionGroup)) : nil
    }

    private mutating func fillClientCertificate(
        _ event: borrowing CallReturn, _ role: Role, _ isRenegotiation: Bool
    ) {
        switch role {
        case .client:
            guard let request = event.scalar(.certificateRequest), request <= 2 else { return }
            clientCertificateRequested = request != 0
            // 2: asked, and none to give.
            if request != 0 { clientCertificateGiven = request == 1 }
        case .server:
            // TLS 1.3's suites leave it open who authenticates how.
            let authenticates = version == 0x0304 ? true : cipher.map(IANA.authenticates)
            guard let mode = event.scalar(.verifyMode), mode <= 0xf, let resumed, let authenticates else { return }
            // SSL_VERIFY_CLIENT_ONCE: a renegotiation asks where the handshake before it did not, which is not known.
            if isRenegotiation, mode & 5 == 5 { return }
            // SSL_VERIFY_PEER; with SSL_VERIFY_POST_HANDSHAKE TLS 1.3 asks later. A resumed one asks nothing.
            clientCertificateRequested =
                mode & 1 != 0 && !resumed && !(version == 0x0304 && mode & 8 != 0) && authenticates
            if clientCertificateRequested == true {
                clientCertificateGiven = event.scalar(.peerCertificate).map { $0 != 0 }
            }
        }
    }
}

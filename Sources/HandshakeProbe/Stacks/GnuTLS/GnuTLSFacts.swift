import Handshakes

/// GnuTLS's numbers, of those that the programs do not look at themselves.
enum GnuTLSFact {
    // Of the state: they come with entries and plain returns.

    /// The session has had a handshake (`initial_negotiation_completed`).
    static let negotiated = Fact(3, "negotiated")

    /// `gnutls_protocol_t`.
    static let version = Fact(10, "version")
    /// `gnutls_group_t`.
    static let group = Fact(11, "group")
    /// IANA's number, in the network's order.
    static let cipher = Fact(12, "cipher")
    static let resumed = Fact(13, "resumed")
    /// The last alert that was received; also one of an earlier handshake.
    static let alert = Fact(14, "alert")
    /// `HSK_*`: what has happened in the handshake.
    static let flags = Fact(15, "flags")
    /// The low half of a pointer: not 0 where the application carries the messages itself, as QUIC does.
    static let alertReader = Fact(16, "alertReader")
    /// Whether the extensions have left anything.
    static let hasProtocol = Fact(17, "hasProtocol")
    static let hasName = Fact(18, "hasName")
}

extension SessionFacts {
    init(gnuTLS event: borrowing CallReturn, role: Role) {
        version = event.scalar(GnuTLSFact.version).flatMap(GnuTLSState.version)
        switch event.scalar(GnuTLSFact.resumed) {
        case 0?: resumed = false
        case 1?: resumed = true
        default: resumed = nil
        }
        if let number = event.scalar(GnuTLSFact.cipher), number != 0 {
            cipher = UInt16(truncatingIfNeeded: number).byteSwapped
        }
        // A resumed session has the group of the handshake that made it, unless shares were exchanged again (TLS 1.3).
        let sharesAgain = event.scalar(GnuTLSFact.flags).map { $0 & GnuTLSState.shareReceived != 0 } ?? false
        if resumed == false || (version == 0x0304 && sharesAgain) {
            group = event.scalar(GnuTLSFact.group).flatMap(GnuTLSState.group)
        }
        if let hasProtocol = event.scalar(GnuTLSFact.hasProtocol) {
            alpnWasRead = hasProtocol == 0 || event.scalar(.alpnLength) != nil
            if hasProtocol != 0 { alpn = event.alpn }
        }
        if event.scalar(GnuTLSFact.hasName).map({ $0 != 0 }) ?? false { sni = event.sni }
        isQUIC = event.scalar(GnuTLSFact.alertReader).map { $0 != 0 } ?? false
        guard let flags = event.scalar(GnuTLSFact.flags) else { return }
        if version == 0x0304 {
            let retried = role == .server ? GnuTLSState.retrySent : GnuTLSState.retryReceived
            helloRetryRequest = flags & retried != 0
            // That some were offered leaves no trace where they were refused.
            if resumed == true, flags & GnuTLSState.earlyDataAccepted != 0 { earlyData = .accepted }
        }
        fillClientCertificate(flags, role)
    }

    private mutating func fillClientCertificate(_ flags: UInt32, _ role: Role) {
        // A resumed handshake has no certificates.
        if resumed == true { clientCertificateRequested = false }
        guard resumed == false else { return }
        switch role {
        case .client: clientCertificateRequested = flags & GnuTLSState.certificateAsked != 0
        case .server:
            // Below TLS 1.3 a request leaves no trace but a certificate that was given.
            if flags & GnuTLSState.certificateProven != 0 {
                (clientCertificateRequested, clientCertificateGiven) = (true, true)
            } else if version == 0x0304 {
                clientCertificateRequested = flags & GnuTLSState.certificateRequestSent != 0
                if clientCertificateRequested == true { clientCertificateGiven = false }
            }
        }
    }
}

import Handshakes

/// s2n's numbers, of those that the programs do not look at themselves.
enum S2NFact {
    // Of the state: they come with entries and plain returns.

    /// Nothing more is read: the peer has closed, or there was an error.
    static let readClosed = Fact(3, "readClosed")

    /// 30 is SSL 3.0, 34 TLS 1.3.
    static let version = Fact(10, "version")
    /// IANA's number, in the network's order.
    static let cipher = Fact(11, "cipher")
    /// IANA's number of the curve, and of the hybrid group that stands in its place.
    static let group = Fact(12, "group")
    static let hybridGroup = Fact(13, "hybridGroup")
    /// `S2N_PSK_TYPE_RESUMPTION` or external.
    static let pskType = Fact(14, "pskType")
    /// The last alert that was received, and how many of its two bytes were.
    static let alert = Fact(15, "alert")
    static let alertLength = Fact(16, "alertLength")
    /// The application carries the messages itself.
    static let quic = Fact(17, "quic")
    /// First bytes of the texts.
    static let hasProtocol = Fact(18, "hasProtocol")
    static let hasName = Fact(19, "hasName")
    static let quicOfConfiguration = Fact(20, "quicOfConfiguration")
}

extension SessionFacts {
    init(s2n event: borrowing CallReturn, role: Role) {
        version = event.scalar(S2NFact.version).flatMap(S2NState.version)
        if let number = event.scalar(S2NFact.cipher), number != 0 {
            cipher = UInt16(truncatingIfNeeded: number).byteSwapped
        }
        if let type = event.scalar(.detail), type & S2NState.negotiated != 0 {
            fillHandshakeType(type, pskType: event.scalar(S2NFact.pskType))
        }
        fillGroup(curve: event.scalar(S2NFact.group), hybrid: event.scalar(S2NFact.hybridGroup))
        if let first = event.scalar(S2NFact.hasProtocol) {
            alpnWasRead = true
            if first != 0 { alpn = event.alpn }
        }
        if event.scalar(S2NFact.hasName).map({ $0 != 0 }) ?? false { sni = event.sni }
        isQUIC = event.scalar(S2NFact.quic) == 1 || event.scalar(S2NFact.quicOfConfiguration) == 1
    }

    private mutating func fillHandshakeType(_ type: UInt32, pskType: UInt32?) {
        if type & S2NState.full != 0 {
            resumed = false
        } else if version.map({ $0 < 0x0304 }) ?? false {
            resumed = true
        } else {
            // An external key is no session.
            resumed = version == nil ? nil : pskType.map { $0 == S2NState.resumption }
        }
        clientCertificateRequested = type & S2NState.clientAuthentication != 0
        if clientCertificateRequested == true {
            clientCertificateGiven = type & S2NState.noClientCertificate == 0
        }
        if version == 0x0304 { helloRetryRequest = type & S2NState.helloRetryRequest != 0 }
    }

    private mutating func fillGroup(curve: UInt32?, hybrid: UInt32?) {
        if version == 0x0304 {
            group = hybrid.flatMap { $0 == 0 ? nil : $0 } ?? curve
        } else if resumed == false, cipher.map(S2NState.isEphemeral) ?? false {
            // A curve is agreed on whether the cipher uses it or not.
            group = curve
        }
        if group == 0 { group = nil }
    }
}

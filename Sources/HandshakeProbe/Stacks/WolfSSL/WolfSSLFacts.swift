import Handshakes

/// wolfSSL's numbers, of those that the programs do not look at themselves.
enum WolfSSLFact {
    // Of the state: they come with entries and plain returns.

    /// What went wrong last, or has to be waited for: negative; 0 nothing.
    static let error = Fact(3, "error")
    /// `handShakeState`: `WolfSSLState.handshakeDone` once it is complete.
    static let handshake = Fact(4, "handshakeState")

    /// Two bytes, as on the wire.
    static let version = Fact(10, "version")
    static let cipher = Fact(11, "cipher")
    static let resumed = Fact(12, "resumed")
    /// IANA's number; of clients and TLS 1.3 alone.
    static let group = Fact(13, "group")
    /// The sum of the bytes of the curve's object identifier.
    static let curve = Fact(14, "curve")
    /// The number and the level, -1 where there was none.
    static let alertReceived = Fact(15, "alertReceived")
    static let levelReceived = Fact(16, "levelReceived")
    static let alertSent = Fact(17, "alertSent")
    static let levelSent = Fact(18, "levelSent")
    /// The low half of a pointer: the list of extensions.
    static let extensions = Fact(19, "extensions")
    static let isNegotiated = Fact(20, "isNegotiated")
    static let nameStatus = Fact(21, "nameStatus")
}

extension SessionFacts {
    init(wolfSSL event: borrowing CallReturn, role: Role) {
        if let bytes = event.scalar(WolfSSLFact.version) {
            version = UInt32(UInt16(truncatingIfNeeded: bytes).byteSwapped)
        }
        switch event.scalar(WolfSSLFact.resumed) {
        case 0?: resumed = false
        case 1?: resumed = true
        default: resumed = nil
        }
        if let bytes = event.scalar(WolfSSLFact.cipher), bytes != 0 {
            cipher = UInt16(truncatingIfNeeded: bytes).byteSwapped
        }
        group = Self.group(event, version: version, cipher: cipher, resumed: resumed)
        // Without a list nothing was asked for, and nothing offered that this side knows.
        if event.scalar(WolfSSLFact.extensions) != nil {
            alpnWasRead = true
            if event.scalar(WolfSSLFact.isNegotiated) == 1 { alpn = event.alpn }
        }
        // A server's may be the application's own, which no client has asked for.
        if role == .client || event.scalar(WolfSSLFact.nameStatus).map({ $0 != 0 }) ?? false { sni = event.sni }
    }

    /// A connection has a curve before its handshake, too: the one that the application prefers.
    private static func group(
        _ event: borrowing CallReturn, version: UInt32?, cipher: UInt16?, resumed: Bool?
    ) -> UInt32? {
        if version == 0x0304 {
            if let number = event.scalar(WolfSSLFact.group), number != 0, IANA.group(number) != nil { return number }
        } else {
            guard resumed == false, let cipher, IANA.cipher(cipher).hasPrefix("TLS_ECDHE_") else { return nil }
        }
        return event.scalar(WolfSSLFact.curve).flatMap(WolfSSLState.group(curve:))
    }
}

import Handshakes

/// Mbed TLS's numbers, of those that the programs do not look at themselves.
enum MbedTLSFact {
    // Of the state: it comes with entries and plain returns.

    /// The low half of a pointer: not 0 once a handshake has completed.
    static let session = Fact(3, "session")
    /// The second byte of the version on the wire, or since 3.0 both.
    static let version = Fact(4, "version")

    /// IANA's number.
    static let cipher = Fact(11, "cipher")
    static let resumed = Fact(12, "resumed")
    /// The second byte of the message that was received last.
    static let alert = Fact(13, "alert")
    /// The low half of a pointer: 0 where no protocol was agreed on.
    static let hasProtocol = Fact(14, "hasProtocol")
    /// 1: DTLS.
    static let datagrams = Fact(15, "datagrams")
}

extension SessionFacts {
    init(mbedTLS event: borrowing CallReturn) {
        version = event.scalar(MbedTLSFact.version).flatMap(MbedTLSState.version)
        if event.scalar(MbedTLSFact.datagrams) != 0 { version = version.flatMap(MbedTLSState.datagramVersion) }
        if let number = event.scalar(MbedTLSFact.cipher), number != 0 { cipher = UInt16(truncatingIfNeeded: number) }
        // Of TLS 1.3 the flag says that a ticket was offered, not that it was accepted.
        if version != nil, version != 0x0304 {
            switch event.scalar(MbedTLSFact.resumed) {
            case 0?: resumed = false
            case 1?: resumed = true
            default: resumed = nil
            }
        }
        if let hasProtocol = event.scalar(MbedTLSFact.hasProtocol) {
            alpnWasRead = hasProtocol == 0 || event.alpn != nil
            if hasProtocol != 0 { alpn = event.alpn }
        }
        sni = event.sni
    }
}

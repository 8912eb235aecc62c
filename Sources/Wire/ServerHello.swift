/// A ServerHello or a HelloRetryRequest (RFC 8446 section 4.1.3), as far as it was seen.
package struct ServerHello: Sendable, Equatable {
    package var isHelloRetryRequest = false
    /// The version it settles: of the supported_versions extension, where there is one.
    package var version: UInt16?
    package var cipher: UInt16
    package var session: [UInt8]
    /// Of the key share (TLS 1.3).
    package var group: UInt16?
    /// The pre-shared key of a ticket or another one was accepted (TLS 1.3).
    package var acceptsPSK = false
    /// The protocol chosen (TLS 1.2; TLS 1.3 encrypts it).
    package var chosenProtocol: [UInt8]?
    /// Whether all of it was seen.
    package var isWhole = false

    /// SHA-256 of "HelloRetryRequest".
    static let retryRandom: [UInt8] = [
        0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
        0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
    ]

    /// - Parameter body: what follows the message's four-byte header.
    /// - Parameter length: the message's own length.
    /// - Returns: `nil` for what is no ServerHello, or cut before its cipher suite.
    package init?(_ body: ArraySlice<UInt8>, length: Int) {
        var reader = ByteReader(body)
        guard let legacy = reader.number16(), legacy >> 8 == 3, let random = reader.take(32),
            let session = reader.vector(1), session.count <= 32, let cipher = reader.number16(), reader.byte() != nil
        else { return nil }
        isHelloRetryRequest = random.elementsEqual(Self.retryRandom)
        self.cipher = cipher
        self.session = Array(session)
        let extensions = reader.vectorPrefix(2)
        isWhole = extensions.map(\.isWhole) ?? reader.isEmpty && body.count >= length
        var chosen: UInt16?
        if let extensions {
            var reader = ByteReader(extensions.bytes)
            while let kind = reader.number16(), let body = reader.vector(2) {
                switch kind {
                case 16: chosenProtocol = Self.name(body)
                case 41: acceptsPSK = true
                case 43: chosen = numbers16(body).first
                case 51: group = numbers16(body.prefix(2)).first
                default: break
                }
            }
        }
        // Without the whole of it the extension that settles the version may be behind the cut.
        version = chosen ?? (isWhole ? legacy : nil)
    }

    static func name(_ body: ArraySlice<UInt8>) -> [UInt8]? {
        var reader = ByteReader(body)
        guard let list = reader.vector(2) else { return nil }
        var names = ByteReader(list)
        guard let name = names.vector(1), !name.isEmpty else { return nil }
        return Array(name)
    }
}

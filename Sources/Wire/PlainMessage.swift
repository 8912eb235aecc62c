/// A handshake message, or how it begins, from a library's memory: as a peer chose it, or for one.
package struct PlainMessage: Sendable {
    /// RFC 8446 section 4, RFC 5246 section 7.4.
    package enum Kind: UInt8, Sendable {
        case clientHello = 1
        case serverHello = 2
        case encryptedExtensions = 8
        case certificate = 11
        case serverKeyExchange = 12
        case certificateAsked = 13
        case serverHelloDone = 14
        case clientKeyExchange = 16
    }

    /// `nil` of one that tells nothing.
    package var kind: Kind?
    /// Its own, in bytes, without the header.
    package var length: Int
    /// What is there of it.
    package var body: ArraySlice<UInt8>

    /// The messages of a handshake stream, the last of them perhaps cut off.
    package static func split(_ stream: [UInt8]) -> [PlainMessage] {
        HandshakeMessages.split(stream).map {
            PlainMessage(kind: Kind(rawValue: $0.kind), length: $0.length, body: $0.body)
        }
    }

    /// Of a Certificate: whether there is one in it.
    package func hasCertificate(isTLS13: Bool) -> Bool {
        var reader = ByteReader(body)
        if isTLS13, reader.vector(1) == nil { return false }
        return reader.number(3).map { $0 > 0 } ?? false
    }

    /// Of a ServerKeyExchange: the named curve (RFC 8422 section 5.4); `nil` where it has none.
    package var namedCurve: UInt16? {
        var reader = ByteReader(body)
        guard reader.byte() == 3 else { return nil }
        return reader.number16()
    }
}

/// What a server answers besides its ServerHello (RFC 8446 section 4.3.1), as far as it is there.
package struct EncryptedExtensions: Sendable, Equatable {
    package var chosenProtocol: [UInt8]?
    package var acceptsEarlyData = false
    /// Whether all of it is there: only then does what is missing mean that it was not answered.
    package var isWhole = false

    /// - Parameter length: the message's own length.
    package init(_ body: ArraySlice<UInt8>, length: Int) {
        var reader = ByteReader(body)
        guard let extensions = reader.vectorPrefix(2) else { return }
        isWhole = extensions.isWhole && body.count >= length
        var rest = ByteReader(extensions.bytes)
        while let kind = rest.number16(), let body = rest.vector(2) {
            switch kind {
            case 16: chosenProtocol = ServerHello.name(body)
            case 42: acceptsEarlyData = true
            default: break
            }
        }
    }
}

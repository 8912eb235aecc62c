import Crypto
import CryptoExtras

/// A version of QUIC of which the Initial packets can be read.
package struct QUICVersion: Sendable, Equatable {
    package let number: UInt32
    let salt: [UInt8]
    let labels: String
    /// The packet types by their two bits.
    let types: [QUICPacketType]

    /// RFC 9001 section 5.2.
    static let v1 = QUICVersion(
        number: 1,
        salt: [
            0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb,
            0x7f, 0x0a,
        ], labels: "quic ", types: [.initial, .zeroRTT, .handshake, .retry])
    /// RFC 9369 section 3.
    static let v2 = QUICVersion(
        number: 0x6b33_43cf,
        salt: [
            0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9, 0xbd,
            0x2e, 0xd9,
        ], labels: "quicv2 ", types: [.retry, .initial, .zeroRTT, .handshake])

    package init?(_ number: UInt32) {
        switch number {
        case Self.v1.number: self = .v1
        case Self.v2.number: self = .v2
        default: return nil
        }
    }

    private init(number: UInt32, salt: [UInt8], labels: String, types: [QUICPacketType]) {
        self.number = number
        self.salt = salt
        self.labels = labels
        self.types = types
    }
}

/// What protects one side's Initial packets: from the connection id that the client chose first, which is on the wire.
struct QUICInitialKeys: Sendable {
    private let key: SymmetricKey
    private let iv: [UInt8]
    private let headerKey: SymmetricKey

    init(_ version: QUICVersion, connectionID: ArraySlice<UInt8>, side: WireSide) {
        let secret = HKDF<SHA256>.extract(
            inputKeyMaterial: SymmetricKey(data: connectionID), salt: version.salt)
        let own = Self.expand(
            SymmetricKey(data: secret), side == .client ? "client in" : "server in", 32)
        key = Self.expand(own, version.labels + "key", 16)
        iv = Self.expand(own, version.labels + "iv", 12).bytes
        headerKey = Self.expand(own, version.labels + "hp", 16)
    }

    /// HKDF-Expand-Label (RFC 8446 section 7.1) without a context.
    private static func expand(_ secret: SymmetricKey, _ label: String, _ count: Int) -> SymmetricKey {
        let full = Array("tls13 ".utf8) + Array(label.utf8)
        let info = [UInt8(count >> 8), UInt8(count & 255), UInt8(full.count)] + full + [0]
        return HKDF<SHA256>.expand(pseudoRandomKey: secret, info: info, outputByteCount: count)
    }

    /// The frames of an Initial packet; `nil` where it is not one under these keys.
    ///
    /// - Parameters:
    ///   - packet: from its first byte to the end of its payload.
    ///   - numberAt: where the packet number is, from its beginning.
    func open(_ packet: ArraySlice<UInt8>, numberAt: Int) -> [UInt8]? {
        var bytes = Array(packet)
        guard numberAt > 0, bytes.count >= numberAt + 4 + 16 else { return nil }
        var mask = Array(bytes[(numberAt + 4)..<(numberAt + 20)])
        guard (try? AES.permute(&mask, key: headerKey)) != nil else { return nil }
        bytes[0] ^= mask[0] & 0x0f
        let numberLength = Int(bytes[0] & 3) + 1
        var number: UInt64 = 0
        for index in 0..<numberLength {
            bytes[numberAt + index] ^= mask[1 + index]
            number = number << 8 | UInt64(bytes[numberAt + index])
        }
        var nonce = iv
        for index in 0..<8 { nonce[4 + index] ^= UInt8(truncatingIfNeeded: number >> UInt64(8 * (7 - index))) }
        let begin = numberAt + numberLength
        guard bytes.count >= begin + 16, let nonce = try? AES.GCM.Nonce(data: nonce),
            let box = try? AES.GCM.SealedBox(
                nonce: nonce, ciphertext: bytes[begin..<(bytes.count - 16)], tag: bytes[(bytes.count - 16)...]),
            let content = try? AES.GCM.open(box, using: key, authenticating: bytes[..<begin])
        else { return nil }
        return Array(content)
    }
}

extension SymmetricKey {
    fileprivate var bytes: [UInt8] { unsafe withUnsafeBytes { unsafe Array($0) } }
}

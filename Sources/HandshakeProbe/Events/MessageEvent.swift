import CEvents

/// The record of a handshake message that a library has in plaintext: the fixed part by value, the bytes still where the kernel
/// wrote them.
package struct MessageEvent: ~Escapable {
    let fixed: tlswatch_message
    private let content: RawSpan

    static let size = MemoryLayout<tlswatch_message>.size

    /// `nil` if the record's length is not what its bytes make it.
    @_lifetime(copy bytes)
    init?(_ bytes: RawSpan) {
        let fixed = unsafe bytes.unsafeLoadUnaligned(as: tlswatch_message.self)
        guard Int(fixed.byte_count) <= Int(TLSWATCH_MESSAGE_BYTES),
            bytes.byteCount == Self.size + Int(fixed.byte_count)
        else { return nil }
        self.fixed = fixed
        content = bytes
    }

    var hook: HookKind? { HookKind(rawValue: fixed.header.hook) }

    /// The messages, or how they begin. From a peer, or for one.
    var message: [UInt8] { content.bytes(behind: Self.size) }

    /// The last eight bytes of the random of the ClientHello that is answered, or was to be.
    var randomEnd: UInt64? { fixed.random_end == 0 ? nil : fixed.random_end }

    /// What describes the message.
    var envelope: SentEnvelope {
        let offset = Self.envelope
        return unsafe SentEnvelope(
            first: content.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self),
            second: content.unsafeLoadUnaligned(fromByteOffset: offset + 8, as: UInt64.self),
            variant: fixed.variant == 0 ? nil : Int(fixed.variant) - 1
        )
    }

    private static let envelope = MemoryLayout<tlswatch_message>.offset(of: \.envelope) ?? 0
}

/// What describes something that a library sends.
struct SentEnvelope: Equatable {
    /// How it begins.
    var first: UInt64
    var second: UInt64
    /// Its kind, counted from an alert's, where its site tells.
    var variant: Int?
}

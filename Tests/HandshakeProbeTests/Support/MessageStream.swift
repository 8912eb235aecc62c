import CEvents
import Handshakes
import Testing

@testable import HandshakeProbe

/// Handshake messages made by hand, and the records of them as the kernel writes them.
enum Message {
    static func vector(_ size: Int, _ bytes: [UInt8]) -> [UInt8] {
        (0..<size).reversed().map { UInt8(truncatingIfNeeded: bytes.count >> (8 * $0)) } + bytes
    }

    static func framed(_ kind: UInt8, _ body: [UInt8]) -> [UInt8] { [kind] + vector(3, body) }

    static func extended(_ kind: UInt8, _ body: [UInt8]) -> [UInt8] { [0, kind] + vector(2, body) }

    /// A random that is the same for the same number.
    static func random(_ number: UInt8) -> [UInt8] { (0..<32).map { number &+ $0 &* 7 } }

    static func randomEnd(_ number: UInt8) -> UInt64 {
        random(number)[24...].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    static func clientHello(
        _ number: UInt8, name: String = "a.example", session: UInt8 = 9, early: Bool = false, more: [UInt8] = []
    ) -> [UInt8] {
        let names = vector(2, [0] + vector(2, Array(name.utf8)))
        let extensions =
            extended(0, names) + extended(16, vector(2, vector(1, Array("h2".utf8)))) + extended(43, [2, 3, 4])
            + (early ? extended(42, []) : []) + more
        return framed(
            1,
            [3, 3] + random(number) + vector(1, random(session)) + vector(2, [0x13, 1]) + vector(1, [0])
                + vector(2, extensions))
    }

    static let retryRandom: [UInt8] = [
        0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2,
        0x11,
        0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
    ]

    static func serverHello(isRetry: Bool = false, accepts psk: Bool = false, session: UInt8 = 99) -> [UInt8] {
        let extensions =
            extended(43, [3, 4]) + extended(51, [0, 0x1d] + vector(2, [UInt8](repeating: 1, count: 32)))
            + (psk ? extended(41, [0, 0]) : [])
        return framed(
            2,
            [3, 3] + (isRetry ? retryRandom : random(200)) + vector(1, random(session)) + [0x13, 1, 0]
                + vector(2, extensions))
    }

    /// TLS 1.2's, with the protocol in it.
    static func oldServerHello(_ chosen: String = "h2") -> [UInt8] {
        framed(
            2,
            [3, 3] + random(200) + vector(1, []) + [0xc0, 0x2f, 0]
                + vector(2, extended(16, vector(2, vector(1, Array(chosen.utf8))))))
    }

    static func encryptedExtensions(_ chosen: String? = "h2", early: Bool = false) -> [UInt8] {
        let alpn = chosen.map { extended(16, vector(2, vector(1, Array($0.utf8)))) } ?? []
        return framed(8, vector(2, alpn + (early ? extended(42, []) : [])))
    }

    static let certificateRequest = framed(13, [0] + vector(2, extended(13, [0, 2, 4, 3])))
    static func certificate(_ count: Int, isTLS13: Bool) -> [UInt8] {
        let list = [UInt8](repeating: 7, count: count)
        return framed(11, (isTLS13 ? [0] : []) + vector(3, list))
    }
    static let finished = framed(20, [UInt8](repeating: 5, count: 32))
    static let serverHelloDone = framed(14, [])
    static let serverKeyExchange = framed(12, [3, 0, 0x17, 65] + [UInt8](repeating: 4, count: 65))
}

protocol MessageStream: SessionStream {}

extension MessageStream {
    /// - Parameters:
    ///   - answers: the number of the random of the ClientHello that is answered, or was to be.
    ///   - envelope: the first two words.
    func record(
        _ time: UInt64, _ hook: HookKind, _ message: [UInt8], answers: UInt8? = nil, object: UInt64 = 0x1000,
        thread: UInt32 = 7, envelope: (UInt64, UInt64) = (0, 0), variant: UInt16 = 0
    ) -> [UInt8] {
        var event = tlswatch_message()
        event.header = header(time, object: object, hook: hook)
        event.header.tid = thread
        event.header.kind = UInt16(TLSWATCH_MESSAGE.rawValue)
        event.byte_count = UInt16(message.count)
        event.variant = variant
        event.random_end = answers.map { Message.randomEnd($0) } ?? 0
        event.length = UInt32(message.count)
        event.header.size = UInt16(MessageEvent.size + message.count)
        unsafe withUnsafeMutableBytes(of: &event.envelope) { bytes in
            unsafe bytes.storeBytes(of: envelope.0, as: UInt64.self)
            unsafe bytes.storeBytes(of: envelope.1, toByteOffset: 8, as: UInt64.self)
        }
        return unsafe withUnsafeBytes(of: &event) { unsafe Array($0) } + message
    }

    /// How a handshake ends.
    func ended(
        _ time: UInt64, _ hook: HookKind, object: UInt64 = 0, thread: UInt32 = 7, error: Int32 = 0
    ) -> tlswatch_step_record {
        var record = tlswatch_step_record(
            header: header(time, object: object, hook: hook), step: step(time, hook, argument: error))
        record.header.tid = thread
        return record
    }

    func messageTable(release: String = "0.23.46") -> SessionTable {
        table(rules: Rustls.rules(version: release), stack: "rustls")
    }

    /// rustls's own way to describe what it sends.
    static var changeCipherSpec: (UInt64, UInt64) { (1 << 63 | 3, 0) }
    static func alert(_ index: UInt64, level: UInt64 = 1) -> (UInt64, UInt64) { (1 << 63, level | index << 16) }
}

extension SessionTable {
    /// Takes a message's record, as the decoder does.
    @discardableResult mutating func messageSeen(_ bytes: [UInt8]) -> Rejection? {
        guard let event = unsafe MessageEvent(bytes.span.bytes) else { return .malformed }
        return messageSeen(event)
    }
}

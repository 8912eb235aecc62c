/// The plaintext handshake messages of one direction, put together from the TCP segments that carry them: split anywhere, in
/// any order, sent again or doubled.
///
/// Bounded: what does not fit is left out, and what stands behind a hole is not read.
struct HandshakeMessages {
    /// Bytes of one direction that are kept.
    static let capacity = 4096
    private static let fragmentLimit = 16

    /// By the distance from the first byte that was asked for: whole TLS records, with their headers.
    private var bytes: [UInt8] = []
    private var ahead: [(at: Int, bytes: [UInt8])] = []
    private var origin: UInt32?
    /// Bytes were seen behind a hole, or were left out.
    private(set) var hasHole = false

    /// Bytes of plaintext handshake records, at TCP sequence number `sequence`.
    mutating func add(_ segment: ArraySlice<UInt8>, at sequence: UInt32) {
        guard let origin else {
            self.origin = sequence
            bytes = Array(segment.prefix(Self.capacity))
            return
        }
        let distance = Int(Int32(bitPattern: sequence &- origin))
        guard distance >= -Self.capacity, distance < Self.capacity else {
            hasHole = true
            return
        }
        guard distance >= 0 else {
            // What was taken for the beginning is not: a segment before it comes now.
            let before = -distance
            self.origin = sequence
            for index in ahead.indices { ahead[index].at += before }
            if !bytes.isEmpty, ahead.count < Self.fragmentLimit {
                ahead.append((before, bytes))
            } else if !bytes.isEmpty {
                hasHole = true
            }
            bytes = []
            place(segment, at: 0)
            return
        }
        place(segment, at: distance)
    }

    private mutating func place(_ segment: ArraySlice<UInt8>, at distance: Int) {
        if distance <= bytes.count {
            bytes += segment.dropFirst(bytes.count - distance).prefix(Self.capacity - bytes.count)
            takeAhead()
        } else if ahead.count < Self.fragmentLimit {
            ahead.append((distance, Array(segment.prefix(Self.capacity))))
        } else {
            hasHole = true
        }
    }

    private mutating func takeAhead() {
        while let next = ahead.firstIndex(where: { $0.at <= bytes.count }) {
            let fragment = ahead.remove(at: next)
            bytes += fragment.bytes.dropFirst(bytes.count - fragment.at).prefix(Self.capacity - bytes.count)
        }
    }

    /// Bytes are missing between what is there.
    var isMissingBytes: Bool { hasHole || !ahead.isEmpty }

    /// One message, or the part of it that is there.
    struct Message {
        var kind: UInt8
        var length: Int
        var body: ArraySlice<UInt8>
    }

    /// The messages that begin in what is there without a hole.
    var messages: [Message] { Self.split(payload) }

    /// The messages of a handshake stream.
    static func split(_ stream: [UInt8]) -> [Message] {
        var found: [Message] = []
        var rest = stream[...]
        while rest.count >= 4, found.count < 16 {
            let base = rest.startIndex
            let length = Int(rest[base + 1]) << 16 | Int(rest[base + 2]) << 8 | Int(rest[base + 3])
            found.append(Message(kind: rest[base], length: length, body: rest.dropFirst(4).prefix(length)))
            rest = rest.dropFirst(4 + length)
        }
        return found
    }

    /// The content of the handshake records (RFC 8446 section 5.1): other records between them are passed over.
    private var payload: [UInt8] {
        var content: [UInt8] = []
        var rest = bytes[...]
        while rest.count >= 5 {
            let base = rest.startIndex
            let length = Int(rest[base + 3]) << 8 | Int(rest[base + 4])
            guard RecordType(rawValue: rest[base]) != nil, rest[base + 1] == 3, length <= WireRecord.longest else {
                break
            }
            if rest[base] == RecordType.handshake.rawValue { content += rest.dropFirst(5).prefix(length) }
            rest = rest.dropFirst(5 + length)
        }
        return content
    }
}

/// TLS's record types (RFC 8446 section 5.1).
package enum RecordType: UInt8, Sendable {
    case changeCipherSpec = 20
    case alert = 21
    case handshake = 22
    case applicationData = 23
    case heartbeat = 24
}

/// The header of a TLS record in a TCP stream.
package struct WireRecord: Sendable, Equatable {
    /// The most that a record may hold: 2^14 bytes and what protection adds (RFC 5246 section 6.2.3).
    static let longest = 16384 + 2048

    package var type: RecordType
    package var length: Int
    /// The first bytes of a plaintext alert or handshake record, else empty.
    package var content: [UInt8]

    package init(type: RecordType, length: Int, content: [UInt8] = []) {
        self.type = type
        self.length = length
        self.content = content
    }

    /// Of a plaintext alert.
    var alert: (level: UInt8, code: UInt8)? {
        type == .alert && length == 2 && content.count >= 2 ? (content[0], content[1]) : nil
    }
}

/// Which side of the connection sent something.
package enum WireSide: Sendable {
    case client, server

    var index: Int { self == .client ? 0 : 1 }
}

/// What one TCP segment shows of a handshake.
package struct WireSegment: Sendable {
    /// Monotonic nanoseconds.
    package var time: UInt64
    package var side: WireSide
    /// The records that begin in it, in order.
    package var records: [WireRecord]
    /// Plaintext handshake records, from TCP sequence number `sequence` on.
    package var bytes: ArraySlice<UInt8>
    package var sequence: UInt32
    /// Records of this side may have been missed before this.
    package var followsGap: Bool
    /// What comes now is no TLS record.
    package var isNotTLS: Bool

    package init(
        time: UInt64, side: WireSide, records: [WireRecord] = [], bytes: ArraySlice<UInt8> = [], sequence: UInt32 = 0,
        followsGap: Bool = false, isNotTLS: Bool = false
    ) {
        self.time = time
        self.side = side
        self.records = records
        self.bytes = bytes
        self.sequence = sequence
        self.followsGap = followsGap
        self.isNotTLS = isNotTLS
    }
}

/// How a TCP connection ended.
package enum WireClose: Sendable {
    /// A FIN or a reset from this side.
    case finished(WireSide), reset(WireSide)
    /// Its socket was closed.
    case closed
    /// Packets are looked at no more: more were seen than a handshake has.
    case unwatched

    var isUnwatched: Bool {
        if case .unwatched = self { true } else { false }
    }
}

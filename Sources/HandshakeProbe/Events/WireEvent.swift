import CEvents

/// The record of a segment: the fixed part by value, the bytes still where the kernel wrote them.
package struct WireEvent: ~Escapable {
    let fixed: tlswatch_wire
    private let content: RawSpan

    static let size = MemoryLayout<tlswatch_wire>.size

    /// `nil` if the record's length is not what its bytes make it.
    @_lifetime(copy bytes)
    init?(_ bytes: RawSpan) {
        let fixed = unsafe bytes.unsafeLoadUnaligned(as: tlswatch_wire.self)
        guard Int(fixed.byte_count) <= Int(TLSWATCH_WIRE_BYTES), Int(fixed.records) <= Int(TLSWATCH_WIRE_RECORDS),
            bytes.byteCount == Self.size + Int(fixed.byte_count)
        else { return nil }
        self.fixed = fixed
        content = bytes
    }

    func has(_ flag: tlswatch_wire_flag) -> Bool { UInt32(fixed.flags) & flag.rawValue != 0 }

    /// The plaintext handshake records' bytes.
    var bytes: [UInt8] { content.bytes(behind: Self.size) }

    /// - Precondition: `index` is below `fixed.records`.
    func record(_ index: Int) -> tlswatch_wire_record {
        precondition(index >= 0 && index < Int(fixed.records))
        let offset = Self.records + MemoryLayout<tlswatch_wire_record>.stride * index
        return unsafe content.unsafeLoadUnaligned(fromByteOffset: offset, as: tlswatch_wire_record.self)
    }

    /// The length that the record itself tells, of one that lies in more memory than it needs.
    static func length(of record: UnsafeRawBufferPointer) -> Int {
        guard record.count >= MemoryLayout<tlswatch_header>.size else { return record.count }
        let header = unsafe record.loadUnaligned(as: tlswatch_header.self)
        let least: Int
        switch UInt32(header.kind) {
        case TLSWATCH_WIRE.rawValue: least = size
        case TLSWATCH_DATAGRAM.rawValue: least = DatagramEvent.size
        case TLSWATCH_MESSAGE.rawValue: least = MessageEvent.size
        default: return record.count
        }
        return Int(header.size) >= least ? min(record.count, Int(header.size)) : record.count
    }

    private static let records = MemoryLayout<tlswatch_wire>.offset(of: \.record) ?? 0
}

/// The record of a datagram, in the same way.
package struct DatagramEvent: ~Escapable {
    let fixed: tlswatch_datagram
    private let content: RawSpan

    static let size = MemoryLayout<tlswatch_datagram>.size

    /// `nil` if the record's length is not what its bytes make it.
    @_lifetime(copy bytes)
    init?(_ bytes: RawSpan) {
        let fixed = unsafe bytes.unsafeLoadUnaligned(as: tlswatch_datagram.self)
        guard Int(fixed.byte_count) <= Int(TLSWATCH_DATAGRAM_BYTES),
            bytes.byteCount == Self.size + Int(fixed.byte_count)
        else { return nil }
        self.fixed = fixed
        content = bytes
    }

    func has(_ flag: tlswatch_wire_flag) -> Bool { UInt32(fixed.flags) & flag.rawValue != 0 }

    /// The datagram, or its beginning.
    var bytes: [UInt8] { content.bytes(behind: Self.size) }
}

extension RawSpan {
    /// What a record carries behind its fixed part.
    func bytes(behind size: Int) -> [UInt8] {
        unsafe extracting(size...).withUnsafeBytes { unsafe Array($0) }
    }
}

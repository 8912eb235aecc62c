/// Bounds-checked little-endian reading: `nil` past the end, whatever the offset.
extension Span<UInt8> {
    // Inlinable: other modules ask about every word of a large program, and would do it through the generic witnesses.
    @inlinable @inline(__always)
    package func integer<T: FixedWidthInteger & UnsignedInteger>(at offset: Int, as type: T.Type = T.self) -> T? {
        let width = T.bitWidth / 8
        guard offset >= 0, width <= count, offset <= count - width else { return nil }
        var value: T = 0
        for index in 0..<width {
            value |= T(truncatingIfNeeded: self[offset + index]) << T(truncatingIfNeeded: index * 8)
        }
        return value
    }

    /// Whether `text` stands at `offset`.
    package func holds(_ text: [UInt8], at offset: Int) -> Bool {
        guard offset >= 0, text.count <= count, offset <= count - text.count else { return false }
        for index in text.indices where self[offset + index] != text[index] { return false }
        return true
    }
}

extension [UInt8] {
    package func u16(at offset: Int) -> UInt16? { span.integer(at: offset) }
    package func u32(at offset: Int) -> UInt32? { span.integer(at: offset) }
    package func u64(at offset: Int) -> UInt64? { span.integer(at: offset) }

    /// The bytes from `offset` up to a NUL, as text; `nil` past the end, without a NUL, or over `limit` bytes.
    package func text(at offset: Int, limit: Int = 4096) -> String? {
        guard offset >= 0, offset < count else { return nil }
        let end = Swift.min(count, offset + limit)
        guard let terminator = self[offset..<end].firstIndex(of: 0) else { return nil }
        return String(decoding: self[offset..<terminator], as: UTF8.self)
    }
}

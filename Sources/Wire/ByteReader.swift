/// Reads bytes that a peer chose, never past their end.
struct ByteReader {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    var count: Int { rest.count }
    var isEmpty: Bool { rest.isEmpty }

    /// A number of `size` bytes in network order; `nil` where there are fewer.
    mutating func number(_ size: Int) -> UInt64? {
        guard rest.count >= size else { return nil }
        defer { rest = rest.dropFirst(size) }
        return rest.prefix(size).reduce(0) { $0 << 8 | UInt64($1) }
    }

    mutating func byte() -> UInt8? { number(1).map { UInt8($0) } }
    mutating func number16() -> UInt16? { number(2).map { UInt16($0) } }

    mutating func take(_ count: Int) -> ArraySlice<UInt8>? {
        guard count >= 0, rest.count >= count else { return nil }
        defer { rest = rest.dropFirst(count) }
        return rest.prefix(count)
    }

    /// A vector with its length before it, in `size` bytes (RFC 8446 section 3.4); `nil` where it is not all there.
    mutating func vector(_ size: Int) -> ArraySlice<UInt8>? {
        guard let length = number(size) else { return nil }
        return take(Int(length))
    }

    /// The part of such a vector that is there, and whether that is all of it.
    mutating func vectorPrefix(_ size: Int) -> (bytes: ArraySlice<UInt8>, isWhole: Bool)? {
        guard let length = number(size) else { return nil }
        let there = min(rest.count, Int(length))
        guard let bytes = take(there) else { return nil }
        return (bytes, there == Int(length))
    }
}

/// The 16-bit numbers of a vector, as far as there are whole ones.
func numbers16(_ bytes: ArraySlice<UInt8>) -> [UInt16] {
    var reader = ByteReader(bytes)
    var numbers: [UInt16] = []
    while let number = reader.number16() { numbers.append(number) }
    return numbers
}

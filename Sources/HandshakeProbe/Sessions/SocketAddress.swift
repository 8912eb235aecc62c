/// An address and port as people write them: `127.0.0.1:443`, `[::1]:443`.
struct SocketAddress: CustomStringConvertible {
    let description: String

    /// - Parameters:
    ///   - family: 2 (AF_INET) or 10 (AF_INET6); `nil` results for any other.
    ///   - bytes: network order, an IPv4 address in the first four.
    init?(
        family: UInt16, port: UInt16,
        bytes: (
            UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8,
            UInt8
        )
    ) {
        if family == 2 {
            description = Self.dotted(bytes.0, bytes.1, bytes.2, bytes.3, port: port)
            return
        }
        var copy = bytes
        let octets = unsafe withUnsafeBytes(of: &copy) { unsafe [UInt8]($0) }
        switch family {
        case 10:
            // ::ffff:0:0/96 is an IPv4 peer on an IPv6 socket (RFC 4291 section 2.5.5.2): told as what it is.
            if octets[0..<10].allSatisfy({ $0 == 0 }), octets[10] == 0xff, octets[11] == 0xff {
                description = Self.dotted(octets[12], octets[13], octets[14], octets[15], port: port)
            } else {
                description = "[\(Self.colons(octets))]:\(port)"
            }
        default: return nil
        }
    }

    /// Each session has two of these: in one piece, which mostly needs no memory of its own.
    private static func dotted(_ a: UInt8, _ b: UInt8, _ c: UInt8, _ d: UInt8, port: UInt16) -> String {
        unsafe String(unsafeUninitializedCapacity: 21) { buffer in
            var count = 0
            func write(_ number: UInt16, _ end: Unicode.Scalar?) {
                var divisor: UInt16 = 10_000
                while divisor > max(number, 1) { divisor /= 10 }
                while divisor > 0 {
                    unsafe buffer[count] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: number / divisor % 10)
                    count += 1
                    divisor /= 10
                }
                if let end {
                    unsafe buffer[count] = UInt8(ascii: end)
                    count += 1
                }
            }
            write(UInt16(a), ".")
            write(UInt16(b), ".")
            write(UInt16(c), ".")
            write(UInt16(d), ":")
            write(port, nil)
            return count
        }
    }

    /// RFC 5952: lower case, the longest run of two or more zero groups as `::`.
    private static func colons(_ octets: [UInt8]) -> String {
        let groups = (0..<8).map { UInt16(octets[2 * $0]) << 8 | UInt16(octets[2 * $0 + 1]) }
        var best = 0..<0
        var index = 0
        while index < 8 {
            var end = index
            while end < 8, groups[end] == 0 { end += 1 }
            if end - index > max(best.count, 1) { best = index..<end }
            index = max(end, index + 1)
        }
        func text(_ range: Range<Int>) -> String {
            groups[range].map { String($0, radix: 16) }.joined(separator: ":")
        }
        return best.isEmpty ? text(0..<8) : text(0..<best.lowerBound) + "::" + text(best.upperBound..<8)
    }
}

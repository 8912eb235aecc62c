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
        var copy = bytes
        let octets = unsafe withUnsafeBytes(of: &copy) { unsafe [UInt8]($0) }
        switch family {
        case 2: description = "\(Self.dotted(octets[0..<4])):\(port)"
        case 10:
            // ::ffff:0:0/96 is an IPv4 peer on an IPv6 socket (RFC 4291 section 2.5.5.2): told as what it is.
            if octets[0..<10].allSatisfy({ $0 == 0 }), octets[10] == 0xff, octets[11] == 0xff {
                description = "\(Self.dotted(octets[12..<16])):\(port)"
            } else {
                description = "[\(Self.colons(octets))]:\(port)"
            }
        default: return nil
        }
    }

    private static func dotted(_ octets: ArraySlice<UInt8>) -> String {
        octets.map { String($0) }.joined(separator: ".")
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

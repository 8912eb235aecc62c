/// An address and port: `127.0.0.1:443`, `[::1]:443`.
package struct SocketAddress: Sendable, Equatable, CustomStringConvertible {
    /// Network order; an IPv4 address in the lower half of `low`, as IPv6 maps it.
    private let high, low: UInt64
    private let port: UInt16

    /// - Parameters:
    ///   - family: 2 (AF_INET) or 10 (AF_INET6); `nil` results for any other.
    ///   - bytes: network order, an IPv4 address in the first four.
    package init?(
        family: UInt16, port: UInt16,
        bytes: (
            UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8,
            UInt8
        )
    ) {
        let (first, second) = unsafe withUnsafeBytes(of: bytes) { bytes in
            unsafe (
                UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self)),
                UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
            )
        }
        switch family {
        case 2: (high, low) = (0, Self.mapped | first >> 32)
        case 10: (high, low) = (first, second)
        default: return nil
        }
        self.port = port
    }

    /// ::ffff:0:0/96 is an IPv4 peer, on whatever socket (RFC 4291 section 2.5.5.2): told as what it is.
    private static let mapped: UInt64 = 0xffff_0000_0000

    package var description: String {
        if high == 0, low >> 32 == Self.mapped >> 32 {
            return Self.dotted(UInt32(truncatingIfNeeded: low), port: port)
        }
        let octets = [high, low].flatMap { half in
            (0..<8).map { UInt8(truncatingIfNeeded: half >> UInt64(56 - 8 * $0)) }
        }
        return "[\(Self.colons(octets))]:\(port)"
    }

    /// In one piece, which mostly needs no memory of its own.
    private static func dotted(_ address: UInt32, port: UInt16) -> String {
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
            for index in 0..<4 {
                write(UInt16(address >> UInt32(24 - 8 * index) & 0xff), index == 3 ? ":" : ".")
            }
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

/// One end of a session's socket: numbers that become a text once somebody reads them, or a text.
package enum SocketName: Sendable, Equatable {
    case address(SocketAddress)
    case text(String)

    package var text: String {
        switch self {
        case .address(let address): address.description
        case .text(let text): text
        }
    }

    package static func == (left: SocketName, right: SocketName) -> Bool {
        if case .address(let left) = left, case .address(let right) = right { return left == right }
        return left.text == right.text
    }
}

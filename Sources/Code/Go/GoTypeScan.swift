/// Where type descriptors may be: what has the shape of one. In the order of their addresses.
struct GoTypeScan: Sendable {
    private(set) var structures: [UInt64] = []
    private(set) var pointers: [UInt64] = []
    private(set) var interfaces: [UInt64] = []
    /// Named integers.
    private(set) var numbers: [UInt64] = []

    /// More than real programs have (80,000 of all kinds in one of 185 MB).
    private static let limit = 1 << 20
    /// Bytes of data that are looked at.
    private static let byteLimit: UInt64 = 512 << 20
    private static let headSize = 24

    /// - Parameters:
    ///   - ranges: where types may be.
    ///   - structureLimit: with so many structs it is enough.
    init(_ image: GoImage, in ranges: [Range<UInt64>], structureLimit: Int = Self.limit) {
        var left = Self.byteLimit
        for range in ranges {
            let size = min(range.upperBound - range.lowerBound, left)
            left -= size
            image.slices(of: range.lowerBound..<range.lowerBound + size, margin: Self.headSize) { bytes, start, own in
                scan(bytes, start, own)
                return structures.count < structureLimit
                    && structures.count + pointers.count + interfaces.count + numbers.count < Self.limit
            }
        }
    }

    /// internal/abi.Type: size, bytes with pointers, hash, flags at 20, alignment, a field's alignment, kind at 23.
    private mutating func scan(_ bytes: [UInt8], _ start: UInt64, _ own: Range<Int>) {
        let span = bytes.span
        var at = own.lowerBound + Int((8 - (start + UInt64(own.lowerBound)) % 8) % 8)
        while at < own.upperBound, at <= span.count - Self.headSize {
            defer { at += 8 }
            let kind = span[at + 23] & 0x9f
            guard kind == 25 || kind == 22 || kind == 20 || kind == 8 || kind == 12 || kind == 2,
                span[at + 20] & 0xc0 == 0, span[at + 21] == span[at + 22], let size: UInt64 = span.integer(at: at),
                let pointers: UInt64 = span.integer(at: at + 8), pointers <= size
            else { continue }
            let align = span[at + 21]
            let isNamed = span[at + 20] & 4 != 0
            let address = start + UInt64(at)
            switch kind {
            case 25 where isNamed && (align == 1 || align == 2 || align == 4 || align == 8) && size < 1 << 32:
                structures.append(address)
            case 22 where size == 8 && pointers == 8 && align == 8: self.pointers.append(address)
            case 20 where size == 16 && pointers == 16 && align == 8: interfaces.append(address)
            case 8 where isNamed && size == 1 && align == 1 && pointers == 0,
                12 where isNamed && size == 8 && align == 8 && pointers == 0,
                2 where isNamed && size == 8 && align == 8 && pointers == 0:
                numbers.append(address)
            default: break
            }
        }
    }
}

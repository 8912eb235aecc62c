import Code

/// A minimal ELF file in memory: code at 0x1000, constants at 0x2000.
package enum CodeImage {
    package static let codeAddress: UInt64 = 0x1000
    package static let dataAddress: UInt64 = 0x2000

    package static func file(_ code: [UInt8], data: [UInt8] = []) throws -> ELFFile {
        var bytes: [UInt8] = [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1] + Array(repeating: 0, count: 9)
        func append<T: FixedWidthInteger>(_ value: T) {
            for shift in stride(from: 0, to: T.bitWidth, by: 8) {
                bytes.append(UInt8(truncatingIfNeeded: value >> shift))
            }
        }
        append(UInt16(3)); append(UInt16(62)); append(UInt32(1))
        append(UInt64(0)); append(UInt64(64)); append(UInt64(0))
        append(UInt32(0)); append(UInt16(64)); append(UInt16(56)); append(UInt16(2))
        append(UInt16(64)); append(UInt16(0)); append(UInt16(0))
        let codeOffset = UInt64(64 + 2 * 56)
        for (flags, offset, address, size) in [
            (UInt32(5), codeOffset, codeAddress, UInt64(code.count)),
            (4, codeOffset + UInt64(code.count), dataAddress, UInt64(data.count)),
        ] {
            append(UInt32(1)); append(flags); append(offset); append(address); append(address)
            append(size); append(size); append(UInt64(1))
        }
        return try ELFFile(bytes: bytes + code + data)
    }

    package static func reader(_ code: [UInt8], data: [UInt8] = []) throws -> CodeReader {
        CodeReader(try file(code, data: data))
    }
}

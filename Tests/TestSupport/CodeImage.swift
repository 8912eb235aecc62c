import Code

/// A minimal ELF file in memory: code at 0x1000, constants at 0x2000.
package enum CodeImage {
    package static let codeAddress: UInt64 = 0x1000
    package static let dataAddress: UInt64 = 0x2000

    package static func file(_ code: [UInt8], data: [UInt8] = []) throws -> ELFFile {
        try ELFFile(
            bytes: bytes(type: 3, (codeAddress, flags: 5, code), (dataAddress, flags: 4, data)))
    }

    package typealias Part = (address: UInt64, flags: UInt32, content: [UInt8])

    /// Two segments one behind the other, without sections.
    ///
    /// - Parameter type: `e_type`: 2 linked to fixed addresses, 3 not.
    package static func bytes(type: UInt16, _ code: Part, _ data: Part) -> [UInt8] {
        var bytes: [UInt8] = [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1] + Array(repeating: 0, count: 9)
        func append<T: FixedWidthInteger>(_ value: T) {
            for shift in stride(from: 0, to: T.bitWidth, by: 8) {
                bytes.append(UInt8(truncatingIfNeeded: value >> shift))
            }
        }
        append(type); append(UInt16(62)); append(UInt32(1))
        append(UInt64(0)); append(UInt64(64)); append(UInt64(0))
        append(UInt32(0)); append(UInt16(64)); append(UInt16(56)); append(UInt16(2))
        append(UInt16(64)); append(UInt16(0)); append(UInt16(0))
        var offset = UInt64(64 + 2 * 56)
        for part in [code, data] {
            let size = UInt64(part.content.count)
            append(UInt32(1)); append(part.flags); append(offset); append(part.address); append(part.address)
            append(size); append(size); append(UInt64(1))
            offset += size
        }
        return bytes + code.content + data.content
    }

    package static func reader(_ code: [UInt8], data: [UInt8] = []) throws -> CodeReader {
        CodeReader(try file(code, data: data))
    }
}

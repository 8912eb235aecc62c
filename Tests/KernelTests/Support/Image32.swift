/// A 32-bit shared object: one loaded segment with everything in it, and a dynamic table with its name.
enum Image32 {
    static func bytes(soName: String, code: Int) -> [UInt8] {
        var bytes: [UInt8] = [0x7f, 0x45, 0x4c, 0x46, 1, 1, 1] + Array(repeating: 0, count: 9)
        func append<T: FixedWidthInteger>(_ values: T...) {
            for value in values {
                for shift in stride(from: 0, to: T.bitWidth, by: 8) {
                    bytes.append(UInt8(truncatingIfNeeded: value >> shift))
                }
            }
        }
        let strings = [0] + Array(soName.utf8) + [0]
        let tableStart = 52 + 2 * 32
        let stringStart = tableStart + 4 * 8
        let size = UInt32(stringStart + strings.count + code)
        append(UInt16(3), 3)
        append(UInt32(1), 0, 52, 0, 0)
        append(UInt16(52), 32, 2, 40, 0, 0)
        append(UInt32(1), 0, 0x1000, 0x1000, size, size, 5, 0x1000)
        append(UInt32(2), UInt32(tableStart), 0x1000 + UInt32(tableStart), 0, 32, 32, 4, 4)
        append(UInt32(5), 0x1000 + UInt32(stringStart), 10, UInt32(strings.count), 14, 1, 0, 0)
        return bytes + strings + Array(repeating: 0x90, count: code)
    }
}

import CCapstone

/// The functions that use a field at a known offset of some object.
package enum FieldUses {
    /// One instruction with such an operand, in its function.
    package struct Use {
        package var body: [Instruction]
        package var index: Int
        /// The register that holds the object.
        package var base: Int

        package var instruction: Instruction { body[index] }
    }

    /// Most code that is searched, and places that are looked at.
    private static let codeLimit: UInt64 = 16 << 20
    private static let placeLimit = 4096
    private static let bodyLimit = 20_000

    /// By the functions' beginnings; each use in the order of its function's code. An offset that fits in a byte is not looked for.
    package static func find(_ code: CodeReader, offset: Int32) -> [UInt64: [Use]] {
        guard !(-128...127).contains(offset) else { return [:] }
        let wanted = (0..<4).map { UInt8(truncatingIfNeeded: offset >> Int32($0 * 8)) }
        var starts: Set<UInt64> = []
        var bodies: [Range<UInt64>] = []
        var left = placeLimit
        for range in code.file.codeRanges where range.upperBound - range.lowerBound <= codeLimit {
            let bytes = code.file.bytes(at: range.lowerBound, upTo: Int(range.upperBound - range.lowerBound))
            DataSearch.find(wanted, in: bytes) { place in
                left -= 1
                guard left >= 0 else { return true }
                if let extent = code.file.functionExtent(containing: range.lowerBound &+ UInt64(place)),
                    starts.insert(extent.lowerBound).inserted
                {
                    bodies.append(extent)
                }
                return false
            }
        }
        var uses: [UInt64: [Use]] = [:]
        for extent in bodies {
            let body = code.instructions(in: extent, limit: bodyLimit)
            let found = body.indices.compactMap { index in
                base(body[index], offset).map { Use(body: body, index: index, base: $0) }
            }
            if !found.isEmpty { uses[extent.lowerBound] = found }
        }
        return uses
    }

    private static func base(_ instruction: Instruction, _ offset: Int32) -> Int? {
        for operand in [instruction.first, instruction.second]
        where operand.isMemory && operand.value == Int64(offset) && !operand.rip_relative && !operand.opaque_address {
            guard operand.base != UInt8(TLSWATCH_NO_REGISTER), Int(operand.base) != Register.rsp,
                operand.index == UInt8(TLSWATCH_NO_REGISTER)
            else { continue }
            return Int(operand.base)
        }
        return nil
    }
}

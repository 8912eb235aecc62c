import CCapstone

/// Bounded search of a file's constants.
package enum DataSearch {
    private static let chunk = 1 << 20
    /// Most bytes of one area, and of all areas together, that a search for tables reads.
    package static let areaLimit: UInt64 = 64 << 20
    private static let totalLimit: UInt64 = 128 << 20

    /// The file's data areas that are searched for tables, within the limits.
    package static func areas(_ file: ELFFile) -> [Range<UInt64>] {
        var left = totalLimit
        return file.dataRanges.compactMap { area in
            let size = min(area.upperBound - area.lowerBound, areaLimit)
            guard size <= left else { return nil }
            left -= size
            return area
        }
    }

    /// Calls `visit` with each occurrence of `text` until it returns true. Reads at most `limit` bytes.
    package static func find(_ file: ELFFile, _ text: String, limit: UInt64, visit: ([UInt8], Int) -> Bool) {
        find(file, text, limit) { bytes, offset, _ in visit(bytes, offset) }
    }

    /// Calls `visit` with the address of each occurrence of `text` until it returns true. Reads at most `limit` bytes.
    package static func findAddresses(_ file: ELFFile, _ text: String, limit: UInt64, visit: (UInt64) -> Bool) {
        find(file, text, limit) { _, offset, start in visit(start &+ UInt64(offset)) }
    }

    private static func find(
        _ file: ELFFile, _ text: String, _ limit: UInt64, visit: ([UInt8], Int, UInt64) -> Bool
    ) {
        let wanted = Array(text.utf8)
        visitPieces(file, limit) { bytes, count, address in
            search(bytes, wanted, count) { visit($0, $1, address) }
        }
    }

    /// Calls `visit` with the bytes of a piece of the constants, how many of them are its own, and its address, until it returns
    /// true.
    private static func visitPieces(_ file: ELFFile, _ limit: UInt64, _ visit: ([UInt8], Int, UInt64) -> Bool) {
        var left = limit
        for range in file.dataRanges {
            var address = range.lowerBound
            while address < range.upperBound, left > 0 {
                let count = Int(min(UInt64(chunk), range.upperBound - address, left))
                // The overlap lets a hit at the piece's end show its whole text.
                let bytes = file.bytes(at: address, upTo: count + 256)
                guard !bytes.isEmpty else { break }
                left -= UInt64(count)
                if visit(bytes, count, address) { return }
                address = address.addingClamped(UInt64(count))
            }
        }
    }

    /// Whether `text` is in the file's constants. Reads at most `limit` bytes.
    package static func holds(_ file: ELFFile, _ text: String, limit: UInt64) -> Bool {
        var found = false
        find(file, text, limit: limit) { _, _ in
            found = true
            return true
        }
        return found
    }

    /// Which of these texts comes first in the file's constants; of two in one piece of them, the first of the list. Reads at most
    /// `limit` bytes, once.
    package static func first(of texts: [String], _ file: ELFFile, limit: UInt64) -> Int? {
        let wanted = texts.map { Array($0.utf8) }
        var found: Int?
        visitPieces(file, limit) { bytes, count, _ in
            found = wanted.firstIndex { text in search(bytes, text, count) { _, _ in true } }
            return found != nil
        }
        return found
    }

    /// Calls `visit` with the offset of each occurrence of these bytes until it returns true.
    package static func find(_ wanted: [UInt8], in bytes: [UInt8], visit: (Int) -> Bool) {
        _ = search(bytes, wanted, bytes.count) { visit($1) }
    }

    private static func search(
        _ whole: [UInt8], _ wanted: [UInt8], _ count: Int, _ visit: ([UInt8], Int) -> Bool
    ) -> Bool {
        // memmem(3): this is most of what looking at a new file costs.
        unsafe whole.withUnsafeBytes { bytes in
            let count = min(count, bytes.count)
            var offset = 0
            while offset < count {
                let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[offset...])
                guard let found = unsafe tlswatch_find(rest.baseAddress, rest.count, wanted, wanted.count) else {
                    return false
                }
                let place = unsafe offset + (found - rest.baseAddress!)
                // What begins in the overlap is the next chunk's.
                guard place < count else { return false }
                if visit(whole, place) { return true }
                offset = place + 1
            }
            return false
        }
    }
}

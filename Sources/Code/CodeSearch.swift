import Glibc

/// Bounded search of a file's machine code, in slices: a program may have hundreds of megabytes of it.
package enum CodeSearch {
    private static let slice = 1 << 20
    /// Most code that one search reads (Chromium: 200 MB).
    private static let limit: UInt64 = 512 << 20

    /// Calls `visit` with the address of each `opcode` byte, and the four bytes behind it as a number. Most are no instructions:
    /// whoever asks has to look.
    ///
    /// - Parameter area: of the addresses that are looked at, where not all are.
    package static func visit(
        _ file: ELFFile, opcode: UInt8, in area: Range<UInt64> = 0..<UInt64.max, _ visit: (UInt64, UInt32) -> Void
    ) {
        var left = limit
        for whole in file.codeRanges {
            let range = whole.clamped(to: area)
            var start = range.lowerBound
            while start < range.upperBound, left > 0 {
                let count = min(UInt64(slice), range.upperBound - start, left)
                // The overlap holds the number behind the slice's last opcode.
                let bytes = file.bytes(at: start, upTo: Int(min(count + 4, range.upperBound - start)))
                guard !bytes.isEmpty else { break }
                scan(bytes, Int(count), opcode) { visit(start &+ UInt64($0), $1) }
                left -= count
                start += count
            }
        }
    }

    private static func scan(_ bytes: [UInt8], _ count: Int, _ opcode: UInt8, _ visit: (Int, UInt32) -> Void) {
        let span = bytes.span
        // memchr(3): most of what looking at a new file costs is finding the bytes that may be it.
        unsafe bytes.withUnsafeBytes { buffer in
            guard let base = buffer.baseAddress else { return }
            let end = min(count, buffer.count)
            var offset = 0
            while offset < end, let found = unsafe memchr(base + offset, Int32(opcode), end - offset) {
                offset = unsafe found - UnsafeMutableRawPointer(mutating: base)
                guard let number: UInt32 = span.integer(at: offset + 1) else { return }
                visit(offset, number)
                offset += 1
            }
        }
    }

    /// Where direct calls of a function are.
    ///
    /// - Parameter throughTables: those too that take its address from a table that the loader fills.
    package static func calls(_ file: ELFFile, of target: UInt64, throughTables: Bool = false) -> [UInt64] {
        var found: [UInt64] = []
        visit(file, opcode: 0xe8) { address, distance in
            if Self.target(address, distance) == target { found.append(address) }
        }
        let slots = throughTables ? file.pointers(to: target) : []
        guard !slots.isEmpty else { return found }
        // call [rip + disp32]: the number behind the opcode has ModRM and three bytes of the displacement.
        visit(file, opcode: 0xff) { address, number in
            guard number & 0xff == 0x15 else { return }
            for slot in slots {
                let distance = UInt32(truncatingIfNeeded: slot &- (address &+ 6))
                if distance & 0xff_ffff == number >> 8,
                    file.bytes(at: address &+ 5, count: 1) == [UInt8(distance >> 24)]
                {
                    found.append(address)
                }
            }
        }
        return found
    }

    /// For each of these addresses where the function begins that holds it, by what is called: the last place at or before it,
    /// at most `reach` bytes, that a direct call leads to. For code that no unwind table covers.
    package static func beginnings(_ file: ELFFile, of places: [UInt64], reach: UInt64) -> [UInt64: UInt64] {
        var found: [UInt64: UInt64] = [:]
        guard let first = places.min(), let last = places.max() else { return [:] }
        let low = first &- min(first, reach)
        visit(file, opcode: 0xe8) { address, distance in
            let target = Self.target(address, distance)
            guard target >= low, target <= last else { return }
            for place in places where target <= place && place - target <= reach && target > found[place] ?? 0 {
                found[place] = target
            }
        }
        return found
    }

    private static func target(_ address: UInt64, _ distance: UInt32) -> UInt64 {
        address &+ 5 &+ UInt64(bitPattern: Int64(Int32(bitPattern: distance)))
    }
}

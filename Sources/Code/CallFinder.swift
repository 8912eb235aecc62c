import Glibc

/// Finds the instructions that call a function that the file names: its own or one of another library.
package struct CallFinder {
    package let file: ELFFile

    /// Larger code is not searched: it takes too long, and a program of that size names the function.
    private static let codeLimit: UInt64 = 16 << 20
    /// Calls looked at: several times what a TLS library has (OpenSSL 1.1.1 reports an error in 307 places).
    private static let callLimit = 4000

    package init(file: ELFFile) { self.file = file }

    /// Functions that call `name`, directly, through its PLT stub or through its slot; with the number of calls.
    package func functionsCalling(_ name: String) -> [UInt64: Int] {
        calls(of: name).reduce(into: [:]) { counts, call in
            guard let function = file.functionExtent(containing: call) else { return }
            counts[function.lowerBound, default: 0] += 1
        }
    }

    /// Addresses of the instructions that call `name`.
    package func calls(of name: String) -> [UInt64] {
        let slots = Set(file.importSlots(of: name))
        var targets: Set<UInt64> = []
        if let own = file.symbol(name) { targets.insert(own.address) }
        var calls: [UInt64] = []
        let areas = file.codeRanges.filter { $0.upperBound - $0.lowerBound <= Self.codeLimit }
        let texts = areas.map { area in
            (area.lowerBound, file.bytes(at: area.lowerBound, upTo: Int(area.upperBound - area.lowerBound)))
        }
        if !slots.isEmpty {
            for (start, bytes) in texts {
                Self.scan(bytes, first: 0xff, length: 6) { offset, second, distance in
                    let address = start &+ UInt64(offset)
                    guard slots.contains(address &+ 6 &+ distance) else { return }
                    if second == 0x15 { calls.append(address) }
                    // A stub: `jmp *slot`, with endbr64 or bnd before it.
                    if second == 0x25 { targets.formUnion([address, address &- 1, address &- 4, address &- 5]) }
                }
            }
        }
        for (start, bytes) in texts where !targets.isEmpty {
            Self.scan(bytes, first: 0xe8, length: 5) { offset, _, distance in
                let address = start &+ UInt64(offset)
                if targets.contains(address &+ 5 &+ distance) { calls.append(address) }
            }
        }
        return Array(calls.prefix(Self.callLimit))
    }

    /// Visits each place with the opcode byte `first` and a 32-bit distance at the instruction's end.
    private static func scan(_ bytes: [UInt8], first: UInt8, length: Int, visit: (Int, UInt8, UInt64) -> Void) {
        let span = bytes.span
        // memchr(3): most of what looking at a new file costs is finding the bytes that may begin a call.
        unsafe bytes.withUnsafeBytes { buffer in
            guard let start = buffer.baseAddress, buffer.count >= length else { return }
            let last = buffer.count - length
            var offset = 0
            while offset <= last, let found = unsafe memchr(start + offset, Int32(first), last - offset + 1) {
                offset = unsafe found - UnsafeMutableRawPointer(mutating: start)
                if let distance: UInt32 = span.integer(at: offset + length - 4) {
                    visit(offset, span[offset + 1], UInt64(bitPattern: Int64(Int32(bitPattern: distance))))
                }
                offset += 1
            }
        }
    }
}

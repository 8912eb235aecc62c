import CCapstone

/// Just enough of a 32-bit ELF file to tell whether it holds a TLS stack: none is observed, and that has to be reported.
///
/// As foreign as any: whatever it holds, reading is bounded and gives `nil` where it makes no sense.
package struct ELF32: Sendable {
    private struct Segment {
        var type: UInt32
        var fileOffset: UInt64
        var address: UInt64
        var fileSize: UInt64
        var isExecutable: Bool
    }

    private static let stringLimit: UInt64 = 8 << 20
    private static let chunk = 1 << 20
    private let source: ELFSource
    private let segments: [Segment]

    /// `nil` where it is no 32-bit little-endian program or shared object.
    package init?(_ source: ELFSource) {
        guard let header = source.read(at: 0, count: 52), header.starts(with: [0x7f, 0x45, 0x4c, 0x46, 1, 1]),
            let type = header.u16(at: 16), type == 2 || type == 3, let offset = header.u32(at: 28),
            header.u16(at: 42) == 32, let count = header.u16(at: 44), count > 0, count < 0xffff,
            let table = source.read(at: UInt64(offset), count: Int(count) * 32)
        else { return nil }
        self.source = source
        segments = stride(from: 0, to: table.count, by: 32).compactMap { base in
            guard let type = table.u32(at: base), let offset = table.u32(at: base + 4),
                let address = table.u32(at: base + 8), let size = table.u32(at: base + 16),
                let flags = table.u32(at: base + 24)
            else { return nil }
            return Segment(
                type: type, fileOffset: UInt64(offset), address: UInt64(address), fileSize: UInt64(size),
                isExecutable: flags & 1 != 0)
        }
    }

    /// Bytes of code.
    package var codeSize: UInt64 {
        segments.filter { $0.type == 1 && $0.isExecutable }.reduce(0) { $0.addingClamped($1.fileSize) }
    }

    /// `DT_SONAME`.
    package var soName: String? {
        guard let dynamic = segments.first(where: { $0.type == 2 }), dynamic.fileSize <= 1 << 16,
            let entries = source.read(at: dynamic.fileOffset, count: Int(dynamic.fileSize))
        else { return nil }
        var values: [UInt32: UInt32] = [:]
        for base in stride(from: 0, to: entries.count - entries.count % 8, by: 8) {
            guard let tag = entries.u32(at: base), tag != 0 else { break }
            values[tag] = entries.u32(at: base + 4)
        }
        guard let name = values[14], let table = values[5], let size = values[10], size <= Self.stringLimit,
            name < size,
            let load = segments.first(where: {
                $0.type == 1 && UInt64(table) >= $0.address && UInt64(table) - $0.address < $0.fileSize
            }),
            let text = source.read(
                at: load.fileOffset + (UInt64(table) - load.address) + UInt64(name),
                count: Int(min(256, size - name)))
        else { return nil }
        return text.text(at: 0)
    }

    /// Whether the loaded bytes hold `text`; looks at `limit` bytes of them.
    package func holds(_ text: String, limit: UInt64) -> Bool {
        let wanted = Array(text.utf8)
        var left = limit
        for segment in segments where segment.type == 1 {
            var offset: UInt64 = 0
            while offset < segment.fileSize, left > 0 {
                let count = min(UInt64(Self.chunk), segment.fileSize - offset, left)
                let more = min(UInt64(wanted.count), segment.fileSize - offset - count)
                guard let bytes = source.read(at: segment.fileOffset + offset, count: Int(count + more)) else { break }
                if unsafe tlswatch_find(bytes, bytes.count, wanted, wanted.count) != nil { return true }
                offset += count
                left -= count
            }
        }
        return false
    }
}

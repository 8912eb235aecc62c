/// The extents of functions, from the unwind information (`.eh_frame`), which survives stripping.
import Synchronization

struct UnwindTable: Sendable {
    /// Starts of functions in rising order, and for each the address of its entry in `.eh_frame`.
    private var starts: [UInt64] = []
    private var entries: [UInt64] = []

    /// More entries than real programs have (Chromium: 800,000).
    private static let limit = 4 << 20

    static func parse(_ file: ELFFile) -> UnwindTable {
        var table = UnwindTable()
        if let header = file.segments.first(where: { $0.type == 0x6474_e550 }), header.fileSize <= 64 << 20,
            let bytes = file.source.read(at: header.fileOffset, count: Int(header.fileSize))
        {
            table.readSearchTable(bytes, header.address)
        }
        if table.starts.isEmpty { table.walk(file) }
        return table
    }

    /// `.eh_frame_hdr`'s binary search table: pairs of offsets from the header's own address.
    private mutating func readSearchTable(_ bytes: [UInt8], _ address: UInt64) {
        // Version 1; 4-byte relative frame pointer, 4-byte count, 4-byte offsets: what linkers write.
        guard bytes.count >= 12, bytes[0] == 1, bytes[1] == 0x1b, bytes[2] == 0x03, bytes[3] == 0x3b,
            let count = bytes.u32(at: 8), Int(count) <= (bytes.count - 12) / 8
        else { return }
        starts.reserveCapacity(Int(count))
        entries.reserveCapacity(Int(count))
        let span = bytes.span
        for index in 0..<Int(count) {
            guard let start: UInt32 = span.integer(at: 12 + index * 8),
                let entry: UInt32 = span.integer(at: 16 + index * 8)
            else { return }
            starts.append(address &+ UInt64(bitPattern: Int64(Int32(bitPattern: start))))
            entries.append(address &+ UInt64(bitPattern: Int64(Int32(bitPattern: entry))))
        }
        sort()
    }

    /// Without the search table: every entry of the `.eh_frame` section.
    private mutating func walk(_ file: ELFFile) {
        guard let section = file.sections.first(where: { $0.name == ".eh_frame" }), section.size <= 256 << 20,
            let bytes = file.bytes(at: section.address, count: Int(section.size))
        else { return }
        let span = bytes.span
        var encodings: [Int: UInt8] = [:]
        var offset = 0
        while let length: UInt32 = span.integer(at: offset), length != 0, length < 0xffff_fff0,
            let distance: UInt32 = span.integer(at: offset + 4), starts.count < Self.limit
        {
            if distance != 0 {
                let cie = offset + 4 - Int(distance)
                let encoding = encodings[cie] ?? Self.pointerEncoding(span, cie)
                encodings[cie] = encoding
                let place = section.address &+ UInt64(offset) &+ 8
                if let start = Self.pointer(span, offset + 8, encoding, place)?.value {
                    starts.append(start)
                    entries.append(section.address &+ UInt64(offset))
                }
            }
            offset += Int(length) + 4
        }
        sort()
    }

    private mutating func sort() {
        guard !zip(starts, starts.dropFirst()).allSatisfy({ $0 <= $1 }) else { return }
        let order = starts.indices.sorted { starts[$0] < starts[$1] }
        entries = order.map { entries[$0] }
        starts = order.map { starts[$0] }
    }

    /// The function that holds `address`.
    func extent(containing address: UInt64, _ file: ELFFile) -> Range<UInt64>? {
        var index = starts.lowerBound(of: address)
        if index == starts.count || starts[index] != address { index -= 1 }
        guard index >= 0 else { return nil }
        let entry = entries[index]
        let head = file.bytes(at: entry, upTo: 32)
        guard let length = head.u32(at: 0), length >= 8, let distance = head.u32(at: 4), distance != 0
        else { return nil }
        let cie = file.bytes(at: entry &+ 4 &- UInt64(distance), upTo: 64)
        let encoding = Self.pointerEncoding(cie.span, 0)
        guard let start = Self.pointer(head.span, 8, encoding, entry &+ 8),
            // The length has the pointer's format, and is relative to nothing.
            let size = Self.pointer(head.span, 8 + start.width, encoding & 0x0f, 0)?.value,
            start.value == starts[index], size > 0, size <= 1 << 30,
            case let end = start.value.addingClamped(size), address < end
        else { return nil }
        return start.value..<end
    }

    /// The encoding of code pointers that a CIE's augmentation names; 0 (absolute) without one.
    private static func pointerEncoding(_ span: Span<UInt8>, _ cie: Int) -> UInt8 {
        var offset = cie + 9
        var letters: [UInt8] = []
        while let letter: UInt8 = span.integer(at: offset), letter != 0, letters.count < 8 {
            letters.append(letter)
            offset += 1
        }
        guard letters.first == UInt8(ascii: "z") else { return 0 }
        offset += 1
        // Code and data alignment, return register, augmentation length: all LEB128.
        for _ in 0..<4 {
            let start = offset
            while let byte: UInt8 = span.integer(at: offset), byte & 0x80 != 0, offset - start < 10 { offset += 1 }
            offset += 1
        }
        for letter in letters.dropFirst() {
            guard let byte: UInt8 = span.integer(at: offset) else { return 0 }
            switch letter {
            case UInt8(ascii: "R"): return byte
            case UInt8(ascii: "L"): offset += 1
            case UInt8(ascii: "P"):
                guard let width = pointer(span, offset + 1, byte & 0x0f, 0)?.width else { return 0 }
                offset += 1 + width
            default: break
            }
        }
        return 0
    }

    private static func pointer(
        _ span: Span<UInt8>, _ offset: Int, _ encoding: UInt8, _ place: UInt64
    ) -> (value: UInt64, width: Int)? {
        let raw: UInt64?
        let width: Int
        switch encoding & 0x0f {
        case 0x02: (raw, width) = (span.integer(at: offset, as: UInt16.self).map(UInt64.init), 2)
        case 0x03: (raw, width) = (span.integer(at: offset, as: UInt32.self).map(UInt64.init), 4)
        case 0x0a:
            (raw, width) = (
                span.integer(at: offset, as: UInt16.self).map { UInt64(bitPattern: Int64(Int16(bitPattern: $0))) }, 2
            )
        case 0x0b:
            (raw, width) = (
                span.integer(at: offset, as: UInt32.self).map { UInt64(bitPattern: Int64(Int32(bitPattern: $0))) }, 4
            )
        case 0x00, 0x04, 0x0c: (raw, width) = (span.integer(at: offset, as: UInt64.self), 8)
        default: return nil
        }
        guard let raw else { return nil }
        return (encoding & 0x70 == 0x10 ? place &+ raw : raw, width)
    }
}

extension ELFFile {
    /// The addresses of the function (or of the split-off part of one) that holds `address`.
    package func functionExtent(containing address: UInt64) -> Range<UInt64>? {
        let table = tables.unwind.withLock { cached in
            if let cached { return cached }
            let table = UnwindTable.parse(self)
            cached = table
            return table
        }
        return table.extent(containing: address, self)
    }
}

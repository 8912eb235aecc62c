import Glibc
import Synchronization

/// A bounds-checked reader of ELF64 little-endian x86-64 files.
///
/// Files are foreign: whatever they hold, a question that they cannot answer gives `nil` or an
/// empty result. Only the headers are read at once; tables are read when first asked for. Copies
/// share what was read.
package struct ELFFile: Sendable {
    package enum Kind: Sendable, Equatable {
        /// Linked to fixed addresses (`ET_EXEC`).
        case fixedAddress
        /// A shared object or a position-independent executable (`ET_DYN`).
        case relocatable
    }

    /// A program header.
    package struct Segment: Sendable, Equatable {
        package var type: UInt32
        package var flags: UInt32
        package var fileOffset: UInt64
        package var address: UInt64
        /// Bytes in the file.
        package var fileSize: UInt64
        /// Bytes in memory.
        package var memorySize: UInt64

        package var isExecutable: Bool { flags & 1 != 0 }
        package var isWritable: Bool { flags & 2 != 0 }
        /// The addresses that the file has bytes for.
        package var addresses: Range<UInt64> { address..<address.addingClamped(fileSize) }
    }

    /// A section header.
    package struct Section: Sendable, Equatable {
        package var name: String
        package var type: UInt32
        package var flags: UInt64
        package var address: UInt64
        package var fileOffset: UInt64
        package var size: UInt64
        package var link: UInt32
        package var entrySize: UInt64

        package var isAllocated: Bool { flags & 2 != 0 }
        package var isExecutable: Bool { flags & 4 != 0 }
        package var addresses: Range<UInt64> { address..<address.addingClamped(size) }
    }

    package let kind: Kind
    package let segments: [Segment]
    /// Empty where the section headers were stripped.
    package let sections: [Section]
    package let source: ELFSource
    let tables = Tables()
    private let loads: [Segment]
    /// Loaded segments and ranges looked at; the kernel's own limit for a program is 73 segments.
    private static let loadLimit = 128
    /// Address ranges with code: the executable sections, or segments where there are no sections.
    /// In rising order, none overlapping.
    package let codeRanges: [Range<UInt64>]

    /// Tables that are parsed on first use.
    final class Tables: Sendable {
        let dynamic = Mutex<ELFDynamic?>(nil)
        let symbols = Mutex<[String: ELFSymbol?]>([:])
        let relocations = Mutex<ELFRelocations?>(nil)
        let unwind = Mutex<UnwindTable?>(nil)
        /// What others have found out about the file, by what it is.
        let remembered = Mutex<[String: any Sendable]>([:])
    }

    /// What `find` says of the file, asked once for each `key`, copies of this value included: a stack that has recognised a
    /// file has most of what it needs to analyse it.
    package func remembered<Found: Sendable>(_ key: String, _ find: () -> Found) -> Found {
        let known = tables.remembered.withLock { $0[key] }
        if let known, let found = known as? Found { return found }
        let found = find()
        tables.remembered.withLock { $0[key] = found }
        return found
    }

    /// Opens the file at `path`.
    package init(path: String) throws(ELFError) {
        // O_NONBLOCK: a FIFO at this path must not hang us; it is refused as no regular file.
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw ELFError(.open, path, errno: errno) }
        try self.init(source: ELFSource(owning: descriptor, subject: path))
    }

    /// Reads through a duplicate of `fileDescriptor`; the caller keeps its own.
    package init(fileDescriptor: CInt) throws(ELFError) {
        try self.init(source: ELFSource(duplicating: fileDescriptor))
    }

    /// Reads a file that is in memory.
    package init(bytes: [UInt8]) throws(ELFError) {
        try self.init(source: ELFSource(bytes: bytes))
    }

    private init(source: ELFSource) throws(ELFError) {
        let subject = "ELF header"
        guard let header = source.read(at: 0, count: 64) else {
            throw ELFError(.read, subject, "the file has \(source.size) bytes")
        }
        guard header.starts(with: [0x7f, 0x45, 0x4c, 0x46]) else { throw ELFError(.parse, subject, "no ELF magic") }
        guard header[4] == 2, header[5] == 1 else { throw ELFError(.parse, subject, "not 64-bit little-endian") }
        guard header.u16(at: 18) == 62 else { throw ELFError(.parse, subject, "not for x86-64") }
        switch header.u16(at: 16) {
        case 2: kind = .fixedAddress
        case 3: kind = .relocatable
        case let type: throw ELFError(.parse, subject, "type \(type ?? 0) is no program or shared object")
        }
        self.source = source
        segments = try Self.parseSegments(source, header)
        sections = Self.parseSections(source, header)
        loads = Array(segments.filter { $0.type == 1 }.prefix(Self.loadLimit))
        // By section where possible: old linkers put constants into the executable segment.
        let named = sections.filter { $0.isExecutable && $0.isAllocated && $0.type == 1 }.map(\.addresses)
        codeRanges = Self.normalised(named.isEmpty ? loads.filter(\.isExecutable).map(\.addresses) : named)
    }

    private static func parseSegments(_ source: ELFSource, _ header: [UInt8]) throws(ELFError) -> [Segment] {
        let subject = "program headers"
        guard let offset = header.u64(at: 32), let size = header.u16(at: 54), let count = header.u16(at: 56),
            size == 56, count > 0, count < 0xffff
        else { throw ELFError(.parse, subject, "none, or of unknown size") }
        guard let bytes = source.read(at: offset, count: Int(count) * 56) else {
            throw ELFError(.read, subject, "they reach past the file's end")
        }
        var segments: [Segment] = []
        for base in stride(from: 0, to: bytes.count, by: 56) {
            guard let type = bytes.u32(at: base), let flags = bytes.u32(at: base + 4),
                let fileOffset = bytes.u64(at: base + 8), let address = bytes.u64(at: base + 16),
                let fileSize = bytes.u64(at: base + 32), let memorySize = bytes.u64(at: base + 40)
            else { continue }
            segments.append(
                Segment(
                    type: type, flags: flags, fileOffset: fileOffset, address: address, fileSize: fileSize,
                    memorySize: memorySize))
        }
        return segments
    }

    /// Sections are a help, not a need: headers that make no sense count as stripped.
    private static func parseSections(_ source: ELFSource, _ header: [UInt8]) -> [Section] {
        guard let offset = header.u64(at: 40), let size = header.u16(at: 58), let count = header.u16(at: 60),
            let nameTable = header.u16(at: 62), offset != 0, size == 64, count > 0, count <= 4096,
            let bytes = source.read(at: offset, count: Int(count) * 64)
        else { return [] }
        let names = Int(nameTable) * 64
        let nameBytes: [UInt8] =
            if let start = bytes.u64(at: names + 24), let length = bytes.u64(at: names + 32), length <= 1 << 20 {
                source.read(at: start, count: Int(length)) ?? []
            } else { [] }
        var sections: [Section] = []
        for base in stride(from: 0, to: bytes.count, by: 64) {
            guard let name = bytes.u32(at: base), let type = bytes.u32(at: base + 4),
                let flags = bytes.u64(at: base + 8), let address = bytes.u64(at: base + 16),
                let fileOffset = bytes.u64(at: base + 24), let size = bytes.u64(at: base + 32),
                let link = bytes.u32(at: base + 40), let entrySize = bytes.u64(at: base + 56)
            else { continue }
            sections.append(
                Section(
                    name: nameBytes.text(at: Int(name), limit: 128) ?? "", type: type, flags: flags,
                    address: address, fileOffset: fileOffset, size: size, link: link, entrySize: entrySize))
        }
        return sections
    }

    // MARK: - Addresses

    /// The loaded segment whose file bytes hold `address`; of overlapping ones, the first.
    package func segment(at address: UInt64) -> Segment? {
        loads.first { $0.addresses.contains(address) }
    }

    /// The offset in the file of the byte at `address`.
    package func fileOffset(ofAddress address: UInt64) -> UInt64? {
        guard let segment = segment(at: address) else { return nil }
        let (offset, overflow) = segment.fileOffset.addingReportingOverflow(address - segment.address)
        return overflow || offset >= source.size ? nil : offset
    }

    /// The address at which the byte at `offset` in the file is loaded.
    package func address(ofFileOffset offset: UInt64) -> UInt64? {
        for segment in loads where offset >= segment.fileOffset && offset - segment.fileOffset < segment.fileSize {
            return segment.address &+ (offset - segment.fileOffset)
        }
        return nil
    }

    /// Exactly `count` bytes at `address`, as the file has them (relocations not applied).
    package func bytes(at address: UInt64, count: Int) -> [UInt8]? {
        guard count >= 0, let segment = segment(at: address),
            UInt64(count) <= segment.fileSize - (address - segment.address),
            let offset = fileOffset(ofAddress: address)
        else { return nil }
        return source.read(at: offset, count: count)
    }

    /// Up to `count` bytes at `address`: fewer at the segment's end.
    package func bytes(at address: UInt64, upTo count: Int) -> [UInt8] {
        guard count > 0, let segment = segment(at: address) else { return [] }
        let available = min(UInt64(count), segment.fileSize - (address - segment.address))
        if let bytes = bytes(at: address, count: Int(available)) { return bytes }
        // The segment promises more than the file has.
        guard let offset = fileOffset(ofAddress: address) else { return [] }
        return source.read(at: offset, count: Int(min(available, source.size - offset))) ?? []
    }

    /// The NUL-terminated text at `address`.
    package func text(at address: UInt64, limit: Int = 256) -> String? {
        bytes(at: address, upTo: limit).text(at: 0, limit: limit)
    }

    /// Whether `address` is in one of `codeRanges`.
    package func isCode(_ address: UInt64) -> Bool { codeRanges.contains { $0.contains(address) } }

    /// Address ranges with data that the file holds, constants included. In rising order, none overlapping.
    package var dataRanges: [Range<UInt64>] {
        let named = sections.filter { !$0.isExecutable && $0.isAllocated && $0.type == 1 && $0.address != 0 }
            .map(\.addresses)
        return Self.normalised(named.isEmpty ? loads.filter { !$0.isExecutable }.map(\.addresses) : named)
    }

    /// Hostile headers may name the same bytes a thousand times; a search must see them once.
    private static func normalised(_ ranges: [Range<UInt64>]) -> [Range<UInt64>] {
        var result: [Range<UInt64>] = []
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) where !range.isEmpty {
            let start = max(range.lowerBound, result.last?.upperBound ?? 0)
            guard start < range.upperBound, result.count < loadLimit else { continue }
            result.append(start..<range.upperBound)
        }
        return result
    }

    /// The section, or without sections the segment, that holds `address`.
    package func region(containing address: UInt64) -> Range<UInt64>? {
        sections.first { $0.isAllocated && $0.addresses.contains(address) }?.addresses
            ?? segment(at: address)?.addresses
    }

    /// The program interpreter's path (`PT_INTERP`).
    package var interpreter: String? {
        guard let segment = segments.first(where: { $0.type == 3 }), segment.fileSize <= 4096,
            let bytes = source.read(at: segment.fileOffset, count: Int(segment.fileSize))
        else { return nil }
        return bytes.text(at: 0)
    }
}

extension UInt64 {
    package func addingClamped(_ other: UInt64) -> UInt64 {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? .max : sum
    }
}

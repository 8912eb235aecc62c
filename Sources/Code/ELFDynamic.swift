/// What `PT_DYNAMIC` says: it survives the stripping of section headers.
import Synchronization

struct ELFDynamic: Sendable {
    var values: [Int64: UInt64] = [:]
    var neededOffsets: [UInt64] = []
    /// The dynamic symbol table, the strings it names, and how many symbols there are.
    var symbolTable: UInt64?
    var stringTable: [UInt8] = []

    enum Tag {
        static let pltRelocationSize: Int64 = 2
        static let stringTable: Int64 = 5
        static let symbolTable: Int64 = 6
        static let rela: Int64 = 7
        static let relaSize: Int64 = 8
        static let stringSize: Int64 = 10
        static let soName: Int64 = 14
        static let rPath: Int64 = 15
        static let pltRelocations: Int64 = 23
        static let runPath: Int64 = 29
        static let relrSize: Int64 = 35
        static let relr: Int64 = 36
        static let gnuHash: Int64 = 0x6fff_fef5
        static let hash: Int64 = 4
    }

    static func parse(_ file: ELFFile) -> ELFDynamic {
        var dynamic = ELFDynamic()
        guard let segment = file.segments.first(where: { $0.type == 2 }), segment.fileSize <= 1 << 20,
            let bytes = file.source.read(at: segment.fileOffset, count: Int(segment.fileSize))
        else { return dynamic }
        for base in stride(from: 0, to: bytes.count - bytes.count % 16, by: 16) {
            guard let rawTag = bytes.u64(at: base), let value = bytes.u64(at: base + 8), rawTag != 0 else { break }
            let tag = Int64(bitPattern: rawTag)
            if tag == 1 { dynamic.neededOffsets.append(value) } else { dynamic.values[tag] = value }
        }
        dynamic.symbolTable = dynamic.values[Tag.symbolTable]
        if let address = dynamic.values[Tag.stringTable], let size = dynamic.values[Tag.stringSize],
            size <= UInt64(ELFSource.readLimit)
        {
            dynamic.stringTable = file.bytes(at: address, count: Int(size)) ?? []
        }
        return dynamic
    }

    func text(_ tag: Int64) -> String? {
        values[tag].flatMap { $0 < UInt64(stringTable.count) ? stringTable.text(at: Int($0)) : nil }
    }
}

extension ELFFile {
    var dynamic: ELFDynamic {
        tables.dynamic.withLock { cached in
            if let cached { return cached }
            let dynamic = ELFDynamic.parse(self)
            cached = dynamic
            return dynamic
        }
    }

    /// Names of the libraries that the file asks for (`DT_NEEDED`), in order.
    package var neededLibraries: [String] {
        let dynamic = dynamic
        return dynamic.neededOffsets.prefix(4096).compactMap {
            $0 < UInt64(dynamic.stringTable.count) ? dynamic.stringTable.text(at: Int($0)) : nil
        }
    }
    /// `DT_SONAME`.
    package var soName: String? { dynamic.text(ELFDynamic.Tag.soName) }
    /// `DT_RUNPATH`, colon-separated, unexpanded.
    package var runPath: String? { dynamic.text(ELFDynamic.Tag.runPath) }
    /// `DT_RPATH`, colon-separated, unexpanded.
    package var rPath: String? { dynamic.text(ELFDynamic.Tag.rPath) }

    /// The GNU build ID in lower-case hexadecimal digits.
    package var buildID: String? {
        for segment in segments where segment.type == 4 && segment.fileSize <= 1 << 16 {
            guard let note = source.read(at: segment.fileOffset, count: Int(segment.fileSize)) else { continue }
            var offset = 0
            while let nameSize = note.u32(at: offset), let size = note.u32(at: offset + 4),
                let type = note.u32(at: offset + 8), nameSize <= 256, size <= 1 << 16
            {
                let content = offset + 12 + (Int(nameSize) + 3) & ~3
                if type == 3, note.text(at: offset + 12) == "GNU", content + Int(size) <= note.count {
                    return note[content..<content + Int(size)].map { byte in
                        (byte < 16 ? "0" : "") + String(byte, radix: 16)
                    }.joined()
                }
                offset = content + (Int(size) + 3) & ~3
            }
        }
        return nil
    }
}

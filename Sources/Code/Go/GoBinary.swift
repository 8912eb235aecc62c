/// Why a Go binary cannot be read.
package enum GoError: Error, Sendable, Equatable {
    /// It is not Go's.
    case notGo
    /// Made by Go before 1.18.
    case tooOld
    /// A table that it must have is not there or of no known kind; which, in a sentence.
    case unknown(String)
}

/// What Go leaves in every binary for its own runtime, stripped or not: functions by name, and types with the names and offsets
/// of their fields. Go 1.18 and later; no table of versions.
package struct GoBinary: Sendable {
    let image: GoImage
    private let functions: GoFunctions
    /// runtime.firstmoduledata: where the tables and the code are.
    private let module: UInt64
    /// Where the code begins: functions' places are relative to it.
    private let text: UInt64

    /// A quick look: whether Go made the file.
    package static func isGo(_ file: ELFFile) -> Bool {
        if !file.sections.isEmpty {
            return file.sections.contains {
                $0.isAllocated && ($0.name == ".go.buildinfo" || $0.name.hasSuffix("gopclntab"))
            }
        }
        switch search(GoImage(file)) {
        case .found, .tooOld: return true
        case .none, .unknown: return false
        }
    }

    package init(_ file: ELFFile) throws(GoError) {
        image = GoImage(file)
        switch Self.search(image) {
        case .found(let module): (functions, self.module, text) = (module.functions, module.address, module.text)
        case .tooOld: throw .tooOld
        case .unknown(let what): throw .unknown(what)
        case .none: throw .notGo
        }
    }

    /// The tables of the program itself.
    private struct Module {
        var functions: GoFunctions
        var address: UInt64
        var text: UInt64
    }

    private enum Search {
        case found(Module)
        case tooOld
        case unknown(String)
        case none
    }

    private static func search(_ image: GoImage) -> Search {
        let tables = GoFunctions.search(image)
        if let module = module(image, tables.found) { return .found(module) }
        if !tables.found.isEmpty { return .unknown("its runtime's table of tables (moduledata) is not found") }
        if tables.hasOld { return .tooOld }
        return tables.hasUnknown ? .unknown("its table of functions is of no known kind") : .none
    }

    /// Words of runtime.moduledata that have been the same since 1.16: 0 the table of functions, 16 to 18 its entries as a
    /// slice, 22 the code's beginning.
    private enum Word {
        static let entries: UInt64 = 16
        static let entryCount: UInt64 = 17
        static let text: UInt64 = 22
    }

    private static let candidateLimit = 1024

    /// The program's own: a file that it carries in its constants, or in its data, is not relocated, and its table of functions
    /// is not where it would have to be.
    private static func module(_ image: GoImage, _ tables: [GoFunctions]) -> Module? {
        let tables = Dictionary(tables.map { ($0.address, $0) }) { first, _ in first }
        guard let first = tables.keys.min(), let last = tables.keys.max() else { return nil }
        var found = module(image, tables, at: image.relocated(to: tables.keys, limit: candidateLimit))
        for segment in image.file.segments.lazy.filter({ $0.type == 1 && $0.isWritable }).prefix(16) where found == nil
        {
            var left = candidateLimit
            image.slices(of: segment.addresses, margin: 8) { bytes, start, own in
                let span = bytes.span
                var at = own.lowerBound + Int((8 - (start + UInt64(own.lowerBound)) % 8) % 8)
                while at < own.upperBound, let word: UInt64 = span.integer(at: at), left > 0, found == nil {
                    if word >= first, word <= last, tables[word] != nil {
                        left -= 1
                        found = module(image, tables, at: [start + UInt64(at)])
                    }
                    at += 8
                }
                return left > 0 && found == nil
            }
        }
        return found
    }

    private static func module(_ image: GoImage, _ tables: [UInt64: GoFunctions], at candidates: [UInt64]) -> Module? {
        for candidate in candidates {
            guard let functions = image.pointer(at: candidate).flatMap({ tables[$0] }),
                image.pointer(at: candidate &+ 8 * Word.entries) == functions.entries,
                image.u64(at: candidate &+ 8 * Word.entryCount) == UInt64(functions.count) + 1,
                let text = image.pointer(at: candidate &+ 8 * Word.text), image.file.isCode(text)
            else { continue }
            return Module(functions: functions, address: candidate, text: text)
        }
        return nil
    }

    // MARK: functions

    /// The names of functions that end in `suffix`, `limit` at most. Reads all names.
    package func functionNames(endingIn suffix: String, limit: Int = 64) -> [String] {
        functions.names(endingIn: suffix, image, limit: limit)
    }

    /// The functions of a package by their names. Reads the whole table.
    package func functions(of package: String) -> [String: GoFunction] {
        Dictionary(functions.functions(of: package, text: text, image).map { ($0.name, $0) }) { first, _ in first }
    }

    // MARK: types

    /// Reads the data in which they may be twice at most.
    package func types() -> GoTypes? {
        // Behind the words that all releases share stand those that do not: one of them is where the types begin.
        let words = (Word.text..<60).compactMap { image.pointer(at: module &+ 8 * $0) }
        return GoTypes(image, words: words + [functions.address])
    }

    // MARK: version

    /// The release that made it (`go1.27.3`), if the file tells it.
    package var version: String? { Self.version(of: image) }

    private static let versionMagic: [UInt8] = [0xff] + Array(" Go buildinf:".utf8)

    /// The version text of a file that need not be readable otherwise.
    package static func version(of file: ELFFile) -> String? { version(of: GoImage(file)) }

    private static func version(of image: GoImage) -> String? {
        guard let place = versionPlace(image), let head = image.bytes(at: place, count: 32) else { return nil }
        var text: [UInt8]?
        if head[15] & 2 != 0 {
            // Since 1.18: the length and the text follow.
            if let length = image.u8(at: place + 32), length < 0x80 {
                text = image.bytes(at: place + 33, count: Int(length))
            }
        } else if let string = image.pointer(at: place + 16), let start = image.pointer(at: string),
            let length = image.u64(at: string &+ 8), length < 128
        {
            text = image.bytes(at: start, count: Int(length))
        }
        // `go1.21.13 X:boringcrypto`; a name of one's own may stand there, too.
        guard let text, let word = text.split(separator: UInt8(ascii: " ")).first, word.count <= 32,
            word.starts(with: Array("go1.".utf8)),
            word.allSatisfy({ (0x21...0x7e).contains($0) })
        else { return nil }
        return String(decoding: word, as: UTF8.self)
    }

    private static func versionPlace(_ image: GoImage) -> UInt64? {
        if let section = image.file.sections.first(where: { $0.name == ".go.buildinfo" }) {
            return image.bytes(at: section.address, count: versionMagic.count) == versionMagic ? section.address : nil
        }
        var place: UInt64?
        for segment in image.file.segments.lazy.filter({ $0.type == 1 && $0.isWritable }).prefix(16) {
            image.find(versionMagic, in: segment.addresses, margin: 16) { _, start, at in
                guard (start + UInt64(at)) % 16 == 0 else { return true }
                place = start + UInt64(at)
                return false
            }
            if place != nil { break }
        }
        return place
    }
}

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
        switch GoFunctions.search(GoImage(file)) {
        case .found, .tooOld: return true
        case .none, .unknown: return false
        }
    }

    package init(_ file: ELFFile) throws(GoError) {
        image = GoImage(file)
        switch GoFunctions.search(image) {
        case .found(let functions): self.functions = functions
        case .tooOld: throw .tooOld
        case .unknown: throw .unknown("its table of functions is of no known kind")
        case .none: throw .notGo
        }
        guard let (module, text) = Self.module(image, functions) else {
            throw .unknown("its runtime's table of tables (moduledata) is not found")
        }
        (self.module, self.text) = (module, text)
    }

    /// Words of runtime.moduledata that have been the same since 1.16: 0 the table of functions, 16 to 18 its entries as a
    /// slice, 22 the code's beginning.
    private enum Word {
        static let entries: UInt64 = 16
        static let entryCount: UInt64 = 17
        static let text: UInt64 = 22
    }

    private static let candidateLimit = 1024

    private static func module(_ image: GoImage, _ functions: GoFunctions) -> (module: UInt64, text: UInt64)? {
        var candidates = image.relocated(to: functions.address, limit: candidateLimit)
        let wanted = withUnsafeBytesOf(functions.address)
        for segment in image.file.segments.lazy.filter({ $0.type == 1 && $0.isWritable }).prefix(16) {
            image.find(wanted, in: segment.addresses, margin: 8) { _, start, at in
                if (start + UInt64(at)) % 8 == 0 { candidates.append(start + UInt64(at)) }
                return candidates.count < 2 * candidateLimit
            }
        }
        for candidate in candidates
        where image.pointer(at: candidate) == functions.address
            && image.pointer(at: candidate &+ 8 * Word.entries) == functions.entries
            && image.u64(at: candidate &+ 8 * Word.entryCount) == UInt64(functions.count) + 1
        {
            if let text = image.pointer(at: candidate &+ 8 * Word.text) { return (candidate, text) }
        }
        return nil
    }

    private static func withUnsafeBytesOf(_ value: UInt64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) }
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

    /// Reads all data of the file.
    package func types() -> GoTypes? {
        // Behind the words that all releases share stand those that do not: one of them is what types' names are relative to.
        let words = (Word.text..<60).compactMap { image.pointer(at: module &+ 8 * $0) }
        return GoTypes(image, bases: words, functions: functions.address..<functions.entries)
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

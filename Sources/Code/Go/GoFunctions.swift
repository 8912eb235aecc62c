/// A function of a Go binary.
package struct GoFunction: Sendable, Equatable {
    /// `crypto/tls.(*Conn).Handshake`; a dot in the last element of the package's path is `%2e`.
    package var name: String
    package var addresses: Range<UInt64>
}

/// Go's table of functions (runtime.pclntab), of Go 1.18 and later, which every binary has: it is needed for stack traces.
struct GoFunctions: Sendable {
    /// Where the table begins.
    let address: UInt64
    /// How many functions it has.
    let count: Int
    /// Their names, each NUL-terminated.
    let names: Range<UInt64>
    /// Pairs of u32: a function's beginning as an offset into the code, and where its entry is from here.
    let entries: UInt64

    /// More functions than real programs have (the largest seen: 310,000).
    private static let countLimit: UInt64 = 4 << 20
    private static let nameLimit = 512

    /// What is in a file.
    struct Search {
        /// In the order of their addresses. Programs that the file carries in its constants have tables of their own.
        var found: [GoFunctions] = []
        /// There are tables of Go before 1.18, by their magic number.
        var hasOld = false
        /// There are tables of no known kind.
        var hasUnknown = false
    }

    fileprivate enum Table {
        case known(GoFunctions)
        case old, unknown
    }

    /// More than a program carries in a file without sections, where all have to be looked at.
    private static let tableLimit = 4096

    /// Finds the table: by its section's name, else by its first bytes.
    static func search(_ image: GoImage) -> Search {
        var search = Search()
        if let section = image.file.sections.first(where: { $0.name.hasSuffix("gopclntab") && $0.isAllocated }) {
            search.take(read(image, at: section.address) ?? .unknown)
            return search
        }
        // C's linker puts it among other data of a position-independent program.
        guard image.file.sections.isEmpty || image.file.sections.contains(where: { $0.name == ".go.buildinfo" }) else {
            return search
        }
        for range in DataSearch.areas(image.file) {
            image.find([0xff, 0xff, 0xff, 0, 0, 1, 8], in: range, margin: 8) { _, start, at in
                let address = start + UInt64(at) &- 1
                // Bytes that look like a table's first say nothing yet.
                if address % 16 == 0, let table = read(image, at: address) {
                    if case .unknown = table { return true }
                    search.take(table)
                }
                return search.found.count < tableLimit
            }
        }
        return search
    }

    /// The table at `address`; `nil` where there is none.
    private static func read(_ image: GoImage, at address: UInt64) -> Table? {
        guard let head = image.bytes(at: address, count: 72), let magic = head.u32(at: 0), magic >> 8 == 0xff_ffff
        else { return nil }
        switch magic & 0xff {
        // 1.18 and 1.19; 1.20 and later.
        case 0xf0, 0xf1: break
        // Before 1.16; 1.16 and 1.17.
        case 0xfb, 0xfa: return .old
        default: return .unknown
        }
        // runtime.pcHeader: magic, pad, minLC, ptrSize, nfunc, nfiles, textStart, then offsets.
        guard head[4] == 0, head[5] == 0, head[6] == 1, head[7] == 8, let count = head.u64(at: 8),
            let names = head.u64(at: 32), let units = head.u64(at: 40), let entries = head.u64(at: 64),
            count > 0, count <= countLimit, names < units, units < entries, entries < 1 << 32
        else { return .unknown }
        return .known(
            GoFunctions(
                address: address, count: Int(count), names: address &+ names..<address &+ units,
                entries: address &+ entries))
    }

    /// The names that end in `suffix`, `limit` at most.
    func names(endingIn suffix: String, _ image: GoImage, limit: Int) -> [String] {
        var found: [String] = []
        image.find(Array(suffix.utf8) + [0], in: names, margin: Self.nameLimit) { bytes, _, at in
            let start = bytes[..<at].lastIndex(of: 0).map { $0 + 1 } ?? 0
            found.append(String(decoding: bytes[start..<at], as: UTF8.self) + suffix)
            return found.count < limit
        }
        return found
    }

    /// The functions of a package, those of its types included.
    ///
    /// - Parameters:
    ///   - package: its path as it stands in the names of functions.
    ///   - text: the code's beginning.
    func functions(of package: String, text: UInt64, _ image: GoImage) -> [GoFunction] {
        var wanted: [UInt32: String] = [:]
        image.find([0] + Array(package.utf8) + [UInt8(ascii: ".")], in: names, margin: Self.nameLimit) {
            bytes, start, at in
            guard let name = bytes.text(at: at + 1, limit: Self.nameLimit) else { return true }
            wanted[UInt32(truncatingIfNeeded: start + UInt64(at) + 1 - names.lowerBound)] = name
            return wanted.count < Self.packageLimit
        }
        return wanted.isEmpty ? [] : functions(named: wanted, text: text, image)
    }

    /// Functions of one package; crypto/tls has 900.
    private static let packageLimit = 16_384

    /// Goes through all entries, which stand in rising order.
    private func functions(named wanted: [UInt32: String], text: UInt64, _ image: GoImage) -> [GoFunction] {
        var found: [GoFunction] = []
        var window = Window(image: image, reloads: 64 + 4 * count / GoImage.sliceSize)
        let all = entries..<entries.addingClamped(UInt64(count) * 8 + 4)
        image.slices(of: all, margin: 8) { bytes, _, own in
            var at = own.lowerBound
            while at < own.upperBound, let start = bytes.u32(at: at), let place = bytes.u32(at: at + 4),
                let end = bytes.u32(at: at + 8)
            {
                at += 8
                // runtime._func: its beginning, then its name's offset.
                guard let name = window.u32(at: entries &+ UInt64(place) &+ 4) else {
                    if window.isExhausted { return false }
                    continue
                }
                guard let name = wanted[name], start < end else { continue }
                found.append(
                    GoFunction(name: name, addresses: text &+ UInt64(start)..<text &+ UInt64(end)))
                if found.count > wanted.count { return false }
            }
            return true
        }
        return found
    }

    /// Random access to what is mostly asked for in rising order: a slice at a time, and so many of them.
    private struct Window {
        let image: GoImage
        /// What a table takes whose entries are not in order is not spent on it.
        var reloads: Int
        private var bytes: [UInt8] = []
        private var start: UInt64 = 0
        private(set) var isExhausted = false

        init(image: GoImage, reloads: Int) {
            self.image = image
            self.reloads = reloads
        }

        mutating func u32(at address: UInt64) -> UInt32? {
            if address >= start, address - start < UInt64(bytes.count), let value = bytes.u32(at: Int(address - start))
            {
                return value
            }
            guard reloads > 0 else {
                isExhausted = true
                return nil
            }
            reloads -= 1
            start = address
            bytes = image.file.bytes(at: address, upTo: GoImage.sliceSize)
            return bytes.u32(at: 0)
        }
    }
}

extension GoFunctions.Search {
    fileprivate mutating func take(_ table: GoFunctions.Table) {
        switch table {
        case .known(let functions): found.append(functions)
        case .old: hasOld = true
        case .unknown: hasUnknown = true
        }
    }
}

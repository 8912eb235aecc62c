/// A symbol that the file defines.
import Synchronization

package struct ELFSymbol: Sendable, Equatable {
    package var address: UInt64
    /// Bytes; 0 where the table does not say.
    package var size: UInt64
    /// A variable, not code: a program that looks functions up by dlsym(3) may name its pointers after them.
    package var isData = false
}

extension ELFFile {
    private static let symbolSize = 24
    /// More symbols than any real program has (Chromium with its debug symbols: 2 million).
    private static let symbolLimit = 8 << 20

    /// The defined ones of the wanted symbols, from the dynamic symbol table, and for those that it
    /// does not have, from `.symtab`. Versions (`name@@VERSION`) are ignored.
    package func symbols(named names: [String]) -> [String: ELFSymbol] {
        var found: [String: ELFSymbol] = [:]
        var unknown: [String] = []
        tables.symbols.withLock { cache in
            for name in names {
                switch cache[name] {
                case .some(.some(let symbol)): found[name] = symbol
                case .some(.none): break
                case .none: unknown.append(name)
                }
            }
        }
        guard !unknown.isEmpty else { return found }
        var fresh = dynamicSymbols(unknown)
        let missing = unknown.filter { fresh[$0] == nil }
        if !missing.isEmpty { fresh.merge(staticSymbols(missing)) { first, _ in first } }
        tables.symbols.withLock { cache in
            for name in unknown { cache.updateValue(fresh[name], forKey: name) }
        }
        return found.merging(fresh) { first, _ in first }
    }

    /// The same without variables.
    package func functions(named names: [String]) -> [String: ELFSymbol] {
        symbols(named: names).filter { !$0.value.isData }
    }

    /// Whether the dynamic symbol table defines any of the functions. Quick: `.symtab` is not read.
    package func exportsAny(of names: [String]) -> Bool { dynamicSymbols(names).contains { !$0.value.isData } }

    /// The address of one defined symbol.
    package func symbol(_ name: String) -> ELFSymbol? { symbols(named: [name])[name] }

    // MARK: - Dynamic symbols, by hash

    private func dynamicSymbols(_ names: [String]) -> [String: ELFSymbol] {
        let dynamic = dynamic
        guard let table = dynamic.symbolTable else { return [:] }
        guard let hashAddress = dynamic.values[ELFDynamic.Tag.gnuHash], let hash = GNUHash(self, hashAddress) else {
            return linearDynamicSymbols(names, dynamic, table)
        }
        var found: [String: ELFSymbol] = [:]
        for name in names {
            let text = Array(name.utf8)
            let index = hash.lookup(self, text) { index in
                guard let entry = dynamicSymbol(index, table), let offset = entry.u32(at: 0) else { return false }
                return Self.matches(text, dynamic.stringTable, Int(offset))
            }
            guard let index, let entry = dynamicSymbol(index, table) else { continue }
            found[name] = Self.definition(entry.span, 0)
        }
        return found
    }

    private func dynamicSymbol(_ index: UInt32, _ table: UInt64) -> [UInt8]? {
        bytes(at: table &+ UInt64(index) * UInt64(Self.symbolSize), count: Self.symbolSize)
    }

    /// Without a GNU hash table the count comes from `.dynsym` or from the old hash table.
    private func linearDynamicSymbols(
        _ names: [String], _ dynamic: ELFDynamic, _ table: UInt64
    ) -> [String: ELFSymbol] {
        var count = sections.first { $0.type == 11 }.map { $0.size / UInt64(Self.symbolSize) } ?? 0
        if count == 0, let hash = dynamic.values[ELFDynamic.Tag.hash] {
            count = UInt64(bytes(at: hash &+ 4, count: 4)?.u32(at: 0) ?? 0)
        }
        guard count <= UInt64(Self.symbolLimit), let entries = bytes(at: table, count: Int(count) * Self.symbolSize)
        else { return [:] }
        return Self.search(entries, dynamic.stringTable, names)
    }

    // MARK: - Static symbols, in one pass

    private func staticSymbols(_ names: [String]) -> [String: ELFSymbol] {
        guard let table = sections.first(where: { $0.type == 2 }), Int(table.link) < sections.count,
            table.size <= UInt64(Self.symbolLimit * Self.symbolSize),
            let entries = source.read(at: table.fileOffset, count: Int(table.size)),
            case let strings = sections[Int(table.link)], strings.size <= UInt64(ELFSource.readLimit),
            let text = source.read(at: strings.fileOffset, count: Int(strings.size))
        else { return [:] }
        return Self.search(entries, text, names)
    }

    /// Compares bytes in place: no String is made for the hundred thousands that nobody asked for.
    private static func search(_ entries: [UInt8], _ strings: [UInt8], _ names: [String]) -> [String: ELFSymbol] {
        // Buckets by the name's first byte.
        var buckets: [[(name: String, text: [UInt8])]] = Array(repeating: [], count: 256)
        var left = names.count
        for name in names {
            let text = Array(name.utf8)
            if let first = text.first { buckets[Int(first)].append((name, text)) }
        }
        var found: [String: ELFSymbol] = [:]
        let span = entries.span
        let stringSpan = strings.span
        var base = 0
        while base <= span.count - symbolSize, left > 0 {
            defer { base += symbolSize }
            guard let nameOffset = span.integer(at: base, as: UInt32.self), Int(nameOffset) < stringSpan.count
            else { continue }
            let bucket = Int(stringSpan[Int(nameOffset)])
            guard !buckets[bucket].isEmpty else { continue }
            for wanted in buckets[bucket] where matches(wanted.text, strings, Int(nameOffset)) {
                guard found[wanted.name] == nil, let symbol = definition(span, base) else { continue }
                found[wanted.name] = symbol
                left -= 1
            }
        }
        return found
    }

    /// Whether the string at `offset` is `text`, with or without a version behind it.
    private static func matches(_ text: [UInt8], _ strings: [UInt8], _ offset: Int) -> Bool {
        let span = strings.span
        guard span.holds(text, at: offset), offset + text.count < span.count else { return false }
        let end = span[offset + text.count]
        return end == 0 || end == UInt8(ascii: "@")
    }

    /// The symbol, if the file defines it: in a section, and a function, an object or untyped.
    private static func definition(_ entry: Span<UInt8>, _ base: Int) -> ELFSymbol? {
        guard let info: UInt8 = entry.integer(at: base + 4), let section: UInt16 = entry.integer(at: base + 6),
            let address: UInt64 = entry.integer(at: base + 8), let size: UInt64 = entry.integer(at: base + 16),
            section != 0, address != 0, info & 15 <= 2
        else { return nil }
        return ELFSymbol(address: address, size: size, isData: info & 15 == 1)
    }

    /// The name and, where the file itself defines it, the value of dynamic symbol `index`.
    func dynamicSymbol(at index: UInt32) -> (name: String, value: UInt64?)? {
        let dynamic = dynamic
        guard let table = dynamic.symbolTable, let entry = dynamicSymbol(index, table), let offset = entry.u32(at: 0),
            let name = dynamic.stringTable.text(at: Int(offset))
        else { return nil }
        return (name, Self.definition(entry.span, 0)?.address)
    }
}

/// `DT_GNU_HASH`: finds a dynamic symbol without reading the table.
private struct GNUHash {
    let buckets: UInt64
    let bucketCount: UInt32
    let chains: UInt64
    let firstSymbol: UInt32

    init?(_ file: ELFFile, _ address: UInt64) {
        guard let header = file.bytes(at: address, count: 16), let bucketCount = header.u32(at: 0),
            let firstSymbol = header.u32(at: 4), let bloomCount = header.u32(at: 8), bucketCount > 0
        else { return nil }
        self.bucketCount = bucketCount
        self.firstSymbol = firstSymbol
        buckets = address &+ 16 &+ UInt64(bloomCount) * 8
        chains = buckets &+ UInt64(bucketCount) * 4
    }

    func lookup(_ file: ELFFile, _ name: [UInt8], matches: (UInt32) -> Bool) -> UInt32? {
        var hash: UInt32 = 5381
        for byte in name { hash = hash &* 33 &+ UInt32(byte) }
        guard var index = file.bytes(at: buckets &+ UInt64(hash % bucketCount) * 4, count: 4)?.u32(at: 0),
            index >= firstSymbol
        else { return nil }
        // A chain ends with a set low bit; a hostile one may not.
        for _ in 0..<4096 {
            guard let entry = file.bytes(at: chains &+ UInt64(index - firstSymbol) * 4, count: 4)?.u32(at: 0)
            else { return nil }
            if entry | 1 == hash | 1, matches(index) { return index }
            if entry & 1 != 0 || index == .max { return nil }
            index += 1
        }
        return nil
    }
}

import Code

/// OpenSSL inside a program without symbols: found by the shape of its tables.
enum StrippedOpenSSL {
    /// Less code than this holds no TLS library.
    private static let smallestCode: UInt64 = 1 << 20
    /// Most bytes of constants searched.
    private static let searchLimit: UInt64 = 64 << 20

    /// Whether the constants hold texts that only OpenSSL has together. Bounded by `searchLimit`.
    static func recognises(_ file: ELFFile) -> Bool {
        guard file.codeSize >= smallestCode else { return false }
        return OpenSSL.marks.allSatisfy { text in
            var found = false
            DataSearch.find(file, text, limit: searchLimit) { _, _ in
                found = true
                return true
            }
            return found
        }
    }

    /// The method tables, from the three any-version tables among all that look like one.
    static func methods(_ file: ELFFile) -> MethodTables? {
        for area in DataSearch.areas(file) {
            let tables = MethodTables.candidates(file, area).filter { candidate in
                candidate.version == MethodTables.anyVersion
                    && MethodTables.slots(file, candidate.address).allSatisfy { $0.map(file.isCode) ?? false }
            }
            .map(\.address)
            guard tables.count == 3 else { continue }
            // Each table but the full one lacks accept or connect; try the three, and both orders of the others.
            for (full, first, second) in [(0, 1, 2), (1, 0, 2), (2, 0, 1)] {
                let result = MethodTables(file, tables[full], tables[first], tables[second], area)
                guard let result else { continue }
                return ordered(file, result, tables[first], tables[second])
            }
        }
        return nil
    }

    /// Tells accept from connect: shape alone cannot, but in every release accept's slot comes first.
    private static func ordered(
        _ file: ELFFile, _ methods: MethodTables, _ first: UInt64, _ second: UInt64
    ) -> MethodTables {
        let slots = MethodTables.slots(file, methods.full)
        guard let accept = slots.firstIndex(of: methods.accept), let connect = slots.firstIndex(of: methods.connect),
            accept > connect
        else { return methods }
        var swapped = methods
        swap(&swapped.accept, &swapped.connect)
        return swapped
    }
}

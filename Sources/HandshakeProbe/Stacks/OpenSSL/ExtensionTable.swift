import Code

/// `ext_defs` of `ssl/statem/extensions.c`: how each TLS extension is parsed and written.
enum ExtensionTable {
    static let alpn: UInt32 = 16
    /// u32 type, u32 context, then init, parse_ctos, parse_stoc, construct_stoc, construct_ctos, final.
    private static let entrySize: UInt64 = 56
    private static let parseServerSlot: UInt64 = 24
    /// The table begins so in every release: renegotiation_info, server_name, max_fragment_length.
    private static let firstTypes: [UInt32] = [0xff01, 0, 1]
    private static let entryLimit: UInt64 = 48

    /// The function that parses a server's answer for the extension `type`. Searched in the
    /// section of `near`, then in the others, within `DataSearch`'s limits.
    static func parser(_ file: ELFFile, near: UInt64, type: UInt32) -> UInt64? {
        var areas = DataSearch.areas(file).filter { !$0.contains(near) }
        if let own = file.region(containing: near) { areas.insert(own, at: 0) }
        for area in areas {
            for table in tables(file, area) {
                if let function = parser(file, table, type) { return function }
            }
        }
        return nil
    }

    private static func tables(_ file: ELFFile, _ area: Range<UInt64>) -> [UInt64] {
        let start = (area.lowerBound &+ 7) & ~7
        guard start >= area.lowerBound, start < area.upperBound else { return [] }
        let bytes = file.bytes(at: start, upTo: Int(min(area.upperBound - start, DataSearch.areaLimit)))
        let span = bytes.span
        var found: [UInt64] = []
        var offset = 0
        while offset <= span.count - 3 * Int(entrySize), found.count < 64 {
            defer { offset += 8 }
            guard span[offset] == 0x01, span[offset + 1] == 0xff else { continue }
            let matches = firstTypes.enumerated().allSatisfy { index, type in
                let base = offset + index * Int(entrySize)
                guard let context: UInt32 = span.integer(at: base + 4) else { return false }
                return span.integer(at: base, as: UInt32.self) == type && context != 0 && context < 1 << 20
            }
            if matches { found.append(start &+ UInt64(offset)) }
        }
        return found
    }

    private static func parser(_ file: ELFFile, _ table: UInt64, _ wanted: UInt32) -> UInt64? {
        for index in 0..<entryLimit {
            let entry = table &+ index * entrySize
            guard let head = file.bytes(at: entry, count: 8), let type = head.u32(at: 0), type <= 0xffff,
                // Every pointer is a function, or none.
                (1...6).allSatisfy({ slot in
                    file.pointer(at: entry &+ UInt64(slot) * 8).map(file.isCode) ?? true
                })
            else { return nil }
            if type == wanted { return file.pointer(at: entry &+ parseServerSlot) }
        }
        return nil
    }
}

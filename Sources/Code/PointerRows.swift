/// Tables of code pointers, found by where the pointers stand.
extension ELFFile {
    /// Addresses of the first pointer of each row in tables whose rows have `pointers` pointers side by side and then as many bytes
    /// without one as make a row `stride` bytes: of tables with at least `rows` rows. From the relocations alone: nothing for a
    /// file linked to fixed addresses.
    package func pointerRows(pointers: Int, stride: UInt64, rows: Int) -> [[UInt64]] {
        let relocations = relocations
        return [relocations.addresses, relocations.packed].flatMap {
            Self.rows($0, pointers, stride, rows)
        }
    }

    /// Whether a pointer to this address is in the file's data, by the relocations: never for a file linked to fixed addresses.
    package func hasPointer(to address: UInt64) -> Bool {
        let relocations = relocations
        return relocations.values.contains(address)
            || relocations.packed.contains { bytes(at: $0, count: 8)?.u64(at: 0) == address }
    }

    private static func rows(_ addresses: [UInt64], _ pointers: Int, _ stride: UInt64, _ rows: Int) -> [[UInt64]] {
        var tables: [[UInt64]] = []
        var table: [UInt64] = []
        func finish() {
            if table.count >= rows { tables.append(table) }
            table = []
        }
        var index = 0
        while index < addresses.count {
            let start = addresses[index]
            var count = 1
            while index + count < addresses.count, addresses[index + count] &- start == UInt64(count) * 8 { count += 1 }
            if count != pointers || table.last.map({ start &- $0 != stride }) ?? false { finish() }
            if count == pointers { table.append(start) }
            index += count
        }
        finish()
        return tables
    }
}

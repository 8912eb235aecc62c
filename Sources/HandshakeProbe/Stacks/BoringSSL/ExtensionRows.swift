import Code

/// `kExtensions` of ssl/extensions.cc: how each TLS extension is written and parsed. Rows of a u16 and four code pointers, which
/// no other library has, and whose functions tell where a connection's fields are.
struct ExtensionRows: Sendable {
    /// A row's functions, in order; the parameter of each is the handshake (`SSL_HANDSHAKE`), whose first field is the connection.
    enum Slot: UInt64 {
        case addClientHello = 0
        case parseServerHello, parseClientHello, addServerHello
    }

    static let serverName: UInt16 = 0
    static let applicationProtocol: UInt16 = 16
    static let extendedMasterSecret: UInt16 = 23
    static let earlyData: UInt16 = 42

    /// Addresses of the rows, by the extension's number.
    let rows: [UInt16: UInt64]
    /// The table's beginning.
    let address: UInt64

    /// Extensions that every version of the table has.
    private static let always: Set<UInt16> = [0, 5, 10, 13, 16, 23, 35, 43, 51, 0xff01]
    private static let stride: UInt64 = 40
    private static let leastRows = 16
    private static let mostRows = 64
    /// Less code than this holds no TLS library.
    private static let smallestCode: UInt64 = 1 << 17
    /// Most bytes of constants searched, of a file linked to fixed addresses.
    private static let searchLimit: UInt64 = 64 << 20
    /// Next protocol negotiation's row, whose number is text.
    private static let nextProtocol = "t3\0\0\0\0\0\0"

    /// The file's table; searched once for a file.
    static func find(_ file: ELFFile) -> ExtensionRows? {
        file.remembered("BoringSSL's extensions") { search(file) }
    }

    private static func search(_ file: ELFFile) -> ExtensionRows? {
        guard file.codeSize >= smallestCode else { return nil }
        guard file.kind == .fixedAddress else {
            return file.pointerRows(pointers: 4, stride: stride, rows: leastRows).lazy.compactMap { pointers in
                // Another table of such rows may stand right before or behind.
                guard let row = pointers.first(where: { $0 >= 8 && number(file, $0 - 8) == extendedMasterSecret })
                else { return nil }
                return around(file, row - 8)
            }.first
        }
        var found: ExtensionRows?
        DataSearch.findAddresses(file, nextProtocol, limit: searchLimit) { place in
            found = around(file, place)
            return found != nil
        }
        return found
    }

    /// The table that has a row at this address.
    private static func around(_ file: ELFFile, _ place: UInt64) -> ExtensionRows? {
        var first = place
        // It begins with the server name; other tables may stand right before and behind.
        while number(file, first) != serverName {
            guard number(file, first) != nil, first >= stride, place - first < UInt64(mostRows) * stride else {
                return nil
            }
            first -= stride
        }
        return ExtensionRows(file, first)
    }

    private init?(_ file: ELFFile, _ address: UInt64) {
        var rows: [UInt16: UInt64] = [:]
        while rows.count < Self.mostRows {
            let row = address &+ UInt64(rows.count) * Self.stride
            guard let number = Self.number(file, row), rows[number] == nil else { break }
            rows[number] = row
        }
        guard rows.count >= Self.leastRows, Self.always.isSubset(of: rows.keys) else { return nil }
        self.rows = rows
        self.address = address
    }

    /// The extension of the row at this address; `nil` where no row is.
    private static func number(_ file: ELFFile, _ row: UInt64) -> UInt16? {
        guard let head = file.bytes(at: row, count: 8)?.u64(at: 0), head <= 0xffff,
            (1...4).allSatisfy({ file.pointer(at: row &+ UInt64($0) * 8).map(file.isCode) ?? false })
        else { return nil }
        return UInt16(head)
    }

    /// The functions of all rows.
    func functions(_ file: ELFFile) -> [UInt64] {
        rows.values.flatMap { row in (1...4).compactMap { file.pointer(at: row &+ UInt64($0) * 8) } }
    }

    func function(_ file: ELFFile, _ number: UInt16, _ slot: Slot) -> UInt64? {
        rows[number].flatMap { file.pointer(at: $0 &+ 8 &+ slot.rawValue * 8) }
    }
}

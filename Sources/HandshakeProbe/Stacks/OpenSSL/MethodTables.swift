import Code

/// OpenSSL's `SSL_METHOD` tables: the way to its hidden functions.
///
/// `struct ssl_method_st` begins with the version (int), flags (unsigned), mask (unsigned long);
/// function pointers follow, and after them a pointer to the version's `SSL3_ENC_METHOD`. Which slot
/// is which changes between releases, so the slots are found by comparing tables.
struct MethodTables {
    /// `TLS_method`'s table.
    var full: UInt64
    /// The functions of its accept and connect slots.
    var accept: UInt64
    var connect: UInt64
    /// `change_cipher_state` and `generate_master_secret` by protocol version.
    var keyChange: [UInt32: UInt64]
    var masterSecret: [UInt32: UInt64] = [:]

    static let firstSlot: UInt64 = 16
    /// Slots that are compared; every release has more.
    static let slotCount = 20
    static let anyVersion: UInt32 = 0x10000

    /// Through the exported functions that return the tables.
    static func byName(_ code: CodeReader, _ symbols: [String: ELFSymbol]) throws(AnalysisError) -> MethodTables {
        func table(_ name: String) throws(AnalysisError) -> UInt64 {
            guard let symbol = symbols[name] else { throw AnalysisError("\(name) is not in the symbol tables") }
            for case .returned(.constant(let address)) in AbstractInterpreter(code: code).run(symbol.address) {
                return address
            }
            throw AnalysisError("\(name) does not return a constant table")
        }
        let tables = try (
            full: table("TLS_method"), client: table("TLS_client_method"), server: table("TLS_server_method")
        )
        guard let region = code.file.region(containing: tables.full),
            let methods = MethodTables(code.file, tables.full, tables.client, tables.server, region)
        else { throw AnalysisError("the tables of TLS_method do not have the shape of OpenSSL's") }
        return methods
    }

    /// From the three any-version tables; `nil` where they do not have the shape.
    init?(_ file: ELFFile, _ full: UInt64, _ client: UInt64, _ server: UInt64, _ region: Range<UInt64>) {
        let all = Self.slots(file, full)
        let clients = Self.slots(file, client)
        let servers = Self.slots(file, server)
        // TLS_client_method's accept and TLS_server_method's connect are the function that only complains.
        guard let acceptSlot = all.indices.first(where: { all[$0] != clients[$0] }),
            let connectSlot = all.indices.first(where: { all[$0] != servers[$0] }), acceptSlot != connectSlot,
            let accept = all[acceptSlot], let connect = all[connectSlot],
            servers[acceptSlot] == accept, clients[connectSlot] == connect,
            clients[acceptSlot] == servers[connectSlot], file.isCode(accept), file.isCode(connect)
        else { return nil }
        self.full = full
        self.accept = accept
        self.connect = connect
        keyChange = [:]

        // A later slot points to the version's own functions.
        guard
            let encryptionSlot = (max(acceptSlot, connectSlot)..<40).first(where: { slot in
                file.pointer(at: Self.address(full, slot)).flatMap { Self.function(file, $0, Self.keyChangeDistance) }
                    != nil
            })
        else { return }
        // The tables stand together; search the whole section only if they do not.
        let near = region.clamped(to: full &- min(full, 16384)..<full.addingClamped(16384))
        for area in [near, region] where keyChange[0x304] == nil {
            guard area.upperBound - area.lowerBound <= DataSearch.areaLimit else { continue }
            for (table, version) in Self.candidates(file, area)
            where file.pointer(at: Self.address(table, acceptSlot)) == accept
                && file.pointer(at: Self.address(table, connectSlot)) == connect
            {
                guard let encryption = file.pointer(at: Self.address(table, encryptionSlot)),
                    let function = Self.function(file, encryption, Self.keyChangeDistance)
                else { continue }
                keyChange[version] = function
                masterSecret[version] = Self.function(file, encryption, Self.masterSecretDistance)
            }
        }
    }

    static func address(_ table: UInt64, _ slot: Int) -> UInt64 { table &+ firstSlot &+ UInt64(slot) * 8 }

    static func slots(_ file: ELFFile, _ table: UInt64) -> [UInt64?] {
        (0..<slotCount).map { file.pointer(at: address(table, $0)) }
    }

    /// Places that begin like a method table: a TLS version, small flags, a 32-bit mask.
    static func candidates(_ file: ELFFile, _ area: Range<UInt64>) -> [(address: UInt64, version: UInt32)] {
        let start = (area.lowerBound &+ 7) & ~7
        guard start >= area.lowerBound, start < area.upperBound else { return [] }
        let bytes = file.bytes(at: start, upTo: Int(min(area.upperBound - start, DataSearch.areaLimit)))
        let span = bytes.span
        var found: [(UInt64, UInt32)] = []
        var offset = 0
        while offset <= span.count - 16 {
            defer { offset += 8 }
            guard span[offset + 3] == 0, let version: UInt32 = span.integer(at: offset),
                (0x301...0x304).contains(version) || version == anyVersion,
                let flags: UInt32 = span.integer(at: offset + 4), flags <= 8,
                let mask: UInt64 = span.integer(at: offset + 8), mask >> 32 == 0
            else { continue }
            found.append((start &+ UInt64(offset), version))
            if found.count == 10_000 { break }
        }
        return found
    }

    /// Slots of `SSL3_ENC_METHOD` before the label "client finished".
    private static let keyChangeDistance = 2
    private static let masterSecretDistance = 3

    /// The function that stands so many slots before the label.
    private static func function(_ file: ELFFile, _ table: UInt64, _ distance: Int) -> UInt64? {
        for slot in distance..<12 {
            guard let pointer = file.pointer(at: table &+ UInt64(slot) * 8),
                file.text(at: pointer, limit: 16) == "client finished"
            else { continue }
            let function = file.pointer(at: table &+ UInt64(slot - distance) * 8)
            return function.flatMap { file.isCode($0) ? $0 : nil }
        }
        return nil
    }
}

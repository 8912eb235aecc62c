import Code

/// An `SSL_PROTOCOL_METHOD`, of TLS or of DTLS: a flag word (1: DTLS) and code pointers behind it, named by an `SSL_METHOD`. Its
/// functions install keys, send alerts and free connections. A program that has no use for DTLS has TLS's alone.
struct MethodTable {
    let address: UInt64
    let isDatagram: Bool
    private let file: ELFFile

    /// Displacements that the state machine calls for writing what it has: it says how many functions stand before.
    static let flushes: Set<Int32> = [0x78, 0x88]
    private static let free: UInt64 = 0x10
    private static let dispatchAlert: UInt64 = 0x50
    private static let leastFunctions: UInt64 = 16
    /// How far from the extensions' table it is searched: they stand in one section.
    private static let reaches: [UInt64] = [64 << 10, 1 << 20]
    /// `SSL_METHOD`'s first field: any version, or one, of TLS or DTLS.
    private static let versions: Set<UInt64> = [0, 0x301, 0x302, 0x303, 0x304, 0xfeff, 0xfefd, 0xfefc]

    /// The tables, TLS's first; none where TLS's is not the only one of its kind.
    ///
    /// - Parameters:
    ///   - near: the extensions' table.
    ///   - confirmed: whether a function of the table, the one that sends alerts, does what it has to.
    static func find(_ file: ELFFile, near: UInt64, confirmed: (UInt64) -> Bool) -> [MethodTable] {
        for reach in reaches {
            let low = (near &- min(near, reach)) & ~7
            let tables = tables(file, low..<near.addingClamped(reach)).filter { table in
                file.pointer(at: table.address &+ dispatchAlert).map(confirmed) ?? false
            }
            let streams = tables.filter { !$0.isDatagram }
            let datagrams = tables.filter(\.isDatagram)
            guard !streams.isEmpty else { continue }
            return streams.count == 1 ? streams + (datagrams.count == 1 ? datagrams : []) : []
        }
        return []
    }

    private static func tables(_ file: ELFFile, _ area: Range<UInt64>) -> [MethodTable] {
        // Every pointer of the area: what stands there, by address.
        var pointers: [UInt64: UInt64] = [:]
        for range in file.dataRanges {
            let part = range.clamped(to: area)
            var place = (part.lowerBound &+ 7) & ~7
            while place < part.upperBound, part.upperBound - place >= 8 {
                if let value = file.pointer(at: place) { pointers[place] = value }
                place += 8
            }
        }
        func functions(_ table: UInt64) -> Bool {
            (1...leastFunctions).allSatisfy { pointers[table &+ $0 * 8].map(file.isCode) ?? false }
        }
        var found: Set<UInt64> = []
        for (place, table) in pointers where area.contains(table) && !found.contains(table) {
            guard word(file, table).map({ $0 <= 1 }) ?? false, place >= 8, let version = word(file, place - 8),
                versions.contains(version),
                let certificates = pointers[place &+ 8], area.contains(certificates),
                pointers[certificates].map(file.isCode) ?? false, functions(table)
            else { continue }
            found.insert(table)
        }
        return found.sorted().map { MethodTable(address: $0, isDatagram: word(file, $0) == 1, file: file) }
    }

    private static func word(_ file: ELFFile, _ address: UInt64) -> UInt64? {
        file.bytes(at: address, count: 8)?.u64(at: 0)
    }

    private func function(_ displacement: UInt64) -> UInt64? {
        file.pointer(at: address &+ displacement).flatMap { file.isCode($0) ? $0 : nil }
    }

    /// Frees a connection's part of the protocol: once a connection, and where it is cleared.
    var free: UInt64? { function(Self.free) }
    /// Installs keys for reading and for writing: the connection and the level, then the keys.
    func setReadState(flush: Int32) -> UInt64? { function(UInt64(flush) + 0x10) }
    func setWriteState(flush: Int32) -> UInt64? { function(UInt64(flush) + 0x18) }
}

import Code

/// Places in the code that its numbers give away, found in a pass for each of two opcodes: functions without names report errors by number, and tell
/// callbacks of events by number.
struct CodeMarks {
    let file: ELFFile
    /// Instructions that pass an error's number as a third parameter (`mov edx, number`), by the number.
    private(set) var errors: [UInt32: [UInt64]] = [:]
    /// Instructions of `SSL_do_handshake`: the number of its error, or of an event that it tells.
    private(set) var handshakeCalls: [UInt64] = []

    private static let limit = 4096
    /// How far back a function's beginning is looked for, where no unwind table tells.
    private static let reach: UInt64 = 4096

    init(_ file: ELFFile, errors wanted: Set<UInt32>) {
        self.file = file
        var errors: [UInt32: [UInt64]] = [:]
        CodeSearch.visit(file, opcode: 0xba) { address, number in
            guard wanted.contains(number), errors[number, default: []].count < Self.limit else { return }
            errors[number, default: []].append(address)
        }
        var events: [UInt64] = []
        // `add esi, number`.
        CodeSearch.visit(file, opcode: 0xc6) { address, number in
            guard HandshakeCalls.exitEvents.contains(number), events.count < Self.limit, address > 0,
                file.bytes(at: address - 1, count: 1) == [0x81]
            else { return }
            events.append(address - 1)
        }
        self.errors = errors.mapValues { places in places.filter { Self.reportsSSL(file, $0) } }
        handshakeCalls = events + (self.errors[HandshakeCalls.notSet] ?? [])
    }

    /// Whether the library's number (`ERR_LIB_SSL`, the first parameter) is passed nearby: `mov edi, 16`.
    private static func reportsSSL(_ file: ELFFile, _ place: UInt64) -> Bool {
        let bytes = file.bytes(at: place &- min(place, 32), upTo: 72)
        var found = false
        DataSearch.find([0xbf, 0x10, 0, 0, 0], in: bytes) { _ in
            found = true
            return true
        }
        return found
    }

    /// Where the function begins that holds each of these places. Without an unwind table that takes one pass over the code, for
    /// all of them together.
    func beginning(of places: [UInt64]) -> [UInt64: UInt64] {
        var found: [UInt64: UInt64] = [:]
        for place in places { found[place] = file.functionExtent(containing: place)?.lowerBound }
        let open = places.filter { found[$0] == nil }
        guard !open.isEmpty else { return found }
        return found.merging(CodeSearch.beginnings(file, of: open, reach: Self.reach)) { first, _ in first }
    }

    /// Where the functions begin that hold these places.
    func beginnings(of places: [UInt64]) -> [UInt64] { Set(beginning(of: places).values).sorted() }
}

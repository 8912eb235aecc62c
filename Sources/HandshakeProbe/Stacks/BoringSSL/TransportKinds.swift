import Code

/// How a `BIO` tells its descriptor, from the tables of the library's own kinds of it (`BIO_METHOD`): a number, a name, and
/// functions, of which the socket's names the descriptor to the system. They are libcrypto's.
struct TransportKinds {
    private let code: CodeReader

    /// A kind's number and name, as include/openssl/bio.h has them. The number is the first word of its table.
    private static let own: [UInt64: String] = [
        0x505: "socket", 0x504: "file descriptor", UInt64(memoryKind): memory, 0x413: "BIO pair",
        0x50c: "socket connect",
    ]
    private static let socket = "socket"
    private static let memory = "memory buffer"
    /// `BIO_TYPE_MEM`.
    private static let memoryKind: UInt16 = 0x401
    /// `BIO_TYPE_DESCRIPTOR`, `BIO_TYPE_FILTER`.
    private static let descriptorBit: UInt32 = 0x0100
    private static let filterBit: UInt32 = 0x0200
    /// Of a table: the number, the name, and then its functions, of which the first two write and read; since 2024 another word
    /// stands before them.
    private static let nameOffset: UInt64 = 8
    private static let functionOffsets: [UInt64] = [16, 24, 32]
    private static let chunk: UInt64 = 1 << 20
    /// Tables looked at whose first word is one of the numbers.
    private static let candidateLimit = 1 << 16

    init(_ code: CodeReader) { self.code = code }

    /// `nil` where the file does not hold the tables. A program whose transports are all its own may have none that knows
    /// descriptors.
    func layout() -> TransportLayout? {
        let tables = tables()
        guard !tables.isEmpty else { return nil }
        let descriptor = tables[Self.socket].flatMap(descriptor)
        // A filter in front of another one is looked through where the code tells how.
        let next = next()
        return TransportLayout(
            kinds: 0, kind: 0, name: UInt16(Self.nameOffset), descriptor: descriptor ?? 0, next: next ?? 0,
            hasDescriptor: descriptor == nil ? 0 : Self.descriptorBit, isFilter: next == nil ? 0 : Self.filterBit,
            memory: tables[Self.memory] == nil ? 0 : Self.memoryKind,
            own: tables.keys.sorted())
    }

    /// The kinds' tables, by name.
    private func tables() -> [String: UInt64] {
        var found: [String: UInt64] = [:]
        var left = Self.candidateLimit
        for area in DataSearch.areas(code.file) {
            var start = (area.lowerBound &+ 7) & ~7
            while start < area.upperBound, left > 0 {
                let bytes = code.file.bytes(at: start, upTo: Int(min(Self.chunk, area.upperBound - start)))
                guard bytes.count >= 8 else { break }
                Self.visitKinds(bytes) { offset, name in
                    left -= 1
                    let table = start &+ UInt64(offset)
                    if left >= 0, isTable(table, name) { found[name] = table }
                }
                start += UInt64(bytes.count)
            }
        }
        return found
    }

    private static func visitKinds(_ bytes: [UInt8], _ visit: (Int, String) -> Void) {
        let span = bytes.span
        var offset = 0
        while offset <= bytes.count - 8 {
            // Most words are no such number: the dictionary is asked about few.
            if let word: UInt64 = span.integer(at: offset), word < 0x600, word > 0x400, let name = own[word] {
                visit(offset, name)
            }
            offset += 8
        }
    }

    private func isTable(_ table: UInt64, _ name: String) -> Bool {
        let file = code.file
        return file.pointer(at: table &+ Self.nameOffset).flatMap { file.text(at: $0, limit: 32) } == name
            && functions(table).count == 2
    }

    /// The one that writes and the one that reads.
    private func functions(_ table: UInt64) -> [UInt64] {
        let pointers = Self.functionOffsets.compactMap { code.file.pointer(at: table &+ $0) }
        return Array(pointers.filter(code.file.isCode).prefix(2))
    }

    /// What the socket's functions hand to the system first.
    private func descriptor(_ table: UInt64) -> UInt16? {
        var interpreter = AbstractInterpreter(code: code)
        interpreter.stepLimit = 1000
        var offsets: Set<Int32> = []
        for event in functions(table).flatMap({ interpreter.run($0) }) {
            guard case .called(_, let arguments) = event, let field = arguments[0].field, field.root == 0,
                field.offsets.count == 1, field.width == 4
            else { continue }
            offsets.insert(field.offsets[0])
        }
        return offsets.count == 1 ? offsets.first.flatMap(UInt16.init(exactly:)) : nil
    }

    /// The field that `BIO_next` returns, where it has a name.
    private func next() -> UInt16? {
        guard let getter = code.file.functions(named: ["BIO_next"])["BIO_next"] else { return nil }
        var offsets: Set<Int32> = []
        for case .returned(let value) in AbstractInterpreter(code: code).run(getter.address) {
            if let field = value.field, field.root == 0, field.offsets.count == 1, field.width == 8 {
                offsets.insert(field.offsets[0])
            }
        }
        return offsets.count == 1 ? offsets.first.flatMap(UInt16.init(exactly:)) : nil
    }
}

import CCapstone
import Code

/// Where an `s2n_connection`'s fields are, from the code of the functions that return them or look at them.
struct ConnectionFields {
    private(set) var paths: [Fact: FactPath] = [:]
    /// Of the transport that is the library's own.
    private(set) var descriptor: OwnDescriptor?
    private(set) var notes: [String] = []

    private let code: CodeReader
    private let symbols: [String: ELFSymbol]

    private static let message = ["s2n_connection_get_last_message_name", "s2n_conn_get_current_message_type"]
    private static let version = "s2n_connection_get_actual_protocol_version"
    private static let resumed = "s2n_connection_is_session_resumed"
    private static let cipher = "s2n_connection_get_cipher_iana_value"
    private static let curve = "s2n_connection_get_curve"
    private static let hybrid = "s2n_connection_get_kem_group_name"
    private static let alert = "s2n_connection_get_alert"
    private static let quic = "s2n_connection_is_quic_enabled"
    private static let transport = "s2n_connection_get_read_fd"
    private static let protocols = "s2n_get_application_protocol"
    private static let serverName = "s2n_get_server_name"

    static let functions =
        message + [version, resumed, cipher, curve, hybrid, alert, quic, transport, protocols, serverName]

    /// The order in which facts give way where there are more reads than a handshake is worth.
    static let expendable: [Fact] = [S2NFact.hybridGroup, S2NFact.group, S2NFact.pskType, S2NFact.cipher, .sni, .alpn]

    /// - Throws: where a handshake cannot be told from another, or its end from a wait.
    init(_ code: CodeReader, _ symbols: [String: ELFSymbol], _ call: NegotiateCall) throws(AnalysisError) {
        (self.code, self.symbols) = (code, symbols)
        try deriveProgress()
        try deriveState(call)
        deriveVersion()
        deriveCipher()
        deriveGroups()
        deriveAlert()
        deriveQUIC()
        deriveDescriptor()
        deriveText(.alpn, S2NFact.hasProtocol, Self.protocols)
        deriveText(.sni, S2NFact.hasName, Self.serverName)
    }

    // MARK: the state

    private static let bodyLimit = 2_000
    /// A row of the table of handshakes has 32 messages of four bytes.
    private static let rowShift: Int64 = 7

    /// `handshakes[connection->handshake_type][connection->message_number]`
    private mutating func deriveProgress() throws(AnalysisError) {
        for name in Self.message {
            guard let symbol = symbols[name], let body = body(symbol) else { continue }
            let numbers = Set(
                body.compactMap { $0.kind == TLSWATCH_OP_MOVSX ? Self.field($0.second, width: 4) : nil })
            guard numbers.count == 1, let number = numbers.first, let type = handshakeType(body) else { continue }
            paths[.state] = FactPath(offsets: [number], size: 4)
            paths[.detail] = FactPath(offsets: [type], size: 4)
            return
        }
        throw AnalysisError("no function tells where a connection keeps how far its handshake is")
    }

    /// What is loaded into the register that is then shifted by a row.
    private func handshakeType(_ body: [Instruction]) -> Int32? {
        guard
            let shift = body.firstIndex(where: {
                $0.kind == TLSWATCH_OP_SHL && $0.first.isRegister && $0.second.isImmediate
                    && $0.second.value == Self.rowShift
            }),
            let load = body[..<shift].last(where: { $0.written >> UInt16(body[shift].first.reg) & 1 != 0 }),
            load.kind == TLSWATCH_OP_MOV
        else { return nil }
        return Self.field(load.second, width: 4)
    }

    private static let fullDuplex: UInt64 = 2
    private static let client: UInt64 = 1
    private static let flagSize: Int32 = 4

    /// The implementation asks `s2n_connection_check_io_status(connection, S2N_IO_FULL_DUPLEX)`, which looks at two flags, side by
    /// side: whether reading and whether writing has ended.
    private mutating func deriveState(_ call: NegotiateCall) throws(AnalysisError) {
        let events = AbstractInterpreter(code: code).run(call.implementation)
        var closed: Set<Int32> = []
        for case .called(.constant(let target), let arguments) in events
        where arguments[0] == Self.connection && arguments[1] == .constant(Self.fullDuplex) {
            var tested: [UInt64: Set<Int32>] = [:]
            for case .called(.constant(let test), let arguments) in AbstractInterpreter(code: code).run(target) {
                guard case .place(let place, 0) = arguments[0], let offset = Self.offset(place) else { continue }
                tested[test, default: []].insert(offset)
            }
            for offsets in tested.values where offsets.count == 2 {
                if let read = offsets.min(), offsets.contains(read + Self.flagSize) { closed.insert(read) }
            }
        }
        if closed.count == 1, let read = closed.first {
            paths[S2NFact.readClosed] = FactPath(offsets: [read], size: 4)
        } else if call.tellsError {
            notes.append("no \(S2NFact.readClosed): no one test of it has the known shape")
        } else {
            throw AnalysisError("neither its error nor the connection tells when a handshake has failed")
        }
        let modes = Set(
            events.compactMap { event -> Field? in
                guard case .compared(let field, Self.client) = event, Self.isOwn(field, width: 4) else { return nil }
                return field
            })
        guard modes.count == 1, let mode = modes.first else {
            throw AnalysisError("\(modes.count) fields may tell a connection's role")
        }
        paths[.role] = FactPath(offsets: mode.offsets, size: 4)
    }

    // MARK: facts

    private static let newest: UInt64 = 33

    private mutating func deriveVersion() {
        let events = run(Self.resumed)
        let compared = Set(
            events.compactMap { event -> Field? in
                guard case .compared(let field, Self.newest) = event, Self.isOwn(field, width: 1) else { return nil }
                return field
            })
        let returned = Set(run(Self.version).compactMap(Self.returned).filter { Self.isOwn($0, width: 1) })
        set(S2NFact.version, Self.version, Self.paths(returned.isEmpty ? compared : returned))
        let types = Set(
            events.compactMap { event -> Field? in
                guard case .compared(let field, 0) = event, Self.isOwn(field, width: 4) else { return nil }
                return field
            })
        set(S2NFact.pskType, Self.resumed, Self.paths(types))
    }

    private mutating func deriveCipher() {
        // The first byte goes through the second parameter; the second stands behind it.
        let fields = Set(
            run(Self.cipher).compactMap { event -> FactPath? in
                guard case .stored(let place, let value) = event, place == Place(root: 1), let field = value.field,
                    Self.isOfConnection(field), field.offsets.count == 3, field.width == 1
                else { return nil }
                return FactPath(offsets: field.offsets, size: 2)
            })
        set(S2NFact.cipher, Self.cipher, fields)
    }

    /// In `s2n_ecc_named_curve` IANA's number, and then the name; in `s2n_kem_group` the other way round.
    private static let numberBeforeName: Int32 = 0
    private static let numberBehindName: Int32 = 8

    private mutating func deriveGroups() {
        for (fact, getter, name, number) in [
            (S2NFact.group, Self.curve, Self.numberBehindName, Self.numberBeforeName),
            (S2NFact.hybridGroup, Self.hybrid, Self.numberBeforeName, Self.numberBehindName),
        ] {
            let fields = Set(
                run(getter).compactMap(Self.returned).compactMap { field -> FactPath? in
                    guard field.offsets.count == 2, field.offsets[1] == name, field.width == 8 else { return nil }
                    return FactPath(offsets: [field.offsets[0], number], size: 2)
                })
            set(fact, getter, fields)
        }
    }

    /// In an `s2n_stuffer`, which begins with the pointer to its bytes.
    private static let readCursor: Int32 = 24
    private static let writeCursor: Int32 = 28

    /// What is written less what is read of the two bytes of an alert.
    private mutating func deriveAlert() {
        guard let symbol = symbols[Self.alert], let body = body(symbol) else {
            return miss(S2NFact.alert, Self.alert, 0)
        }
        var found: Set<Int32> = []
        for (load, difference) in zip(body, body.dropFirst())
        where load.kind == TLSWATCH_OP_MOV && difference.kind == TLSWATCH_OP_SUB
            && load.first.reg == difference.first.reg
        {
            guard let written = Self.field(load.second, width: 4), let read = Self.field(difference.second, width: 4),
                written - read == Self.writeCursor - Self.readCursor, case let bytes = read - Self.readCursor,
                // The stuffer itself is handed on, or copied.
                body.contains(where: { $0.second.isMemory && $0.second.value == Int64(bytes) })
            else { continue }
            found.insert(bytes)
        }
        guard found.count == 1, let bytes = found.first else { return miss(S2NFact.alert, Self.alert, found.count) }
        paths[S2NFact.alert] = FactPath(offsets: [bytes, 1], size: 1)
        paths[S2NFact.alertLength] = FactPath(offsets: [bytes + Self.writeCursor], size: 4)
    }

    /// A bit of the connection's, and one of its configuration's.
    private mutating func deriveQUIC() {
        let tested = Set(
            run(Self.quic).compactMap { event -> [Int32]? in
                guard case .tested(let field, let mask) = event, Self.isOfConnection(field), field.width == 1,
                    mask > 0, mask < 0x100
                else { return nil }
                return field.offsets + [Int32(mask)]
            })
        for (fact, depth) in [(S2NFact.quic, 1), (S2NFact.quicOfConfiguration, 2)] {
            let bits = tested.filter { $0.count == depth + 1 }
            guard bits.count == 1, let bit = bits.first, let mask = bit.last else {
                miss(fact, Self.quic, bits.count)
                continue
            }
            paths[fact] = FactPath(offsets: Array(bit.dropLast()), size: 1, bits: UInt32(mask))
        }
    }

    /// Through the second parameter goes what is behind a pointer, where a bit says that the functions to read and write with are
    /// the library's.
    private mutating func deriveDescriptor() {
        var pointers: Set<Int32> = []
        var flags: Set<[Int32]> = []
        for event in run(Self.transport) {
            switch event {
            case .stored(let place, let value):
                guard place == Place(root: 1), let field = value.field, Self.isOfConnection(field),
                    field.offsets.count == 2, field.offsets[1] == 0, field.width == 4
                else { continue }
                pointers.insert(field.offsets[0])
            case .tested(let field, let mask):
                guard Self.isOwn(field, width: 1), mask > 0, mask < 0x100 else { continue }
                flags.insert([field.offsets[0], Int32(mask)])
            default: break
            }
        }
        guard pointers.count == 1, flags.count == 1, let pointer = pointers.first.flatMap(UInt16.init(exactly:)),
            let flag = flags.first, let place = UInt16(exactly: flag[0]), pointer > 0
        else {
            notes.append("sockets are known by their first bytes alone: the code of \(Self.transport) tells no place")
            return
        }
        descriptor = OwnDescriptor(offset: pointer, shape: .behind, flag: place, bits: UInt8(flag[1]))
    }

    /// A text inside the connection; empty where there is none.
    private mutating func deriveText(_ text: Fact, _ first: Fact, _ getter: String) {
        let offsets = Set(
            run(getter).compactMap { event -> Int32? in
                guard case .returned(.place(let place, 0)) = event else { return nil }
                return Self.offset(place)
            })
        guard offsets.count == 1, let offset = offsets.first else { return miss(text, getter, offsets.count) }
        paths[text] = FactPath(offsets: [offset], size: 0)
        paths[first] = FactPath(offsets: [offset], size: 1)
    }

    // MARK: what the code says

    private static let connection = AbstractValue.place(Place(root: 0), width: 0)
    /// Offsets of a real structure.
    private static let structure: Range<Int32> = 0..<0x10000

    private func run(_ name: String) -> [AbstractInterpreter.Event] {
        symbols[name].map { AbstractInterpreter(code: code).run($0.address) } ?? []
    }

    private func body(_ symbol: ELFSymbol) -> [Instruction]? {
        code.file.functionExtent(containing: symbol.address).map { code.instructions(in: $0, limit: Self.bodyLimit) }
    }

    private static func returned(_ event: AbstractInterpreter.Event) -> Field? {
        guard case .returned(let value) = event, let field = value.field, isOfConnection(field) else { return nil }
        return field
    }

    private static func isOfConnection(_ field: Field) -> Bool {
        field.root == 0 && field.offsets.allSatisfy(structure.contains)
    }

    /// In the connection itself.
    private static func isOwn(_ field: Field, width: Int) -> Bool {
        isOfConnection(field) && field.offsets.count == 1 && field.width == width
    }

    /// Of an address inside the connection.
    private static func offset(_ place: Place) -> Int32? {
        place.root == 0 && place.count == 0 && place.displacement > 0 && structure.contains(place.displacement)
            ? place.displacement : nil
    }

    private static func field(_ operand: Operand, width: UInt8) -> Int32? {
        guard operand.isMemory, operand.width == width, !operand.rip_relative, !operand.opaque_address,
            operand.base != UInt8(TLSWATCH_NO_REGISTER), Int(operand.base) != Register.rsp,
            operand.index == UInt8(TLSWATCH_NO_REGISTER), let offset = Int32(exactly: operand.value),
            structure.contains(offset)
        else { return nil }
        return offset
    }

    private static func paths(_ fields: Set<Field>) -> Set<FactPath> {
        Set(fields.map { FactPath(offsets: $0.offsets, size: $0.width) })
    }

    private mutating func set(_ fact: Fact, _ getter: String, _ found: Set<FactPath>) {
        guard found.count == 1, let path = found.first else { return miss(fact, getter, found.count) }
        paths[fact] = path
    }

    private mutating func miss(_ fact: Fact, _ getter: String, _ count: Int) {
        notes.append(fact.missing(in: getter, symbols, places: count))
    }
}

import CCapstone
import Code

/// Where a session's facts stand, from the code of the exported functions that return them.
struct SessionLayout {
    private(set) var paths: [Fact: FactPath] = [:]
    /// Offset of what the session reads through: a descriptor, or what the application's own functions are given.
    private(set) var descriptor: UInt16?
    private(set) var notes: [String] = []

    private let code: CodeReader
    private let symbols: [String: ELFSymbol]

    private static let version = "gnutls_protocol_get_version"
    private static let group = "gnutls_group_get"
    private static let cipher = "gnutls_kx_get"
    private static let alert = "gnutls_alert_get"
    private static let resumed = "gnutls_session_is_resumed"
    private static let flags = "gnutls_certificate_client_get_request_status"
    private static let alertReader = "gnutls_alert_set_read_function"
    private static let random = "gnutls_session_get_random"
    private static let transport = "gnutls_transport_get_int2"
    private static let protocols = "gnutls_alpn_get_selected_protocol"
    private static let serverName = "gnutls_server_name_get"

    static let getters = [
        version, group, cipher, alert, resumed, flags, alertReader, random, transport, protocols, serverName,
    ]

    /// The order in which facts give way where there are more reads than a handshake is worth.
    static let expendable: [Fact] = [GnuTLSFact.group, .sni, .alpn, GnuTLSFact.cipher]

    init(_ code: CodeReader, _ symbols: [String: ELFSymbol], _ calls: HandshakeCall) {
        (self.code, self.symbols) = (code, symbols)
        paths[.state] = FactPath(offsets: [calls.state], size: 4)
        paths[GnuTLSFact.negotiated] = FactPath(offsets: [calls.negotiated], size: 1)
        // `cmp dword [session], GNUTLS_CLIENT`
        set(.role, Self.resumed, compared(Self.resumed, with: 2))
        set(GnuTLSFact.version, Self.version, returned(Self.version, depth: 2))
        set(GnuTLSFact.group, Self.group, returned(Self.group, depth: 2))
        set(GnuTLSFact.alert, Self.alert, returned(Self.alert, depth: 1))
        set(GnuTLSFact.resumed, Self.resumed, returned(Self.resumed, depth: 1).filter { $0.width == 1 })
        deriveCipher()
        deriveFlags()
        deriveAlertReader()
        deriveRandom()
        deriveDescriptor()
        deriveExtensions()
    }

    // MARK: getters

    private func run(_ getter: String, parameters: [Int: AbstractValue] = [:]) -> [AbstractInterpreter.Event] {
        symbols[getter].map { AbstractInterpreter(code: code).run($0.address, parameters: parameters) } ?? []
    }

    private func returned(_ getter: String, depth: Int) -> Set<Field> {
        Set(
            run(getter).compactMap { event in
                guard case .returned(let value) = event, let field = value.field, isOfSession(field),
                    field.offsets.count == depth
                else { return nil }
                return field
            })
    }

    private func compared(_ getter: String, with constant: UInt64) -> Set<Field> {
        Set(
            run(getter).compactMap { event in
                guard case .compared(let field, constant) = event, isOfSession(field), field.offsets.count == 1,
                    field.width == 4
                else { return nil }
                return field
            })
    }

    /// Offsets of a real structure.
    private func isOfSession(_ field: Field) -> Bool {
        field.root == 0 && field.offsets.allSatisfy { (0..<0x10000).contains($0) }
    }

    private mutating func set(_ fact: Fact, _ getter: String, _ fields: Set<Field>) {
        guard fields.count == 1, let field = fields.first else { return miss(fact, getter, fields.count) }
        paths[fact] = FactPath(offsets: field.offsets, size: field.width)
    }

    private mutating func miss(_ fact: Fact, _ getter: String, _ count: Int) {
        notes.append(fact.missing(in: getter, symbols, places: count))
    }

    // MARK: facts of other shapes

    /// In `gnutls_cipher_suite_entry_st`: the name, and then the two bytes as on the wire.
    private static let cipherNumber: Int32 = 8

    private mutating func deriveCipher() {
        // What it returns first is a number of the session's cipher suite.
        let suites = Set(returned(Self.cipher, depth: 2).map { $0.offsets[0] })
        guard suites.count == 1, let suite = suites.first else {
            return miss(GnuTLSFact.cipher, Self.cipher, suites.count)
        }
        paths[GnuTLSFact.cipher] = FactPath(offsets: [suite, Self.cipherNumber], size: 2)
    }

    private mutating func deriveFlags() {
        let tested = Set(
            run(Self.flags).compactMap { event -> Field? in
                guard case .tested(let field, UInt64(GnuTLSState.certificateAsked)) = event, isOfSession(field),
                    field.offsets.count == 1, field.width == 4
                else { return nil }
                return field
            })
        set(GnuTLSFact.flags, Self.flags, tested)
    }

    /// What an application that carries the messages itself (QUIC) sets.
    private mutating func deriveAlertReader() {
        let places = Set(
            run(Self.alertReader).compactMap { event -> Int32? in
                guard case .stored(let place, .place(let value, _)) = event, place.root == 0, place.count == 0,
                    value == Place(root: 1)
                else { return nil }
                return place.displacement
            })
        // An old release has no such function.
        guard symbols[Self.alertReader] != nil else { return }
        guard places.count == 1, let place = places.first, (0..<0x10000).contains(place) else {
            return miss(GnuTLSFact.alertReader, Self.alertReader, places.count)
        }
        paths[GnuTLSFact.alertReader] = FactPath(offsets: [place], size: 4)
    }

    /// Of the random's 32 bytes the last eight.
    private static let randomEnd: Int32 = 24

    private mutating func deriveRandom() {
        // The client's goes through the second parameter: {data, size}.
        let places = Set(
            run(Self.random).compactMap { event -> Int32? in
                guard case .stored(let place, .place(let value, 0)) = event, place.root == 1, place.count == 0,
                    place.displacement == 0, value.root == 0, value.count == 0
                else { return nil }
                return value.displacement
            })
        guard places.count == 1, let place = places.first, (0..<0x10000).contains(place) else {
            return miss(.random, Self.random, places.count)
        }
        paths[.random] = FactPath(offsets: [place + Self.randomEnd], size: 4)
        paths[.randomEnd] = FactPath(offsets: [place + Self.randomEnd + 4], size: 4)
    }

    private mutating func deriveDescriptor() {
        // The one that is read from goes through the second parameter.
        let places = Set(
            run(Self.transport).compactMap { event -> Int32? in
                guard case .stored(let place, let value) = event, place == Place(root: 1), let field = value.field,
                    isOfSession(field), field.offsets.count == 1
                else { return nil }
                return field.offsets[0]
            })
        descriptor = places.count == 1 ? places.first.flatMap(UInt16.init(exactly:)) : nil
        if descriptor == nil {
            notes.append("sockets of renegotiations are not known: the code of \(Self.transport) tells no place")
        }
    }

    // MARK: extensions

    /// A session keeps what each extension has left in a row of a table: the data, and whether there are any.
    private mutating func deriveExtensions() {
        guard let (getter, number, call) = lookup(Self.protocols), let row = row(getter, number) else {
            miss(.alpn, Self.protocols, 0)
            miss(.sni, Self.serverName, 0)
            return
        }
        deriveProtocol(row, behind: call)
        // The same table, by the extension's number.
        guard let (_, name, _) = lookup(Self.serverName), let row = self.row(getter, name) else {
            return miss(.sni, Self.serverName, 0)
        }
        // Two bytes of length, in the network's order: no name is longer than the second tells.
        paths[.sni] = FactPath(offsets: [row.data, 2], size: 0, shape: .prefix8)
        paths[GnuTLSFact.hasName] = FactPath(offsets: [row.isSet], size: 1)
    }

    private static let numberLimit: UInt64 = 64

    /// The first call in a getter with the session, an extension's number and a place of the caller's: the function, the number,
    /// and where the call is.
    private func lookup(_ getter: String) -> (function: UInt64, number: UInt64, call: UInt64)? {
        guard let symbol = symbols[getter] else { return nil }
        let walk = AbstractInterpreter(code: code).walk(symbol.address)
        for (address, arguments) in walk.arguments.sorted(by: { $0.key < $1.key }) {
            guard arguments[0] == .place(Place(root: 0), width: 0), case .constant(let number) = arguments[1],
                number < Self.numberLimit, case .stack = arguments[2],
                case .constant(let target)? = walk.targets[address], code.file.isCode(target)
            else { continue }
            return (target, number, address)
        }
        return nil
    }

    /// Offsets in the session of an extension's data, a pointer, and of the byte that is not 0 where there are any.
    private func row(_ getter: UInt64, _ number: UInt64) -> (data: Int32, isSet: Int32)? {
        let events = AbstractInterpreter(code: code).run(getter, parameters: [1: .constant(number)])
        var data: Set<Int32> = []
        var flags: Set<Int32> = []
        for event in events {
            switch event {
            case .stored(let place, let value):
                guard place == Place(root: 2), let field = value.field, isOfSession(field), field.offsets.count == 1,
                    field.width == 8
                else { continue }
                data.insert(field.offsets[0])
            case .compared(let field, 0):
                guard isOfSession(field), field.offsets.count == 1, field.width == 1 else { continue }
                flags.insert(field.offsets[0])
            default: break
            }
        }
        guard data.count == 1, flags.count == 1, let data = data.first, let flag = flags.first else { return nil }
        return (data, flag)
    }

    /// Instructions of a getter behind the call.
    private static let reach = 64

    /// Where in the extension's data the protocol and its length are: what is loaded through the pointer that the call has left in
    /// the caller's place.
    private mutating func deriveProtocol(_ row: (data: Int32, isSet: Int32), behind call: UInt64) {
        guard let end = code.file.functionExtent(containing: call)?.upperBound else {
            return miss(.alpn, Self.protocols, 0)
        }
        var pointers: Set<UInt8> = []
        var texts: Set<Int32> = []
        var lengths: Set<Int32> = []
        for instruction in code.instructions(in: call..<end, limit: Self.reach).dropFirst() {
            let source = instruction.second
            guard instruction.kind == TLSWATCH_OP_MOV, instruction.first.isRegister else {
                for register in UInt8(0)..<16 where instruction.written >> UInt16(register) & 1 != 0 {
                    pointers.remove(register)
                }
                continue
            }
            let isPointer =
                source.isMemory && Int(source.base) == Register.rsp && source.width == 8 && !source.opaque_address
            if source.isMemory, pointers.contains(source.base), let offset = Int32(exactly: source.value) {
                if source.width == 8 { texts.insert(offset) }
                if source.width == 4 { lengths.insert(offset) }
            }
            if isPointer { pointers.insert(instruction.first.reg) } else { pointers.remove(instruction.first.reg) }
        }
        guard texts.count == 1, lengths.count == 1, let text = texts.first, let length = lengths.first else {
            return miss(.alpn, Self.protocols, texts.count)
        }
        paths[.alpn] = FactPath(offsets: [row.data, text, 0], size: 0, shape: .counted(.alpnLength))
        paths[.alpnLength] = FactPath(offsets: [row.data, length], size: 4)
        paths[GnuTLSFact.hasProtocol] = FactPath(offsets: [row.isSet], size: 1)
    }
}

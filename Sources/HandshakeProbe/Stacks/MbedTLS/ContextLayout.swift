import CCapstone
import Code

/// Where a context (`mbedtls_ssl_context`) has the facts, from the code of exported functions.
struct ContextLayout {
    private(set) var paths: [Fact: FactPath] = [:]
    /// Offset of what the application's transport is given: a pointer to a descriptor, where it is the library's own.
    private(set) var descriptor: UInt16?
    private(set) var notes: [String] = []

    private let code: CodeReader
    private let symbols: [String: ELFSymbol]

    private static let endpoint = "mbedtls_ssl_conf_endpoint"
    private static let version = "mbedtls_ssl_get_version"
    private static let cipher = "mbedtls_ssl_get_ciphersuite"
    private static let alpn = "mbedtls_ssl_get_alpn_protocol"
    private static let hostName = "mbedtls_ssl_set_hostname"
    private static let transport = "mbedtls_ssl_set_bio"
    private static let configuration = "mbedtls_ssl_setup"
    private static let message = "mbedtls_ssl_handle_message_type"
    /// Of servers, since 3.0.
    private static let offer = "mbedtls_ssl_parse_alpn_ext"

    static let getters = [
        endpoint, version, cipher, alpn, hostName, transport, configuration, message, offer,
    ]

    /// The order in which facts give way where there are more reads than a handshake is worth.
    static let expendable: [Fact] = [.sni, .alpn, MbedTLSFact.alert]

    init(_ code: CodeReader, _ symbols: [String: ELFSymbol], state: Int32) {
        (self.code, self.symbols) = (code, symbols)
        paths[.state] = FactPath(offsets: [state], size: 4)
        deriveRole()
        deriveVersion()
        deriveSession()
        deriveAlert()
        if let place = one(.alpn, Self.alpn, returned(Self.alpn)) {
            paths[.alpn] = FactPath(offsets: [place, 0], size: 0)
            paths[MbedTLSFact.hasProtocol] = FactPath(offsets: [place], size: 4)
        }
        if let place = one(.sni, Self.hostName, stored(Self.hostName) { _ in true }) {
            paths[.sni] = FactPath(offsets: [place, 0], size: 0)
        }
        let pointers = stored(Self.transport) { $0 == .place(Place(root: 1), width: 0) }
        descriptor = pointers.count == 1 ? pointers.first.flatMap(UInt16.init(exactly:)) : nil
        if descriptor == nil {
            notes.append("sockets of renegotiations are not known: the code of \(Self.transport) tells no place")
        }
    }

    // MARK: getters and setters

    private static let structure: Range<Int32> = 0..<0x1000

    private func run(_ function: String, parameters: [Int: AbstractValue] = [:]) -> [AbstractInterpreter.Event] {
        symbols[function].map { symbol in
            var interpreter = AbstractInterpreter(code: code)
            interpreter.followsTailJumps = false
            return interpreter.run(symbol.address, parameters: parameters)
        } ?? []
    }

    /// Offsets of a real structure.
    private func isOfContext(_ field: Field) -> Bool {
        field.root == 0 && field.offsets.allSatisfy { Self.structure.contains($0) }
    }

    /// Where a function stores such a value in its first parameter.
    private func stored(_ function: String, _ isWanted: (AbstractValue) -> Bool) -> Set<Int32> {
        Set(
            run(function).compactMap { event in
                guard case .stored(let place, let value) = event, place.root == 0, place.count == 0,
                    Self.structure.contains(place.displacement), isWanted(value)
                else { return nil }
                return place.displacement
            })
    }

    private func returned(_ function: String) -> Set<Int32> {
        Set(
            run(function).compactMap { event in
                guard case .returned(let value) = event, let field = value.field, isOfContext(field),
                    field.offsets.count == 1, field.width == 8
                else { return nil }
                return field.offsets[0]
            })
    }

    /// Compared fields that are so many pointers away, by their width.
    private func compared(_ function: String, depth: Int, width: Int) -> [(field: Field, constant: UInt64)] {
        run(function).compactMap { event in
            guard case .compared(let field, let constant) = event, isOfContext(field), field.offsets.count == depth,
                field.width == width
            else { return nil }
            return (field, constant)
        }
    }

    private mutating func one(_ fact: Fact, _ function: String, _ found: Set<Int32>) -> Int32? {
        if found.count == 1 { return found.first }
        miss(fact, function, found.count)
        return nil
    }

    private mutating func miss(_ fact: Fact, _ function: String, _ count: Int) {
        notes.append(fact.missing(in: function, symbols, places: count))
    }

    // MARK: facts

    private mutating func deriveRole() {
        // The second parameter's lowest byte goes into the configuration, which the context points to.
        let places = stored(Self.endpoint) { _ in true }
        let configurations = stored(Self.configuration) { $0 == .place(Place(root: 1), width: 0) }
        guard places.count == 1, let place = places.first, configurations.count == 1,
            let configuration = configurations.first
        else { return miss(.role, Self.endpoint, places.count) }
        paths[.role] = FactPath(offsets: [configuration, place], size: 1)
    }

    private mutating func deriveVersion() {
        let fields = Set(compared(Self.version, depth: 1, width: 4).map(\.field.offsets[0]))
        guard let place = one(MbedTLSFact.version, Self.version, fields) else { return }
        paths[MbedTLSFact.version] = FactPath(offsets: [place], size: 4)
        // DTLS is called otherwise.
        let transports = Set(compared(Self.version, depth: 2, width: 1).filter { $0.constant == 1 }.map(\.field))
        guard transports.count == 1, let transport = transports.first else {
            paths[MbedTLSFact.version] = nil
            return miss(MbedTLSFact.version, Self.version, transports.count)
        }
        paths[MbedTLSFact.datagrams] = FactPath(offsets: transport.offsets, size: 1)
    }

    /// The session that is agreed on stands where the function that completes a handshake takes it from.
    private mutating func deriveSession() {
        let arguments = run(Self.cipher).compactMap { event -> Field? in
            guard case .jumpedOut(_, let arguments) = event.asCall, let field = arguments[0].field, isOfContext(field),
                field.offsets.count == 2, field.width == 4
            else { return nil }
            return field
        }
        guard Set(arguments).count == 1, let suite = arguments.first else {
            return miss(MbedTLSFact.cipher, Self.cipher, Set(arguments).count)
        }
        paths[MbedTLSFact.session] = FactPath(offsets: [suite.offsets[0]], size: 4)
        let taken = Set(
            run(MbedTLS.wrapUps[0]).compactMap { event -> Int32? in
                guard case .stored(let place, let value) = event, place.root == 0, place.count == 0,
                    place.displacement == suite.offsets[0], let field = value.field, isOfContext(field),
                    field.offsets.count == 1, field.width == 8
                else { return nil }
                return field.offsets[0]
            })
        if let negotiated = one(MbedTLSFact.cipher, MbedTLS.wrapUps[0], taken) {
            paths[MbedTLSFact.cipher] = FactPath(offsets: [negotiated, suite.offsets[1]], size: 4)
        }
        // It looks whether the session is a new one, to keep it.
        let configuration = paths[.role]?.offsets[0]
        let flags = Set(
            compared(MbedTLS.wrapUps[0], depth: 2, width: 1).filter {
                $0.constant == 0 && $0.field.offsets[0] != configuration
            }.map(\.field))
        guard flags.count == 1, let flag = flags.first else {
            return miss(MbedTLSFact.resumed, MbedTLS.wrapUps[0], flags.count)
        }
        paths[MbedTLSFact.resumed] = FactPath(offsets: flag.offsets, size: 1)
    }

    private static let fatal: UInt64 = 2

    /// Of a message that is an alert the first byte is looked at: 2 is fatal.
    private mutating func deriveAlert() {
        let messages = Set(
            compared(Self.message, depth: 2, width: 1).filter { $0.constant == Self.fatal && $0.field.offsets[1] == 0 }
                .map(\.field.offsets[0]))
        guard let message = one(MbedTLSFact.alert, Self.message, messages) else { return }
        paths[MbedTLSFact.alert] = FactPath(offsets: [message, 1], size: 1)
    }

    // MARK: the protocol's decision

    private static let reach = 8
    private static let bodyLimit = 20_000

    /// Behind the stores of the protocol that is agreed on, in these functions, and in those that they call or jump to.
    func protocolStores(of names: [String]) -> [CallbackSites.Site] {
        guard let offset = paths[.alpn]?.offsets[0] else { return [] }
        let roles = Set(names.compactMap { symbols[$0]?.address })
        var functions = roles.union(symbols[Self.offer].map { [$0.address] } ?? [])
        for role in roles {
            guard let extent = code.file.functionExtent(containing: role) else { continue }
            let targets = code.instructions(in: extent, limit: Self.bodyLimit).compactMap(\.directTarget)
            functions.formUnion(targets.filter { !extent.contains($0) })
        }
        let uses = FieldUses.find(code, offset: offset).sorted { $0.key < $1.key }
        return uses.filter { functions.contains($0.key) }.flatMap { $0.value.compactMap(site) }
    }

    private func site(_ use: FieldUses.Use) -> CallbackSites.Site? {
        let store = use.instruction
        guard store.kind == TLSWATCH_OP_MOV, store.first.isMemory, store.second.isRegister, store.second.width == 8
        else { return nil }
        for instruction in use.body[(use.index + 1)...].prefix(Self.reach) {
            if SiteChooser.isEmulated(instruction) {
                return CallbackSites.Site(address: instruction.address, object: ObjectPlace(register: UInt8(use.base)))
            }
            guard instruction.written >> UInt16(use.base) & 1 == 0, instruction.kind != TLSWATCH_OP_RET else {
                return nil
            }
        }
        return nil
    }
}

extension AbstractInterpreter.Event {
    /// A call is a jump out of the function that comes back.
    fileprivate var asCall: Self {
        if case .called(let target, let arguments) = self {
            .jumpedOut(target: target, arguments: arguments)
        } else {
            self
        }
    }
}

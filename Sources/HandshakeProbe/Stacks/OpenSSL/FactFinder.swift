import Code

/// Derives where a connection's facts stand from the code of the exported functions that return them.
struct FactFinder {
    let code: CodeReader
    let symbols: [String: ELFSymbol]
    let methods: MethodTables
    let stateMachine: UInt64

    /// What is known of the object's fields.
    private var assumptions: [Place: UInt64] = [:]

    init(code: CodeReader, symbols: [String: ELFSymbol], methods: MethodTables, stateMachine: UInt64) {
        self.code = code
        self.symbols = symbols
        self.methods = methods
        self.stateMachine = stateMachine
    }

    private init(_ other: FactFinder, assumptions: [Place: UInt64]) {
        self = other
        self.assumptions = assumptions
    }

    struct Result {
        var paths: [Fact: FactPath] = [:]
        var notes: [String] = []
    }

    /// In `struct ossl_statem_st` the message-flow state is the first field, the handshake state the
    /// sixth, all of them ints.
    private static let handStateDistance: Int32 = 20
    /// `SSL_TYPE_SSL_CONNECTION`.
    private static let connectionKind: UInt64 = 0
    /// `SSL_CTRL_GET_NEGOTIATED_GROUP`.
    private static let negotiatedGroup: UInt64 = 134

    func derive() -> Result {
        var result = Result()
        guard !symbols.keys.allSatisfy({ !$0.hasPrefix("SSL_") }) else {
            result.notes.append(
                "only version, role and states: the file names none of the functions that return the other facts")
            deriveFlowState(&result)
            deriveFromStateMachine(&result)
            return result
        }
        set(.version, "SSL_version", returned("SSL_version", depth: 1), &result)
        // Where the version is not the first field, that is the kind of the object, and the other
        // paths lead through a QUIC object: the state machine only gets connections.
        if let version = result.paths[.version], version.offsets != [0] {
            return FactFinder(self, assumptions: [Place(root: 0): Self.connectionKind]).deriveOthers(result)
        }
        return deriveOthers(result)
    }

    private func deriveOthers(_ start: Result) -> Result {
        var result = start
        for (fact, getter) in [
            (Fact.role, "SSL_is_server"), (.handState, "SSL_get_state"),
            (.resumed, "SSL_session_reused"),
        ] {
            set(fact, getter, returned(getter, depth: 1), &result)
        }
        deriveFlowState(&result)
        let session = deriveCipher(&result)
        deriveProtocol(&result)
        deriveHostNames(session, &result)
        deriveGroups(session, &result)
        deriveConnection(session, &result)
        return result
    }

    var interpreter: AbstractInterpreter {
        var interpreter = AbstractInterpreter(code: code)
        interpreter.assumptions = assumptions
        return interpreter
    }

    // MARK: - Getters

    /// The fields that a getter returns, with that many loads, none of them through another parameter.
    func returned(_ getter: String, depth: Int, parameters: [Int: AbstractValue] = [:]) -> Set<Field> {
        guard let symbol = symbols[getter] else { return [] }
        var fields: Set<Field> = []
        for case .returned(let value) in interpreter.run(symbol.address, parameters: parameters) {
            if let field = value.field, field.root == 0, field.offsets.count == depth { fields.insert(field) }
        }
        return fields
    }

    /// From 3.2 on the field at offset 0 is the kind of object (TLS or QUIC), which every getter
    /// looks at first; it is the answer only where it is the only one.
    func single(_ fields: Set<Field>) -> Field? {
        if fields.count == 1 { return fields.first }
        let others = fields.filter { $0.offsets != [0] }
        return others.count == 1 ? others.first : nil
    }

    func set(_ fact: Fact, _ source: String, _ fields: Set<Field>, _ result: inout Result) {
        guard let field = single(fields), plausible(field), [1, 2, 4].contains(field.width) else {
            result.notes.append(missing(fact, source, fields))
            return
        }
        result.paths[fact] = FactPath(offsets: field.offsets, size: field.width)
    }

    func missing(_ fact: Fact, _ source: String, _ fields: Set<Field>) -> String {
        fact.missing(in: source, symbols, places: fields.count)
    }

    /// Offsets of a real structure: none negative, none absurd.
    func plausible(_ field: Field) -> Bool { field.offsets.allSatisfy { (0..<0x10000).contains($0) } }

    // MARK: - State

    private func deriveFlowState(_ result: inout Result) {
        let tested = failureTests()
        guard let handState = result.paths[.handState], let offset = handState.offsets.last else {
            // Without names: the first field that the state machine compares with "failed".
            guard let first = tested.first, let offset = first.offsets.first, plausible(first) else {
                result.notes.append("no flowState: the state machine does not test for a failed handshake")
                return
            }
            result.paths[.flowState] = FactPath(offsets: [offset], size: 4)
            result.paths[.handState] = FactPath(offsets: [offset + Self.handStateDistance], size: 4)
            result.notes.append("flowState is the first field that the state machine tests; handState is 20 bytes on")
            return
        }
        guard offset >= Self.handStateDistance else {
            result.notes.append("no flowState: handState has no room before it")
            return
        }
        let flowState = offset - Self.handStateDistance
        result.paths[.flowState] = FactPath(offsets: [flowState], size: 4)
        if !tested.contains(where: { $0.offsets == [flowState] }) {
            result.notes.append(
                "flowState is taken 20 bytes before handState; the state machine's code does not confirm it")
        }
    }

    /// Fields of the connection that the state machine compares with MSG_FLOW_ERROR, in order.
    private func failureTests() -> [Field] {
        var interpreter = interpreter
        interpreter.stepLimit = 600
        // A compiler may move the test into the functions that call it.
        return [methods.accept, stateMachine].flatMap { entry in
            interpreter.run(entry).compactMap { event in
                guard case .compared(let field, 1) = event, field.root == 0, field.offsets.count == 1, field.width == 4
                else { return nil }
                return field
            }
        }
    }

    // MARK: - Session

    /// Sets the cipher's path, and gives the session's offset.
    private func deriveCipher(_ result: inout Result) -> Int32? {
        let ciphers = returned("SSL_get_current_cipher", depth: 2)
        guard let cipher = single(ciphers), plausible(cipher), let session = cipher.offsets.first else {
            result.notes.append(missing(.cipher, "SSL_get_current_cipher", ciphers))
            return nil
        }
        let ids = returned("SSL_CIPHER_get_id", depth: 1)
        guard let id = single(ids), plausible(id), id.width == 4 else {
            result.notes.append(missing(.cipher, "SSL_CIPHER_get_id", ids))
            return session
        }
        result.paths[.cipher] = FactPath(offsets: cipher.offsets + id.offsets, size: 4)
        return session
    }

    private func deriveProtocol(_ result: inout Result) {
        let getter = "SSL_get0_alpn_selected"
        var texts: Set<Field> = []
        var lengths: Set<Field> = []
        for case .stored(let place, let value) in events(getter) where place.count == 0 && place.displacement == 0 {
            guard let field = value.field, field.root == 0 else { continue }
            if place.root == 1 { texts.insert(field) }
            if place.root == 2 { lengths.insert(field) }
        }
        guard let text = single(texts), let length = single(lengths), plausible(text), plausible(length),
            text.offsets.count <= 3, text.width == 8
        else {
            result.notes.append(missing(.alpn, getter, texts))
            return
        }
        result.paths[.alpn] = FactPath(offsets: text.offsets + [0], size: 0, shape: .counted(.alpnLength))
        result.paths[.alpnLength] = FactPath(offsets: length.offsets, size: 4)
    }

    private func deriveHostNames(_ session: Int32?, _ result: inout Result) {
        let getter = "SSL_get_servername"
        // TLSEXT_NAMETYPE_host_name is 0.
        let own = returned(getter, depth: 1, parameters: [1: .constant(0)]).filter { $0.width == 8 }
        let kept = returned(getter, depth: 2, parameters: [1: .constant(0)])
            .filter { $0.width == 8 && $0.offsets.first == session }
        for (fact, fields) in [(Fact.sni, own), (.sessionSNI, kept)] {
            guard let field = single(fields), plausible(field) else {
                result.notes.append(missing(fact, getter, fields))
                continue
            }
            result.paths[fact] = FactPath(offsets: field.offsets + [0], size: 0)
        }
    }

    func events(_ getter: String) -> [AbstractInterpreter.Event] {
        symbols[getter].map { interpreter.run($0.address) } ?? []
    }

    // MARK: - Groups

    /// `SSL_ctrl(s, SSL_CTRL_GET_NEGOTIATED_GROUP, …)` hands the connection's or the session's group
    /// to a function that translates it: the connection's in TLS 1.3, where a flag of it says that it agreed on one.
    private func deriveGroups(_ session: Int32?, _ result: inout Result) {
        guard let control = methodControl() else {
            result.notes.append("no group: SSL_ctrl does not lead to the method's own control function")
            return
        }
        var own: Set<Field> = []
        var kept: Set<Field> = []
        var flags: Set<Field> = []
        var interpreter = interpreter
        interpreter.followsTailJumps = false
        for event in interpreter.run(control, parameters: [1: .constant(Self.negotiatedGroup)]) {
            switch event {
            case .compared(let field, 0):
                if field.root == 0, field.offsets.count == 1, field.width == 1, plausible(field) { flags.insert(field) }
            case .called(_, let arguments), .jumpedOut(_, let arguments):
                // tls1_group_id2nid(id, include_unknown = 1)
                guard let field = arguments[0].field, field.root == 0, field.width == 2 || field.width == 4,
                    arguments[1] == .constant(1), plausible(field)
                else { continue }
                if field.offsets.count == 1 { own.insert(field) }
                if field.offsets.count == 2, field.offsets.first == session { kept.insert(field) }
            default: break
            }
        }
        for (fact, fields) in [(Fact.group, own), (.sessionGroup, kept), (.keyExchanged, flags)] {
            guard let field = single(fields) else {
                result.notes.append("no \(fact): the library's control function gives \(fields.count) places for it")
                continue
            }
            result.paths[fact] = FactPath(offsets: field.offsets, size: field.width)
        }
    }

    /// The function behind `s->method->ssl_ctrl`, of `TLS_method`'s table.
    func methodControl() -> UInt64? {
        guard let symbol = symbols["SSL_ctrl"] else { return nil }
        for event in interpreter.run(symbol.address, parameters: [1: .constant(Self.negotiatedGroup)]) {
            switch event {
            case .called(let target, _), .jumpedOut(let target, _):
                guard let field = target.field, field.root == 0, field.offsets.count == 2, field.width == 8,
                    let slot = field.offsets.last, slot > 0,
                    let function = code.file.pointer(at: methods.full &+ UInt64(UInt32(bitPattern: slot))),
                    code.file.isCode(function)
                else { continue }
                return function
            default: break
            }
        }
        return nil
    }
}

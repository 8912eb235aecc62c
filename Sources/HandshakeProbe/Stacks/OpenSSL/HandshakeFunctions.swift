import Code

/// The hidden functions of a handshake.
struct HandshakeFunctions {
    let code: CodeReader
    let symbols: [String: ELFSymbol]
    let methods: MethodTables
    let stateMachine: UInt64

    init(_ code: CodeReader, _ symbols: [String: ELFSymbol], _ methods: MethodTables) throws(AnalysisError) {
        self.code = code
        self.symbols = symbols
        self.methods = methods
        // accept and connect both go to the state machine, and tell it which they are.
        let targets = Self.targets(code, methods.accept, server: 1)
            .intersection(Self.targets(code, methods.connect, server: 0))
        guard targets.count == 1, let stateMachine = targets.first else {
            throw AnalysisError(
                "the handshake's state machine was not found: accept and connect share \(targets.count) targets")
        }
        self.stateMachine = stateMachine
    }

    /// Functions to which `entry` passes its object and the constant `server`.
    private static func targets(_ code: CodeReader, _ entry: UInt64, server: UInt64) -> Set<UInt64> {
        var interpreter = AbstractInterpreter(code: code)
        interpreter.followsTailJumps = false
        var targets: Set<UInt64> = []
        for event in interpreter.run(entry) {
            switch event {
            case .called(.constant(let target), let arguments), .jumpedOut(.constant(let target), let arguments):
                if arguments[0] == .place(Place(root: 0), width: 0), arguments[1] == .constant(server) {
                    targets.insert(target)
                }
            default: break
            }
        }
        return targets
    }

    /// Adds the sites of the functions that were found; `flowState` is the offset of the message-flow state.
    func addSites(_ sites: inout SiteList, flowState: Int32?) {
        let exits = InnerSites(code: code).exits(of: stateMachine)
        sites.add(.call, "state_machine", stateMachine, argument: .parameter1, returns: exits == nil)
        for exit in exits ?? [] {
            sites.add(.callExit, "state_machine exit", exit)
        }
        if exits == nil {
            sites.notes.append(
                "state_machine's ways out were not found: a return probe stands in, which a program must not "
                    + "meet that changes stacks inside a call")
        }
        addKeyChange(&sites, 0x304, "tls13_change_cipher_state", .tls13)
        addKeyChange(&sites, 0x303, "tls1_change_cipher_state", .tls12)
        if let function = methods.masterSecret[0x303] {
            sites.add(.masterSecret, "tls1_generate_master_secret", function, phases: [.on, .full])
        } else {
            sites.notes.append("tls1_generate_master_secret was not found: no table of its version holds the label")
        }
        if let function = symbols["tls_parse_stoc_alpn"]?.address
            ?? ExtensionTable.parser(code.file, near: methods.full, type: ExtensionTable.alpn)
        {
            sites.add(.alpnAnswer, "tls_parse_stoc_alpn", function, phases: [.on, .full])
        } else {
            sites.notes.append("tls_parse_stoc_alpn was not found: no table of extensions of the known shape")
        }
        addFatal(&sites, flowState)
    }

    /// The change of keys: where a handshake installs its first ones, or each change where that place is not found and where all
    /// of them are wanted. Below TLS 1.3 it also shows, where no phase is measured, that a renegotiation takes place.
    private func addKeyChange(
        _ sites: inout SiteList, _ version: UInt32, _ name: String, _ changes: KeyChangeSites.Changes
    ) {
        guard let function = methods.keyChange[version] else {
            sites.notes.append("\(name) was not found: no table of its version holds the Finished label")
            return
        }
        let first = KeyChangeSites(code: code).firstKeys(in: function, changes)
        if let first { sites.add(.keyChange, "\(name) first keys", first, phases: .on) }
        sites.add(
            .keyChange, name, function, argument: .parameter1, phases: first == nil ? [.on, .full] : .full)
        guard version == 0x303 else { return }
        if let first {
            sites.add(.newKeys, "\(name) first keys", first, phases: .off)
        } else {
            sites.add(.newKeys, name, function, phases: .off)
        }
    }

    private func addFatal(_ sites: inout SiteList, _ flowState: Int32?) {
        let finder = FatalFinder(code: code, symbols: symbols, flowState: flowState)
        guard let fatal = finder.find() ?? finder.reportedTo(by: stateMachine) else {
            sites.notes.append(
                "ossl_statem_fatal was not found: no one function reports an error and marks the handshake as failed")
            return
        }
        // Up to 1.1.1 the reporting function is a parameter of its own, before the reason.
        sites.add(
            .fatal, "ossl_statem_fatal", fatal.address, argument: .parameter1,
            argument2: fatal.namesFunction ? .parameter3 : .parameter2)
        if let recordLayer = finder.recordLayerFatal(besides: fatal.address) {
            // Its object is the record layer, not the connection: the call on the thread tells whose it is.
            sites.add(
                .fatal, "ossl_rlayer_fatal", recordLayer, object: nil, argument: .parameter1,
                argument2: .parameter2)
        }
    }
}

import Code

/// BoringSSL, since 2022, and AWS-LC, which share everything that matters here: as shared libraries and inside programs, with
/// symbols or without.
///
/// There are no versions, and the offsets differ in nearly every build: all of them are read from the code.
package enum BoringSSL: TLSStack {
    package static var name: String { "boringssl" }
    package static var title: String { "BoringSSL" }
    package static var libraries: [String] { ["libboringssl"] }
    /// A shared libssl has not the code of the transport.
    package static var companion: CompanionName? { CompanionName(of: "libssl", companion: "libcrypto") }
    package static var marks: [String] { ["ssl/ssl_lib.cc"] }
    package static var rules: SessionRules { .boringSSL }

    /// What its libcrypto exports, and OpenSSL's does not.
    private static let cryptoExports = ["BORINGSSL_self_test"]

    package static func recognises(_ file: ELFFile) -> Bool {
        ExtensionRows.find(file) != nil || file.exportsAny(of: cryptoExports)
    }

    package static func analyse(_ file: ELFFile) throws(AnalysisError) -> LibraryAnalysis {
        let code = CodeReader(file)
        guard let rows = ExtensionRows.find(file) else { return try companion(code) }
        let symbols = symbols(file)
        let marks = CodeMarks(
            file,
            errors: [
                HandshakeCalls.notSet, ConnectionLayout.cipherNotReturned, ConnectionLayout.noTransport,
                HandshakeMoments.noProtocol,
            ])
        let calls = try HandshakeCalls(code, marks, named: symbols["SSL_do_handshake"]?.address)
        var layout = ConnectionLayout(code, calls, rows)
        let tables = MethodTable.find(file, near: rows.address, confirmed: layout.dispatchesAlert)
        if !tables.isEmpty { layout.confirmAlert() }
        layout.readCipher(marks.errors[ConnectionLayout.cipherNotReturned] ?? [])
        layout.readTransport(marks.beginnings(of: marks.errors[ConnectionLayout.noTransport] ?? []))
        layout.readGetters(symbols)
        try layout.require()

        var result = LibraryAnalysis(stack: name, version: nil, sites: [], notes: layout.notes)
        let random =
            symbols[ClientRandom.getter].flatMap { ClientRandom.paths(AbstractInterpreter(code: code), $0) }
            ?? ClientRandom.boringSSL(state: calls.state)
        let paths = layout.paths(state: calls.state, handshake: calls.handshake).merging(random) { $1 }
        result.take(facts: paths, expendable: expendable)
        var sites = SiteList(code: code)
        for (number, copy) in calls.copies.enumerated() {
            let name = calls.copies.count == 1 ? "SSL_do_handshake" : "SSL_do_handshake (\(number + 1))"
            sites.add(.call, name, at: copy.call, object: copy.object)
            sites.add(.callExit, "\(name) exit", at: copy.exit, object: copy.object, argument: copy.result)
        }
        if calls.unread > 0 {
            sites.notes.append("\(calls.unread) calls of ssl_run_handshake are of no known shape: those are not seen")
        }
        for table in tables {
            result.identity.append(
                KernelStates.Test(
                    fact: BoringSSLFact.method, mask: pageMask,
                    value: UInt32(truncatingIfNeeded: table.address) & pageMask))
            addMethods(&sites, table, layout.flush)
        }
        if tables.isEmpty {
            sites.notes.append("no key changes and no end of objects: no SSL_PROTOCOL_METHOD of the known shape")
        }
        if let parser = rows.function(file, ExtensionRows.applicationProtocol, .parseServerHello) {
            // Its parameter is the handshake, whose first field is the connection.
            sites.add(
                .alpnAnswer, "ext_alpn_parse_serverhello", parser, size: shortest, object: .memory(.parameter0),
                phases: [.on, .full])
        }
        addMoments(&sites, HandshakeMoments(code: code, marks: marks))
        let near = rows.functions(file) + [calls.stateMachine] + calls.copies.map(\.function)
        addAgreements(&sites, AgreementCalls(code: code, marks: marks).sites(near: near))
        result.sites = sites.sites
        result.notes += sites.notes
        result.transport = TransportKinds(code).layout()
        return result
    }

    /// Of a libcrypto: how its transports are read.
    private static func companion(_ code: CodeReader) throws(AnalysisError) -> LibraryAnalysis {
        guard code.file.exportsAny(of: cryptoExports) else {
            throw AnalysisError("it has no table of extensions of BoringSSL's shape")
        }
        var result = LibraryAnalysis(stack: name, version: nil, sites: [], notes: [])
        result.isCompanion = true
        result.transport = TransportKinds(code).layout()
        return result
    }

    /// Where a file is loaded is a multiple of a page.
    private static let pageMask: UInt32 = 0xfff
    /// Bytes that a function has at least, where the file does not tell where it ends.
    private static let shortest: UInt64 = 32

    private static func addMethods(_ sites: inout SiteList, _ table: MethodTable, _ flush: Int32?) {
        let prefix = table.isDatagram ? "dtls1" : "tls"
        if let flush, let read = table.setReadState(flush: flush), let write = table.setWriteState(flush: flush) {
            sites.add(
                .keyChange, "\(prefix)_set_read_state", read, size: shortest, argument: .parameter1,
                phases: [.on, .full])
            sites.add(
                .keyChange, "\(prefix)_set_write_state", write, size: shortest,
                argument: ValuePlace(.parameter1, offset: Int16(BoringSSLState.writes)), phases: [.on, .full])
        } else {
            sites.notes.append("no key changes: the protocol's functions are not in their places")
        }
        if let free = table.free { sites.add(.objectFree, "\(prefix)_free", free, size: shortest) }
    }

    private static func addMoments(_ sites: inout SiteList, _ moments: HandshakeMoments) {
        if let (site, object) = moments.decision() {
            sites.add(.alpnSelect, "ssl_negotiate_alpn decision", at: site, object: object, phases: [.on, .full])
        } else {
            sites.notes.append("a server's ALPN decision is seen at its next key change: no callback of a known shape")
        }
        if let function = moments.masterSecret() {
            sites.add(
                .masterSecret, "tls1_generate_master_secret", function, size: shortest, object: .memory(.parameter0),
                phases: [.on, .full])
        } else {
            sites.notes.append("no key-exchange time of servers below TLS 1.3: not one function has the secret's label")
        }
    }

    /// Calls of the key agreement: a client's and a server's, of TLS 1.3 and below.
    private static let mostAgreements = 4

    private static func addAgreements(_ sites: inout SiteList, _ agreements: [AgreementCalls.Site]) {
        guard (1...mostAgreements).contains(agreements.count) else {
            sites.notes.append("no key-exchange compute time: \(agreements.count) calls have the known shape")
            return
        }
        for (number, agreement) in agreements.enumerated() {
            let name = "SSLKeyShare call (\(number + 1))"
            sites.add(.keyAgreement, name, at: agreement.begin, object: nil, phases: .full)
            sites.add(.keyAgreementExit, "\(name) result", at: agreement.exit, object: nil, phases: .full)
        }
    }

    /// Functions that have a name in most builds, and what swift-nio-ssl puts before it.
    private static let named = [
        "SSL_do_handshake", "SSL_used_hello_retry_request", "SSL_get_verify_mode", "SSL_get_rbio", ClientRandom.getter,
    ]
    private static let prefixes = ["", "CNIOBoringSSL_"]

    private static func symbols(_ file: ELFFile) -> [String: ELFSymbol] {
        let found = file.symbols(named: prefixes.flatMap { prefix in named.map { prefix + $0 } })
        return named.reduce(into: [:]) { symbols, name in
            symbols[name] = prefixes.lazy.compactMap { found[$0 + name] }.first
        }
    }
}

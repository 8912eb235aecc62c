import Code

/// OpenSSL 1.1.1 and later, as shared libraries and linked into programs.
///
/// Nothing here depends on a version's layout: hidden functions are found through the tables that
/// name them, and fields through the code of the functions that read them.
package enum OpenSSL: TLSStack {
    package static var name: String { "openssl" }
    package static var title: String { "OpenSSL" }
    package static var libraries: [String] { ["libssl.so", "libssl-"] }
    /// A shared libssl does not have its version, nor the code of the transport and of asynchronous jobs.
    package static var companion: CompanionName? { CompanionName(of: "libssl", companion: "libcrypto") }
    package static var marks: [String] { ["client finished\0", "ssl/statem/statem.c\0"] }
    package static var rules: SessionRules { .openSSL }

    /// Names that others have not who share OpenSSL's interface, but none of its insides.
    private static let exports = ["SSL_stateless", "ASYNC_pause_job"]
    /// The same in the static table of a program: what its linker cannot leave out.
    private static let insides = ["ossl_statem_accept", "ASYNC_pause_job"]

    package static func recognises(_ file: ELFFile) -> Bool {
        // Exports are found by hash; the static table is read only where they do not tell.
        file.exportsAny(of: exports) || !file.functions(named: insides).isEmpty || StrippedOpenSSL.recognises(file)
    }

    package static func analyse(_ file: ELFFile) throws(AnalysisError) -> LibraryAnalysis {
        let code = CodeReader(file)
        let symbols = file.functions(named: SymbolNames.all)
        var sites = SiteList(code: code)
        var result = LibraryAnalysis(
            stack: name, version: VersionText.find(code, symbols), sites: [], notes: [])

        // What exports libcrypto's functions would export libssl's, if it had them: it is not searched for their tables.
        let methods =
            symbols["TLS_method"] != nil
            ? try MethodTables.byName(code, symbols)
            : file.exportsAny(of: ["ASYNC_pause_job"]) ? nil : StrippedOpenSSL.methods(file)
        if let methods {
            let functions = try HandshakeFunctions(code, symbols, methods)
            let facts = FactFinder(code: code, symbols: symbols, methods: methods, stateMachine: functions.stateMachine)
                .derive()
            result.notes += facts.notes
            result.take(facts: facts.paths, expendable: expendable)
            functions.addSites(&sites, flowState: facts.paths[.flowState]?.offsets.first)
            addKeyAgreement(&sites, symbols)
            addALPNDecision(&sites, symbols)
            // From 3.2 on SSL_free gets the outer SSL; on TLS that is the connection's first member,
            // and so the same address.
            addNamed(&sites, .objectFree, "SSL_free", symbols)
        } else if symbols["ASYNC_pause_job"] == nil {
            throw AnalysisError("it holds text of OpenSSL, but no method tables of a known shape")
        } else {
            result.isCompanion = true
        }
        if let pause = symbols["ASYNC_pause_job"] {
            sites.add(.pause, "ASYNC_pause_job", pause.address, size: pause.size, object: nil)
        }
        result.transport = TransportFinder(code: code, symbols: symbols).layout()
        result.sites = sites.sites
        result.notes += sites.notes
        return result
    }

    /// libssl's own calls of the key agreement, rather than the functions themselves: those run for others too. Its failure
    /// alone is told by a site that nothing else comes to, which costs nothing.
    private static func addKeyAgreement(_ sites: inout SiteList, _ symbols: [String: ELFSymbol]) {
        let finder = InnerSites(code: sites.code)
        for (callee, caller) in [
            ("EVP_PKEY_derive", "ssl_derive"), ("EVP_PKEY_encapsulate", "ssl_encapsulate"),
            ("EVP_PKEY_decapsulate", "ssl_decapsulate"),
        ] {
            let found = finder.agreements(callee, in: symbols[caller])
            for agreement in found {
                let phases: Phases = agreement.failure == nil ? [.on, .full] : .full
                sites.add(.keyAgreement, "\(callee) call", agreement.call, argument: .parameter1, phases: phases)
                sites.add(.keyAgreementExit, "\(callee) result", agreement.exit, argument: .result, phases: phases)
                if let failure = agreement.failure {
                    sites.add(.keyAgreementFailed, "\(callee) failure", failure, phases: .on)
                }
            }
            // Before 3.0 there is no key encapsulation at all.
            if found.isEmpty, callee == "EVP_PKEY_derive" {
                sites.notes.append("no key-exchange compute time: no call of \(callee) has the known shape")
            }
        }
    }

    /// Where a server decides the protocol; where that is not found, what callbacks mostly use for it.
    private static func addALPNDecision(_ sites: inout SiteList, _ symbols: [String: ELFSymbol]) {
        let finder = ALPNDecision(code: sites.code)
        if let setter = symbols["SSL_CTX_set_alpn_select_cb"],
            let site = finder.site(setter: setter.address, named: symbols["tls_handle_alpn"]?.address)
        {
            sites.add(.alpnSelect, "tls_handle_alpn decision", site, phases: [.on, .full])
        } else {
            addNamed(&sites, .alpnSelect, "SSL_select_next_proto", symbols)
        }
    }

    /// A function of the library's interface.
    private static func addNamed(
        _ sites: inout SiteList, _ hook: HookKind, _ name: String, _ symbols: [String: ELFSymbol]
    ) {
        guard let symbol = symbols[name] else {
            sites.notes.append("\(name) is not in the symbol tables")
            return
        }
        sites.add(
            hook, name, symbol.address, size: symbol.size, object: hook == .objectFree ? .parameter0 : nil,
            phases: hook == .objectFree ? .all : [.on, .full])
    }
}

/// The symbols that the analysis asks for, together: a static table is read once.
enum SymbolNames {
    static let all = [
        "TLS_method", "TLS_client_method", "TLS_server_method", "OpenSSL_version",
        "SSL_version", "SSL_is_server", "SSL_get_state", "SSL_session_reused", "SSL_get_current_cipher",
        "SSL_CIPHER_get_id", "SSL_get0_alpn_selected", "SSL_get_servername", "SSL_ctrl",
        "SSL_get_early_data_status", "SSL_stateless", "SSL_get_verify_mode", "SSL_get0_peer_certificate",
        "SSL_get_peer_certificate", "SSL_up_ref", "SSL_want", "SSL_get_shutdown", "SSL_get_verify_result",
        "SSL_get_rbio", "SSL_client_hello_get0_ext", "BIO_method_type", "BIO_method_name", "BIO_get_retry_reason",
        "BIO_get_data",
        "BIO_next", ClientRandom.getter,
        "SSL_CTX_set_alpn_select_cb", "tls_handle_alpn", "SSL_select_next_proto", "SSL_free", "ASYNC_pause_job",
        "ssl_derive", "ssl_encapsulate", "ssl_decapsulate",
        "ossl_statem_fatal", "ossl_rlayer_fatal", "tls_parse_stoc_alpn", "ERR_vset_error",
    ]
}

extension SiteList {
    mutating func add(
        _ hook: HookKind, _ symbol: String, _ site: InnerSites.Site, argument: ValuePlace? = nil, phases: Phases = .all
    ) {
        add(hook, symbol, at: site.address, object: site.object, argument: argument, phases: phases)
    }
}

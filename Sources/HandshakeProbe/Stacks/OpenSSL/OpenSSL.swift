/// OpenSSL 1.1.1 and later, as shared libraries and linked into programs.
///
/// Nothing here depends on a version's layout: hidden functions are found through the tables that
/// name them, and fields through the code of the functions that read them.
public enum OpenSSL: TLSStack {
    public static var name: String { "openssl" }

    /// Exported by BoringSSL alone, which shares many of OpenSSL's names and none of its insides.
    private static let boringMarkers = ["SSL_CTX_set_grease_enabled", "BORINGSSL_self_test"]

    public static func recognises(_ file: ELFFile) -> Bool {
        let own = ["TLS_method", "EVP_PKEY_derive"]
        // Exports are found by hash; the static table is read only where they do not tell.
        if file.exportsAny(of: own) { return !file.exportsAny(of: boringMarkers) }
        let symbols = file.symbols(named: own + boringMarkers)
        if boringMarkers.contains(where: { symbols[$0] != nil }) { return false }
        return !symbols.isEmpty || StrippedOpenSSL.recognises(file)
    }

    public static func analyse(_ file: ELFFile) throws(AnalysisError) -> LibraryAnalysis {
        let code = CodeReader(file)
        let symbols = file.symbols(named: SymbolNames.all)
        var sites = SiteList(code: code)
        var result = LibraryAnalysis(
            stack: name, version: VersionText.find(code, symbols), sites: [], facts: [:], notes: [])

        let methods =
            symbols["TLS_method"] != nil
            ? try MethodTables.byName(code, symbols) : StrippedOpenSSL.methods(file)
        if let methods {
            let functions = try HandshakeFunctions(code, symbols, methods)
            let facts = FactFinder(code: code, symbols: symbols, methods: methods, stateMachine: functions.stateMachine)
                .derive()
            result.facts = facts.paths
            result.notes += facts.notes
            functions.addSites(&sites, flowState: facts.paths[.flowState]?.offsets.first)
            for (name, hook) in [("SSL_select_next_proto", HookKind.alpnSelect), ("SSL_free", .objectFree)] {
                guard let symbol = symbols[name] else {
                    sites.notes.append("\(name) is not in the symbol tables")
                    continue
                }
                // From 3.2 on SSL_free gets the outer SSL; on TLS that is the connection's first member,
                // and so the same address.
                sites.add(hook, name, symbol.address, size: symbol.size, object: hook == .objectFree ? 0 : nil)
            }
        } else if symbols["EVP_PKEY_derive"] == nil {
            throw AnalysisError("it holds text of OpenSSL, but no method tables of a known shape")
        }
        addKeyAgreement(&sites, symbols)
        result.sites = sites.sites
        result.notes += sites.notes
        return result
    }

    private static func addKeyAgreement(_ sites: inout SiteList, _ symbols: [String: ELFSymbol]) {
        guard let derive = symbols["EVP_PKEY_derive"] else { return }
        guard symbols["EVP_KDF_derive"] != nil else {
            sites.notes.append(
                "EVP_PKEY_derive is left out: before OpenSSL 3 it also runs the key schedule's hash functions")
            return
        }
        sites.add(.keyAgreement, "EVP_PKEY_derive", derive.address, size: derive.size, object: nil, argument: 1)
    }
}

/// The symbols that the analysis asks for, together: a static table is read once.
enum SymbolNames {
    static let all = [
        "TLS_method", "TLS_client_method", "TLS_server_method", "OpenSSL_version",
        "SSL_version", "SSL_is_server", "SSL_get_state", "SSL_session_reused", "SSL_get_current_cipher",
        "SSL_CIPHER_get_id", "SSL_get0_alpn_selected", "SSL_get_servername", "SSL_ctrl",
        "SSL_select_next_proto", "SSL_free", "EVP_PKEY_derive", "EVP_KDF_derive",
        "ossl_statem_fatal", "tls_parse_stoc_alpn", "ERR_vset_error",
    ]
}

/// Collects probe sites, and the reasons for those that are missing or dear.
struct SiteList {
    let code: CodeReader
    private(set) var sites: [ProbeSite] = []
    var notes: [String] = []

    init(code: CodeReader) { self.code = code }

    /// Adds a site in the function at `address`; `size` bounds it where the file has no unwind
    /// information. Parameters are numbered from 0.
    mutating func add(
        _ hook: HookKind, _ symbol: String, _ address: UInt64, size: UInt64 = 0, object: Int?, argument: Int? = nil,
        argument2: Int? = nil
    ) {
        let end = code.file.functionExtent(containing: address)?.upperBound ?? address.addingClamped(size)
        guard address < end, code.file.isCode(address) else {
            notes.append("\(symbol) is left out: the file does not say where it ends")
            return
        }
        let needed = [object, argument, argument2].compactMap(\.self)
        let chooser = SiteChooser(code: code)
        guard let site = chooser.choose(address..<end, parameters: needed, needsReturn: hook.hasReturn),
            let offset = code.file.fileOffset(ofAddress: site.address)
        else {
            notes.append("\(symbol) is left out: a loop leads back to its first instruction")
            return
        }
        if let note = site.note { notes.append("\(symbol) is single-stepped: \(note)") }
        guard !sites.contains(where: { $0.hook == hook && $0.fileOffset == offset }) else { return }
        sites.append(
            ProbeSite(
                hook: hook, symbol: symbol, fileOffset: offset, mode: site.mode, objectParameter: object,
                argumentParameter: argument, argument2Parameter: argument2))
    }
}

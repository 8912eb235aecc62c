import TestSupport
import Testing

@testable import Code
@testable import HandshakeProbe

@Suite("Recognising OpenSSL", .enabled(if: Machine.has(Machine.libssl, Machine.libcrypto, "/usr/bin/nm")))
struct OpenSSLTests {
    private func offsets(_ analysis: LibraryAnalysis, _ hook: HookKind) -> [UInt64] {
        analysis.sites.filter { $0.hook == hook }.map(\.fileOffset)
    }

    @Test("The host's shared libssl is known with version and hooks") func sharedLibSSL() throws {
        let file = try ELFFile(path: Machine.libssl)
        #expect(OpenSSL.recognises(file))
        let analysis = try OpenSSL.analyse(file)
        #expect(analysis.observesSessions)
        #expect(analysis.notes.isEmpty)
        #expect(
            Set(analysis.sites.map(\.hook))
                == Set(HookKind.allCases).subtracting([
                    .pause, .group, .helloRetry, .alertSent, .messageReceived, .messageSent, .stateDropped, .completed,
                    .failed,
                ]))
        #expect(analysis.sites.allSatisfy { !$0.returns }, "no return probe where the way out is known")
        for phases in [Phases.on, .full] {
            let changes = analysis.sites.filter { $0.hook == .keyChange && $0.phases.contains(phases) }
            #expect(changes.count == 2, "one below TLS 1.3 and one in it")
        }
        #expect(
            analysis.sites.filter { $0.phases == .on }.map(\.hook).sorted { $0.rawValue < $1.rawValue }
                == [.keyChange, .keyChange, .keyAgreementFailed, .keyAgreementFailed, .keyAgreementFailed])
        #expect(analysis.sites.allSatisfy { $0.mode == .emulated })
        #expect(Set(OpenSSL.facts).subtracting(analysis.facts.keys).isSubset(of: [.flags]))
        let witness = try Tool.symbols(["-D", "--defined-only", Machine.libssl])
        let start = try #require(witness["SSL_free"])
        let site = try #require(offsets(analysis, .objectFree).first.flatMap(file.address(ofFileOffset:)))
        #expect((start..<start + 32).contains(site))
        let decisions = analysis.sites.filter { $0.hook == .alpnSelect }
        #expect(decisions.count == 1)
        #expect(decisions.allSatisfy { $0.object != nil }, "a decision that knows its connection")
        // The session's group: measured 16 bytes behind its cipher on 3.0.
        let cipher = try #require(analysis.facts[.cipher]?.offsets)
        if cipher[1] == 0x2f8 { #expect(analysis.facts[.sessionGroup]?.offsets == [cipher[0], cipher[1] + 0x10]) }
    }

    @Test("A libcrypto by itself has the hooks of its own functions") func libCryptoAlone() throws {
        let file = try ELFFile(path: Machine.libcrypto)
        #expect(OpenSSL.recognises(file))
        let analysis = try OpenSSL.analyse(file)
        #expect(analysis.sites.map(\.hook) == [.pause])
        #expect(!analysis.observesSessions)
        #expect(analysis.facts.isEmpty)
        #expect(analysis.version?.hasPrefix("3.") == true)
    }

    @Test("Files of other kinds are not taken for OpenSSL") func othersAreNotRecognised() throws {
        #expect(!OpenSSL.recognises(try ELFFile(path: "/usr/lib/x86_64-linux-gnu/libc.so.6")))
        #expect(!OpenSSL.recognises(try CodeImage.file([0xc3])))
        // Pointers that a program fills by dlsym(3).
        let pointers = "void *TLS_method, *ASYNC_pause_job; int main(void) { return 0; }"
        for options in [["-O1"], ["-O1", "-rdynamic"]] {
            #expect(!OpenSSL.recognises(try ELFFile(path: try Machine.compile(pointers, options))))
        }
    }

    @Test(
        "A stack that is not observed yet is told by name",
        .enabled(if: Machine.has("/usr/lib/x86_64-linux-gnu/libbotan-2.so.19")))
    func unsupportedStacks() throws {
        #expect(UnsupportedStacks.recognise(try ELFFile(path: "/usr/lib/x86_64-linux-gnu/libbotan-2.so.19")) == "botan")
        for plain in [
            "/usr/lib/x86_64-linux-gnu/libc.so.6", "/bin/bash", "/usr/lib/x86_64-linux-gnu/libcurl-gnutls.so.4",
        ]
        where Machine.has(plain) {
            #expect(UnsupportedStacks.recognise(try ELFFile(path: plain)) == nil, "\(plain)")
        }
    }

    /// Node names its hidden functions: the ways that need no names must lead to the same places.
    @Test("A program with OpenSSL inside is known like a library", .enabled(if: Machine.has(Machine.node)))
    func programWithOpenSSLInside() throws {
        let file = try ELFFile(path: Machine.node)
        let analysis = try OpenSSL.analyse(file)
        let witness = try Tool.symbols(["--defined-only", Machine.node])
        #expect(analysis.observesSessions)
        #expect(analysis.version != nil)
        for site in analysis.sites {
            let address = try #require(file.address(ofFileOffset: site.fileOffset))
            let inside: [String: [String]] = [
                "state_machine exit": ["state_machine.part.0", "state_machine"],
                "EVP_PKEY_derive": ["ssl_derive"], "EVP_PKEY_encapsulate": ["ssl_encapsulate"],
                "EVP_PKEY_decapsulate": ["ssl_decapsulate"],
                "tls13_change_cipher_state": ["tls13_change_cipher_state"],
                "tls1_change_cipher_state": ["tls1_change_cipher_state"],
                "tls_handle_alpn": ["tls_handle_alpn", "tls_post_process_client_hello"],
                "SSL_free": ["SSL_free"], "ossl_statem_fatal": ["ossl_statem_fatal"],
            ]
            let callee = String(site.symbol.prefix { $0 != " " })
            if let names = inside[site.symbol] ?? inside[callee] {
                let starts = names.compactMap { witness[$0] }
                #expect(
                    starts.contains { file.functionExtent(containing: $0)?.contains(address) == true }, "\(site.symbol)"
                )
                continue
            }
            let name = site.hook == .call ? "state_machine.part.0" : site.symbol
            let start = try #require(witness[name] ?? witness["state_machine"])
            #expect(file.functionExtent(containing: start)?.contains(address) == true, "\(site.symbol)")
        }
        let code = CodeReader(file)
        let symbols = file.symbols(named: SymbolNames.all)
        let methods = try MethodTables.byName(code, symbols)
        let named = try #require(witness["tls_parse_stoc_alpn"])
        #expect(ExtensionTable.parser(file, near: methods.full, type: ExtensionTable.alpn) == named)
        let fatal = FatalFinder(
            code: code, symbols: ["ossl_statem_fatal": try #require(symbols["ossl_statem_fatal"])], flowState: nil)
        #expect(fatal.find()?.address == witness["ossl_statem_fatal"])
    }

    @Test(
        "Version texts",
        arguments: [
            ("OpenSSL 3.0.19 27 Jan 2026", "3.0.19"), ("OpenSSL 1.1.1g  21 Apr 2020", "1.1.1g"),
            ("OpenSSL 3.0.13+quic 30 Jan 2024", "3.0.13+quic"), ("OpenSSL CMS", nil), ("OpenSSL 3", nil), ("", nil),
            ("LibreSSL 3.8.2", nil),
        ])
    func versionText(_ text: String, _ expected: String?) { #expect(VersionText.parse(text) == expected) }

    /// An attacker's file: the tables lead everywhere but to the code.
    @Test("A method function that returns no table gives no hook") func aMethodFunctionThatReturnsNoTable() throws {
        guard Machine.has(Machine.compiler) else { return }
        let path = try Machine.compile(
            "void *TLS_method(void) { return 0; } void *TLS_client_method(void) { return TLS_method; }"
                + "void *TLS_server_method(void) { return TLS_method; } void SSL_stateless(void) {}",
            ["-shared", "-fPIC", "-nostdlib"])
        let file = try ELFFile(path: path)
        #expect(OpenSSL.recognises(file))
        #expect(throws: AnalysisError.self) { try OpenSSL.analyse(file) }
    }

    @Test("A libssl without section headers has the same sites")
    func libSSLWithoutSections() throws {
        let stripped = try ELFFile(bytes: Machine.bytesWithoutSections(Machine.libssl))
        #expect(try OpenSSL.analyse(stripped).sites == OpenSSL.analyse(ELFFile(path: Machine.libssl)).sites)
    }
}

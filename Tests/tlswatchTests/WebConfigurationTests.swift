import Foundation
import TestSupport
import Testing

@testable import tlswatch

private let hash = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"

@Suite("The web configuration") struct WebConfigurationTests {
    private func parse(_ text: String) throws -> WebConfiguration {
        try WebConfiguration(text: text, path: "/etc/tlswatch/web.yml")
    }

    private func tls(_ text: String) throws -> WebConfiguration.TLS {
        let lines = text.split(separator: "\n").map { "  \($0)\n" }.joined()
        return try #require(
            try parse("tls_server_config:\n  cert_file: server.crt\n  key_file: /keys/server.key\n\(lines)").tls)
    }

    @Test("An empty file, and empty sections, ask for nothing")
    func anEmptyWebFileAsksForNothing() throws {
        for text in ["", "# nothing\n", "{}", "tls_server_config:\nbasic_auth_users: {}\nrate_limit: ~\n"] {
            #expect(try parse(text) == WebConfiguration())
        }
    }

    @Test("Every key of the format is read, with the toolkit's defaults")
    func everyKeyIsRead() throws {
        let plain = try tls("")
        #expect(plain.certificate == .file("/etc/tlswatch/server.crt", key: "tls_server_config.cert_file"))
        #expect(plain.key == .file("/keys/server.key", key: "tls_server_config.key_file"))
        #expect(plain.minimumVersion == .tls12)
        #expect(plain.maximumVersion == .tls13)
        #expect(plain.clientAuthentication == .none)
        #expect(plain.cipherSuites.isEmpty)
        #expect(plain.curves.isEmpty)

        let configuration = try parse(
            """
            tls_server_config:
              cert: |
                PEM
              key: "KEY"
              client_ca_file: ca.pem
              client_auth_type: RequireAndVerifyClientCert
              client_allowed_sans: [a.example, 10.0.0.1]
              min_version: TLS10
              max_version: TLS12
              cipher_suites:
                - TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
                - TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA
              prefer_server_cipher_suites: false
              curve_preferences: [X25519, CurveP521]
            http_server_config:
              http2: false
              headers:
                X-Frame-Options: deny
                X-XSS-Protection: 1
                X-Content-Type-Options: nosniff
                Strict-Transport-Security: ""
                Content-Security-Policy: "default-src 'self'"
            basic_auth_users:
              alice: \(hash)
              bob: $2a$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i
            rate_limit:
              interval: "1m30s"
              burst: 20
            """)
        let tls = try #require(configuration.tls)
        #expect(tls.certificate == .inline("PEM\n", key: "tls_server_config.cert"))
        #expect(tls.key == .inline("KEY", key: "tls_server_config.key"))
        #expect(tls.clientAuthority == .file("/etc/tlswatch/ca.pem", key: "tls_server_config.client_ca_file"))
        #expect(tls.clientAuthentication == .requireAndVerify)
        #expect(tls.clientAllowedNames == ["a.example", "10.0.0.1"])
        #expect(tls.minimumVersion == .tls10)
        #expect(tls.maximumVersion == .tls12)
        #expect(tls.cipherSuites == [.rsaAES256, .ecdsaAES128CBC])
        #expect(tls.curves == [.x25519, .p521])
        #expect(
            configuration.headers == [
                "X-Frame-Options": "deny", "X-XSS-Protection": "1", "X-Content-Type-Options": "nosniff",
                "Content-Security-Policy": "default-src 'self'",
            ])
        #expect(configuration.users.keys.sorted() == ["alice", "bob"])
        #expect(configuration.rateLimit == .init(interval: 90_000_000_000, burst: 20))
        #expect(configuration.notices.count == 1 && configuration.notices[0].contains("prefer_server_cipher_suites"))
        #expect(configuration.files == ["/etc/tlswatch/ca.pem"])
    }

    @Test("Each client_auth_type, cipher, curve and version of Go is known by its name")
    func everyNameOfGoIsKnown() throws {
        for name in ["NoClientCert", "RequestClientCert", "RequireAnyClientCert", "VerifyClientCertIfGiven"] {
            #expect(try tls("client_auth_type: \(name)").clientAuthentication.rawValue == name)
        }
        #expect(try tls("client_auth_type: RequireClientCert").clientAuthentication == .requireAny)
        #expect(try tls("client_auth_type: ''").clientAuthentication == .none)
        for name in TLSCipherName.allCases {
            #expect(try tls("cipher_suites: [\(name.rawValue)]").cipherSuites == [name])
        }
        for name in TLSCurveName.allCases {
            #expect(try tls("curve_preferences: [\(name.rawValue)]").curves == [name])
        }
        for name in TLSVersionName.allCases {
            #expect(try tls("min_version: \(name.rawValue)").minimumVersion == name)
        }
    }

    @Test("Without effect here, but told: HTTP/2 and a text beside its file")
    func ineffectiveKeysAreReported() throws {
        #expect(try parse("http_server_config: {http2: true}").notices.first?.contains("HTTP/1.1") == true)
        #expect(
            try parse("tls_server_config: {cert_file: a, cert: PEM, key_file: b}").notices
                == ["tls_server_config.cert: has no effect together with cert_file"])
    }

    @Test(
        "What is wrong is told with file, line and key",
        arguments: [
            ("tls_server_confg: {}", 1, "tls_server_confg", "unknown key"),
            ("tls_server_config:\n  cert_filse: a", 2, "tls_server_config.cert_filse", "unknown key"),
            ("tls_server_config: 7", 1, "tls_server_config", "mapping"),
            ("tls_server_config:\n  key_file: a", 2, "tls_server_config", "cert and cert_file is missing"),
            ("tls_server_config:\n  cert_file: ''\n  key_file: a", 2, "tls_server_config", "cert_file is missing"),
            ("tls_server_config:\n  cert_file: a", 2, "tls_server_config", "key and key_file is missing"),
            ("tls_server_config:\n  min_version: TLS12", 2, "tls_server_config", "cert_file is missing"),
            ("http_server_config:\n  http2: maybe", 2, "http_server_config.http2", "true or false"),
            ("http_server_config:\n  headers:\n    Foo: a", 3, "http_server_config.headers.Foo", "cannot be set"),
            (
                "http_server_config:\n  headers:\n    X-Frame-Options: foo", 3,
                "http_server_config.headers.X-Frame-Options", "deny or sameorigin"
            ),
            (
                "http_server_config:\n  headers:\n    X-XSS-Protection: \"1\\r\\nSet-Cookie: a\"", 3,
                "http_server_config.headers.X-XSS-Protection", "one line"
            ),
            ("basic_auth_users:\n  john: doe", 2, "basic_auth_users.john", "bcrypt"),
            ("basic_auth_users: [a]", 1, "basic_auth_users", "mapping"),
            ("rate_limit:\n  interval: soon", 2, "rate_limit.interval", "duration"),
            ("rate_limit:\n  interval: -1s", 2, "rate_limit.interval", "duration"),
            ("rate_limit:\n  burst: -1", 2, "rate_limit.burst", "number"),
        ] as [(String, Int, String, String)])
    func errorsHaveFileLineAndKey(_ text: String, _ line: Int, _ key: String, _ reason: String) throws {
        let error = try #require(throws: WebConfigurationError.self) { try parse(text) }
        #expect(error.line == line, "\(error)")
        #expect(error.key == key, "\(error)")
        #expect(error.reason.contains(reason), "\(error)")
        #expect(error.description.hasPrefix("/etc/tlswatch/web.yml:\(line): \(key): "), "\(error)")
    }

    @Test(
        "TLS that would be weaker than it looks, or that nobody can do, is refused",
        arguments: [
            ("client_ca_file: a", "client_auth_type"), ("client_auth_type: Sometimes", "RequireAnyClientCert"),
            ("client_allowed_sans: [a]", "RequireAnyClientCert"),
            ("client_auth_type: VerifyClientCertIfGiven\nclient_allowed_sans: [a]", "RequireAnyClientCert"),
            ("client_auth_type: RequireAnyClientCert\nclient_allowed_sans: []", "allows nobody"),
            ("min_version: TLS13\nmax_version: TLS12", "above"), ("min_version: TLS111", "TLS10, TLS11"),
            ("cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]", "must be one of"), ("cipher_suites: x", "list"),
            ("curve_preferences: [CurveP257]", "CurveP256"), ("prefer_server_cipher_suites: 7", "true or false"),
        ])
    func weakOrImpossibleTLSIsRefused(_ text: String, _ reason: String) throws {
        let error = try #require(throws: WebConfigurationError.self) { try tls(text) }
        #expect(error.reason.contains(reason), "\(error)")
    }

    @Test("No YAML, a key twice, two documents, or a nest without an end is an error that repeats no secrets")
    func notYAML() throws {
        let secret = "k3y"
        for text in [
            "basic_auth_users: {\(secret)", "\tkey: \(secret)", "key: \"\(secret)",
            "basic_auth_users:\n  a: b\n a: \(secret)",
            "rate_limit: {}\nrate_limit: {}", "rate_limit: {}\n---\nrate_limit: {}", "- \(secret)", "\(secret)",
            String(repeating: "[", count: 100_000), "basic_auth_users:\n  a: \(secret)", "a: *\(secret)",
            "? [\(secret)]\n: a",
        ] {
            let error = try #require(throws: WebConfigurationError.self, "\(text.prefix(40))") { try parse(text) }
            #expect(!error.description.contains(secret), "\(error)")
        }
        let twice = try #require(throws: WebConfigurationError.self) { try parse("rate_limit: {}\nrate_limit: {}") }
        #expect(twice.reason.contains("rate_limit"))
    }

    @Test("A file that is missing, too long or no text says so")
    func unreadableWebFilesAreRefused() throws {
        let folder = try TemporaryDirectory()
        func error(_ path: String) throws -> WebConfigurationError {
            try #require(throws: WebConfigurationError.self) { try WebConfiguration(path: path) }
        }
        #expect(try error(folder.file("none.yml")).description.contains("none.yml: cannot be read: No such file"))
        #expect(try error(folder.path).reason.contains("directory"))
        let long = try folder.write(String(repeating: "#", count: WebConfiguration.largestFile + 1), to: "long.yml")
        #expect(try error(long).reason.contains("longer than"))
        try Data([0xff, 0xfe, 0x80]).write(to: URL(fileURLWithPath: folder.file("bytes.yml")))
        #expect(try error(folder.file("bytes.yml")).reason.contains("UTF-8"))
        let pipe = folder.file("pipe.yml")
        #expect(unsafe mkfifo(pipe, 0o600) == 0)
        #expect(try error(pipe).reason.contains("pipe"), "and nobody waits for a writer")
    }

    @Test("Durations as Go writes them")
    func durationsAreWrittenAsInGo() {
        for (text, nanoseconds) in [
            ("0", 0), ("1s", 1_000_000_000), ("1h1m1s", 3_661_000_000_000), ("1.5ms", 1_500_000), ("2us", 2_000),
            ("3µs", 3_000), ("7ns", 7), ("12", 12),
        ] as [(String, UInt64)] {
            #expect(GoDuration.nanoseconds(text) == nanoseconds, "\(text)")
        }
        for text in ["", "s", "-1s", "1x", "1s ", " 1s", "1..5s", "999999999h", "٣s", "nan", "1e3s"] {
            #expect(GoDuration.nanoseconds(text) == nil, "\(text)")
        }
    }

    @Test("Hashes of bcrypt's usual kinds, and no others")
    func onlyBcryptHashesAreTaken() {
        #expect(BcryptHash(hash)?.cost == 4)
        for wrong in [
            "", "secret", String(hash.dropLast()), hash + "a", hash.replacing("$2y$", with: "$2x$"),
            hash.replacing("$2y$", with: "$5y$"), hash.replacing("$04$", with: "$03$"),
            hash.replacing("$04$", with: "$32$"), hash.replacing("$04$", with: "$4a$"), String(hash.dropLast()) + "é",
            String(hash.dropLast()) + ":",
        ] {
            #expect(BcryptHash(wrong) == nil, "\(wrong)")
        }
    }

    @Test("Mutated files never bring it down", arguments: 0..<4)
    func mutatedWebFilesAreTakenOrRefused(_ seed: UInt64) throws {
        let samples = [
            "tls_server_config:\n  cert_file: a\n  key_file: b\n  client_auth_type: NoClientCert\n  min_version: TLS12\n",
            "basic_auth_users:\n  a: \(hash)\nrate_limit: {interval: 1s, burst: 2}\n",
            "http_server_config: &x\n  http2: true\n  headers: {X-Frame-Options: deny}\n? !!str a\n: *x\n",
        ]
        let pieces = [
            "\n", " ", ":", "-", "[", "]", "{", "}", "&a", "*a", "<<: ", "!!", "|", ">", "\"", "'", "#", "%", "\u{0}",
            "\u{FEFF}", "é", "---\n", "~", "?", "\t",
        ]
        var generator = SplitMix(seed: seed)
        var accepted = 0
        for _ in 0..<2_000 {
            var characters = Array(samples.randomElement(using: &generator)!)
            for _ in 0..<Int.random(in: 1...6, using: &generator) {
                let place = Int.random(in: 0..<max(characters.count, 1), using: &generator)
                switch Int.random(in: 0..<3, using: &generator) {
                case 0: if !characters.isEmpty { characters.remove(at: min(place, characters.count - 1)) }
                case 1: characters.insert(contentsOf: Array(pieces.randomElement(using: &generator)!), at: place)
                default: characters.removeLast(min(Int.random(in: 0..<9, using: &generator), characters.count))
                }
            }
            do {
                _ = try parse(String(characters))
                accepted += 1
            } catch is WebConfigurationError {}
        }
        // Both ways were taken.
        #expect(accepted > 0)
        #expect(accepted < 2_000)
    }
}

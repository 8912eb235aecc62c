import NIOCore
import Foundation
import TestSupport
import Testing

@testable import tlswatch

/// Real curl against TLS as web configurations ask for it.
@Suite("TLS of the endpoint") struct TLSTests {
    private let folder: TemporaryDirectory
    private let authority: CertificateAuthority
    private let stranger: CertificateAuthority

    init() async throws {
        folder = try TemporaryDirectory()
        authority = try await makeAuthority("ca", in: folder)
        stranger = try await makeAuthority("stranger", in: folder)
        try await authority.issue("server", names: "DNS:localhost,IP:127.0.0.1")
        try await authority.issue("client", names: "DNS:scraper.example,IP:10.0.0.1,URI:spiffe://a/b,email:a@example")
        try await stranger.issue("other", names: "DNS:scraper.example")
    }

    @discardableResult
    private func configuration(_ more: String...) throws -> String {
        try folder.write(
            (["tls_server_config:", "  cert_file: server.pem", "  key_file: server.key"] + more.map { "  " + $0 })
                .joined(separator: "\n") + "\n", to: "web.yml")
    }

    private static func load(_ file: String) throws -> LoadedConfiguration {
        try LoadedConfiguration(WebConfiguration(path: file), file: file)
    }

    private func curl(_ server: TestServer, client: String?, _ options: [String] = []) async throws -> Finished {
        var arguments = ["-q", "--noproxy", "*", "-sS", "--max-time", "30", "--cacert", authority.certificate]
        if let client { arguments += ["--cert", folder.file(client + ".pem"), "--key", folder.file(client + ".key")] }
        return try await run("curl", arguments + options + ["https://localhost:\(server.port)/healthz"])
    }

    private func expect(
        _ configuration: String, serves clients: [String?], refuses others: [String?],
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        try await serving(webConfiguration: configuration) { (server) async throws in
            for client in clients {
                let result = try await curl(server, client: client)
                #expect(result.output == "ok\n", "\(client ?? "none"): \(result)", sourceLocation: sourceLocation)
            }
            for client in others {
                let result = try await curl(server, client: client)
                #expect(result.status != .exited(0), "\(client ?? "none"): \(result)", sourceLocation: sourceLocation)
                #expect(result.output.isEmpty, "\(client ?? "none"): \(result)", sourceLocation: sourceLocation)
            }
        }
    }

    @Test("TLS is served, plain HTTP and other versions are not")
    func onlyTLSVersionsAskedForAreServed() async throws {
        try await serving(webConfiguration: try configuration()) { (server) async throws in
            let result = try await curl(server, ["-w", "%{http_version} %{ssl_verify_result}", "--http2"])
            #expect(result.output == "ok\n1.1 0", "\(result)")
            #expect(try await curl(server, ["--tlsv1.2", "--tls-max", "1.2"]).output == "ok\n")
            #expect(
                try await curl(server, ["--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0"]).status == .exited(35))
            let plain = try await server.connect()
            try await plain.send("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(!(try await plain.readToEnd()).contains("ok"))
        }
        try await serving(webConfiguration: try configuration("min_version: TLS13")) { (server) async throws in
            #expect(try await curl(server, ["--tls-max", "1.2"]).status != .exited(0))
            #expect(try await curl(server).output == "ok\n")
        }
        try await serving(webConfiguration: try configuration("max_version: TLS12")) { (server) async throws in
            #expect(try await curl(server, ["--tlsv1.3"]).status != .exited(0))
            #expect(try await curl(server).output == "ok\n")
        }
    }

    private func curl(_ server: TestServer, _ options: [String] = []) async throws -> Finished {
        try await curl(server, client: nil, options)
    }

    @Test("Cipher suites and curves are those of the file")
    func suitesAndCurvesAreTheFiles() async throws {
        let suites = try configuration("cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]")
        try await serving(webConfiguration: suites) { (server) async throws in
            let twelve = ["--tls-max", "1.2", "--ciphers"]
            #expect(try await curl(server, twelve + ["ECDHE-ECDSA-AES256-GCM-SHA384"]).output == "ok\n")
            #expect(try await curl(server, twelve + ["ECDHE-ECDSA-AES128-GCM-SHA256"]).status == .exited(35))
        }
        let modern = try configuration("cipher_suites: [TLS_AES_128_GCM_SHA256]")
        try await serving(webConfiguration: modern) { (server) async throws in
            #expect(try await curl(server, ["--tls-max", "1.2"]).status == .exited(35))
            #expect(try await curl(server).output == "ok\n")
        }
        try await serving(webConfiguration: try configuration("curve_preferences: [CurveP384]")) {
            (server) async throws in
            #expect(try await curl(server, ["--curves", "P-384"]).output == "ok\n")
            #expect(try await curl(server, ["--curves", "X25519"]).status == .exited(35))
        }
        for name in TLSCurveName.allCases {
            let file = try configuration("curve_preferences: [\(name.rawValue)]")
            #expect(try Self.load(file).security != nil)
        }
        let every = TLSCipherName.allCases.map(\.rawValue).joined(separator: ", ")
        #expect(try Self.load(try configuration("cipher_suites: [\(every)]")).security != nil)
    }

    @Test("Client certificates: each client_auth_type with none, a good one and a stranger's")
    func clientCertificatesDecideByType() async throws {
        let ca = "client_ca_file: ca.pem"
        try await expect(
            try configuration("client_auth_type: NoClientCert"), serves: [nil, "client", "other"], refuses: [])
        try await expect(
            try configuration("client_auth_type: RequestClientCert", ca), serves: [nil, "client", "other"],
            refuses: [])
        try await expect(
            try configuration("client_auth_type: RequireAnyClientCert"), serves: ["client", "other"], refuses: [nil])
        try await expect(
            try configuration("client_auth_type: VerifyClientCertIfGiven", ca), serves: [nil, "client"],
            refuses: ["other"])
        try await expect(
            try configuration("client_auth_type: RequireAndVerifyClientCert", ca), serves: ["client"],
            refuses: [nil, "other"])
        // Without an authority, the system's.
        try await expect(
            try configuration("client_auth_type: RequireAndVerifyClientCert"), serves: [], refuses: [nil, "client"])
    }

    @Test("Allowed names, of every kind")
    func allowedNames() async throws {
        let verify = ["client_auth_type: RequireAndVerifyClientCert", "client_ca_file: ca.pem"]
        for name in ["scraper.example", "10.0.0.1", "spiffe://a/b", "a@example"] {
            try await expect(
                try configuration(verify[0], verify[1], "client_allowed_sans: [x, '\(name)']"), serves: ["client"],
                refuses: [nil, "other"])
        }
        try await expect(
            try configuration(verify[0], verify[1], "client_allowed_sans: [example, 10.0.0.2]"), serves: [],
            refuses: ["client", "other", nil])
        try await expect(
            try configuration("client_auth_type: RequireAnyClientCert", "client_allowed_sans: [scraper.example]"),
            serves: ["client", "other"], refuses: [nil])
        try await expect(
            try configuration("client_auth_type: RequireAnyClientCert", "client_allowed_sans: [10.0.0.1]"),
            serves: ["client"], refuses: [nil, "other"])
    }

    @Test("Certificate, key and authority inline")
    func inlineCertificatesAreServed() async throws {
        func block(_ key: String, _ file: String) throws -> String {
            "  \(key): |\n" + (try folder.text(file)).split(separator: "\n").map { "    \($0)\n" }.joined()
        }
        let text =
            try "tls_server_config:\n" + block("cert", "server.pem") + block("key", "server.key")
            + block("client_ca", "ca.pem") + "  client_auth_type: RequireAndVerifyClientCert\n"
        try await expect(try folder.write(text, to: "inline.yml"), serves: ["client"], refuses: [nil, "other"])
    }

    @Test("Files that are missing, hold nothing or do not fit together are told with their key")
    func wrongFiles() async throws {
        func error(_ text: String) throws -> String {
            let file = try folder.write("tls_server_config: {\(text)}\n", to: "wrong.yml")
            let error = try #require(throws: WebConfigurationError.self) { try Self.load(file) }
            #expect(error.file == file)
            return error.description
        }
        #expect(
            try error("cert_file: none.pem, key_file: server.key").contains("cert_file: \(folder.file("none.pem"))"))
        #expect(try error("cert_file: server.pem, key_file: none.key").contains("key_file: \(folder.file("none.key"))"))
        #expect(try error("cert_file: server.key, key_file: server.key").contains("no certificate"))
        #expect(try error("cert_file: server.pem, key_file: server.pem").contains("no unencrypted private key"))
        #expect(try error("cert_file: server.pem, key_file: client.key").contains("do not fit together"))
        #expect(
            try error(
                "cert_file: server.pem, key_file: server.key, client_auth_type: RequireAnyClientCert, "
                    + "client_ca_file: /dev/null"
            ).contains("client_ca_file: /dev/null: holds no certificate"))
        #expect(
            try error(
                "cert_file: server.pem, key_file: server.key, max_version: TLS12, "
                    + "cipher_suites: [TLS_AES_128_GCM_SHA256]"
            ).contains("no suite for TLS12"))
    }

    private func served(_ server: TestServer) async throws -> String {
        let result = try await run(
            "sh",
            [
                "-c",
                "openssl s_client -connect 127.0.0.1:\(server.port) </dev/null 2>/dev/null | openssl x509 -noout -subject",
            ])
        return result.output
    }

    @Test("A renewed certificate is served without a restart; a bad one leaves the old in force, and is told once")
    func aRenewedCertificateIsServed() async throws {
        try await authority.issue("renewed", names: "DNS:localhost")
        try await serving(webConfiguration: try configuration()) { (server) async throws in
            #expect(try await served(server).contains("CN = server"))
            // The certificate first: for a moment it does not fit the key.
            try folder.write(try folder.text("renewed.pem"), to: "server.pem")
            for _ in 0..<3 { #expect(try await served(server).contains("CN = server")) }
            #expect(server.log.all.filter { $0.hasPrefix("error") }.count == 1)
            try folder.write(try folder.text("renewed.key"), to: "server.key")
            #expect(try await served(server).contains("CN = renewed"))
            // The configuration itself: an unknown key, then TLS taken away, then something new.
            try configuration("nonsense: 1")
            #expect(try await served(server).contains("CN = renewed"))
            #expect(server.log.all.last?.contains("tls_server_config.nonsense: unknown key") == true)
            try folder.write("", to: "web.yml")
            #expect(try await served(server).contains("CN = renewed"))
            #expect(server.log.all.last?.contains("restart") == true)
            // An authority that comes after its configuration.
            try configuration("client_auth_type: RequireAndVerifyClientCert", "client_ca_file: later.pem")
            #expect(try await served(server).contains("CN = renewed"))
            #expect(server.log.all.last?.contains("later.pem") == true)
            try folder.write(try folder.text("ca.pem"), to: "later.pem")
            #expect(try await curl(server).status != .exited(0))
            #expect(try await curl(server, client: "client").output == "ok\n")
            // An authority that is replaced.
            try folder.write(try folder.text("stranger.pem"), to: "later.pem")
            #expect(try await curl(server, client: "other", ["-k"]).output == "ok\n")
            #expect(try await curl(server, client: "client", ["-k"]).status != .exited(0))
        }
    }

    @Test("A TLS handshake that does not go on is cut off; what it sent is not gathered")
    func stuckHandshake() async throws {
        var limits = EndpointLimits()
        limits.readTimeout = .milliseconds(200)
        limits.idleTimeout = .seconds(60)
        try await serving(limits: limits, webConfiguration: try configuration()) { (server) async throws in
            let client = try await server.connect()
            // The beginning of a ClientHello of 512 bytes.
            try await client.send("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}")
            #expect(try await client.readToEnd().isEmpty)
            #expect(server.rejected(.readTimeout) == 1)
        }
    }

    @Test("Sessions are resumed with client certificates too")
    func sessionsAreResumedWithClientCertificates() async throws {
        let file = try configuration("client_auth_type: RequireAndVerifyClientCert", "client_ca_file: ca.pem")
        try await serving(webConfiguration: file) { (server) async throws in
            let session = folder.file("session.pem")
            let client = "-cert \(folder.file("client.pem")) -key \(folder.file("client.key"))"
            let request = "printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n'"
            for option in ["-sess_out", "-sess_in"] {
                let command =
                    "openssl s_client -tls1_2 -ign_eof \(client) -connect 127.0.0.1:\(server.port) \(option) \(session)"
                let result = try await run("sh", ["-c", "\(request) | \(command) 2>&1"])
                #expect(result.output.contains("200 OK"), "\(result.output)")
                #expect(result.output.contains("ok\n"), "\(result.output)")
                #expect(result.output.contains(option == "-sess_in" ? "Reused, TLSv1.2" : "New, TLSv1.2"))
            }
        }
    }
}

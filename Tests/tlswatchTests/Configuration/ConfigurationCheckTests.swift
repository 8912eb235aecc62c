import Foundation
import TestSupport
import Testing

@testable import tlswatch

@Suite("check-config") struct ConfigurationCheckTests {
    private let folder: TemporaryDirectory

    init() throws { folder = try TemporaryDirectory() }

    /// A file with a fault in each section, and what is said of it, by line and key.
    private static let web = """
        tls_server_config:
          key_file: 7
          client_ca_file: ca.pem
          client_auth_type: Maybe
          client_allowed_sans: []
          min_version: TLS13
          max_version: TLS12
          cipher_suites: [TLS_AES_128_GCM_SHA256, ROT13]
          curve_preferences: [X448]
          colour: red
        http_server_config:
          http2: perhaps
          headers:
            X-Frame-Options: never
            Server: mine
        basic_auth_users:
          alice: secret
          bob: also
        rate_limit:
          interval: soon
          burst: -1
        tracing: {}

        """
    private static let webFaults = [
        "22: tracing: unknown key", "10: tls_server_config.colour: unknown key",
        "2: tls_server_config: one of cert and cert_file is missing", "4: tls_server_config.client_auth_type: must be",
        "5: tls_server_config.client_allowed_sans: allows nobody",
        "2: tls_server_config: min_version is above max_version",
        "8: tls_server_config.cipher_suites: must be one of", "9: tls_server_config.curve_preferences: must be one of",
        "12: http_server_config.http2: must be true or false",
        "14: http_server_config.headers.X-Frame-Options: must be",
        "15: http_server_config.headers.Server: cannot be set", "17: basic_auth_users.alice: is not a bcrypt hash",
        "18: basic_auth_users.bob: is not a bcrypt hash", "21: rate_limit.burst: must be a number",
        "20: rate_limit.interval: must be a duration",
    ]

    @Test("Every fault of a web configuration is told, with its line and key; the first is what stops the daemon")
    func everyWebFault() throws {
        let path = try folder.write(Self.web, to: "web.yml")
        let faults = WebConfiguration.check(path: path).faults.map(\.description)
        #expect(faults.count == Self.webFaults.count, "\(faults.joined(separator: "\n"))")
        for (found, wanted) in zip(faults, Self.webFaults) { #expect(found.hasPrefix("\(path):\(wanted)"), "\(found)") }
        let first = #expect(throws: WebConfigurationError.self) { try WebConfiguration(path: path) }
        #expect(first?.description == faults.first)
    }

    @Test("All errors come at once, each on a line of its own, whichever file they are in")
    func allAtOnce() async throws {
        let web = try folder.write(Self.web, to: "web.yml")
        let path = try folder.write(
            "ring-size: 3\nwindow: soon\nweb-config-file: \(web)\nring-sise: 8\n", to: "tlswatch.yml")
        let result = try await Program.run(["check-config", path], environment: ["TLSWATCH_SLOW": "never"])
        #expect(result.status == .exited(65))
        #expect(result.output.isEmpty)
        let lines = result.errors.split(separator: "\n")
        #expect(lines.count == 4 + Self.webFaults.count, "\(result.errors)")
        for start in [
            "\(path):1: ring-size: must be", "\(path):2: window: must be", "\(path):4: ring-sise: unknown key",
            "TLSWATCH_SLOW in the environment: must be",
        ] + Self.webFaults.map({ "\(web):\($0)" }) {
            #expect(lines.contains { $0.hasPrefix("tlswatch: \(start)") }, "\(start)")
        }
        let json = try await Program.run(["check-config", path, "--format", "json"])
        #expect(json.status == .exited(65))
        let object = try #require(JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any])
        #expect(object["ok"] as? Bool == false)
        #expect((object["errors"] as? [String])?.count == 3 + Self.webFaults.count)
    }

    @Test("Each file that TLS is made from is looked at")
    func certificates() async throws {
        let web = try folder.write(
            """
            tls_server_config:
              cert_file: none.crt
              key: nothing
              client_ca: nothing
              client_auth_type: RequireAndVerifyClientCert

            """, to: "web.yml")
        let path = try folder.write("web-config-file: \(web)\n", to: "tlswatch.yml")
        let result = try await Program.run(["check-config", path])
        #expect(result.status == .exited(65))
        for words in [
            "tls_server_config.cert_file: \(folder.file("none.crt")): cannot be read",
            "tls_server_config.key: holds no unencrypted private key",
            "tls_server_config.client_ca: holds no certificate",
        ] { #expect(result.errors.contains("tlswatch: \(web): \(words)"), "\(result.errors)") }
        #expect(result.errors.split(separator: "\n").count == 3)
    }

    @Test("Without an error the last line is ok")
    func right() async throws {
        let path = try folder.write("ring-size: 8\nlisten: [127.0.0.1:0, '[::1]:0']\n", to: "tlswatch.yml")
        let result = try await Program.run(["check-config", path])
        #expect(result.status == .exited(0) && result.errors.isEmpty, "\(result.errors)")
        #expect(result.output.hasSuffix("\nok\n"))
        let json = try await Program.run(["check-config", path, "--format", "json"])
        let object = try #require(JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any])
        #expect(object["ok"] as? Bool == true && object["errors"] == nil)
        #expect((object["settings"] as? [[String: Any]])?.count == Setting.all.count)
    }

    @Test("The daemon tells all of them, too, in lines of its log")
    func theDaemon() async throws {
        let path = try folder.write("ring-size: 3\nwindow: soon\n", to: "tlswatch.yml")
        let result = try await Program.run(["run", "--config", path, "--log.format", "logfmt"])
        #expect(result.status == .exited(65))
        let lines = result.errors.split(separator: "\n")
        #expect(lines.count == 2)
        for (line, key) in zip(lines, ["1: ring-size: ", "2: window: "]) {
            #expect(line.contains("level=critical msg=\"\(path):\(key)"), "\(line)")
        }
    }
}

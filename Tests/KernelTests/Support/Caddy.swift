import Foundation
import TestSupport

/// Caddy on free loopback ports: a TLS server whose log has what was negotiated, and a proxy that is its own upstream's client.
final class Caddy: Sendable {
    /// What its log has of one request: Go's own ConnectionState.
    struct Logged: Sendable {
        var remotePort: Int
        var version: Int
        var cipher: Int
        var alpn: String
        var serverName: String
        var resumed: Bool
    }

    private let reserved: [FreePort]
    private let directory: TemporaryDirectory
    let child: ChildProcess
    let path: String

    var port: Int { reserved[0].number }
    /// Plain HTTP in front; it goes on to the TLS server with that version of HTTP.
    var proxies: [(version: String, port: Int)] {
        zip(["1.1", "2", "3"], reserved.dropFirst().map(\.number)).map { ($0, $1) }
    }

    /// - Parameter proxied: the port that the proxies lead to; `nil`: its own server's.
    init(_ certificates: TestCertificates, proxied: Int? = nil) throws {
        let cached = try TLSBuild.cache() + "/caddy-2.11.7/caddy"
        guard let real = unsafe realpath(cached, nil) else {
            throw HarnessError("Caddy is not in the cache: run `make deps`")
        }
        path = unsafe String(cString: real)
        unsafe free(real)
        directory = try TemporaryDirectory()
        reserved = try (0..<4).map { _ in try FreePort() }
        let (port, fronts) = (reserved[0].number, reserved.dropFirst().map(\.number))
        let proxies = zip(["1.1", "2", "3"], fronts).map { version, front in
            """
            http://127.0.0.1:\(front) {
                bind 127.0.0.1
                reverse_proxy https://127.0.0.1:\(proxied ?? port) {
                    transport http {
                        tls
                        tls_server_name a.example
                        tls_trust_pool file \(certificates.authority)
                        versions \(version)
                    }
                }
            }
            """
        }
        let configuration = try directory.write(
            """
            {
                admin off
                auto_https off
                skip_install_trust
                https_port \(port)
                http_port \(try FreePort().number)
                storage file_system \(directory.file("storage"))
            }
            https://a.example:\(port), https://127.0.0.1:\(port) {
                bind 127.0.0.1
                tls \(certificates.chain) \(certificates.key)
                log {
                    output stdout
                    format json
                }
                respond "ok"
            }
            \(proxies.joined(separator: "\n"))
            """, to: "Caddyfile")
        child = try ChildProcess(
            path, ["run", "--config", configuration, "--adapter", "caddyfile"],
            environment: [
                "HOME": directory.file("home"), "XDG_DATA_HOME": directory.file("data"),
                "XDG_CONFIG_HOME": directory.file("configuration"),
            ])
        for front in [port] + fronts { try FreePort.awaitListening(front, server: child) }
    }

    deinit { child.stop(SIGTERM) }

    /// The requests that the TLS server has logged.
    func logged() throws -> [Logged] {
        struct Line: Decodable {
            struct Request: Decodable {
                struct TLS: Decodable {
                    var resumed: Bool
                    var version: Int
                    var cipher_suite: Int
                    var proto: String
                    var server_name: String
                }
                var remote_port: String
                var tls: TLS?
            }
            var request: Request?
        }
        let decoder = JSONDecoder()
        return child.output.lines.compactMap { line in
            guard let request = (try? decoder.decode(Line.self, from: Data(line.utf8)))?.request, let tls = request.tls,
                let port = Int(request.remote_port)
            else { return nil }
            return Logged(
                remotePort: port, version: tls.version, cipher: tls.cipher_suite, alpn: tls.proto,
                serverName: tls.server_name,
                resumed: tls.resumed)
        }
    }
}

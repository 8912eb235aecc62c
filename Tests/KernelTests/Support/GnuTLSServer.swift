import Foundation
import TestSupport

/// Debian's `gnutls-serv` on a free loopback port, and its `gnutls-cli`: one process, all connections in one thread.
final class GnuTLSServer: Sendable {
    private let reserved: FreePort
    private let certificates: TestCertificates
    let child: ChildProcess

    init(_ certificates: TestCertificates, _ options: [String] = []) throws {
        reserved = try FreePort()
        self.certificates = certificates
        child = try ChildProcess(
            "gnutls-serv",
            [
                "--quiet", "--http", "--port", "\(reserved.number)", "--x509keyfile", certificates.key,
                "--x509certfile", certificates.certificate,
            ] + options)
        try FreePort.awaitListening(reserved.number, server: child)
    }

    deinit { child.stop(SIGTERM) }

    var port: Int { reserved.number }
    var pid: Int { Int(child.pid) }

    /// `gnutls-cli`, to its end: by default it asks for a page, or does what `input` says.
    static func connect(
        port: Int, authority: String, _ options: [String] = [], input: String = "GET / HTTP/1.0\r\n\r\n"
    ) throws -> Finished {
        try ChildProcess.run(
            "gnutls-cli",
            [
                "--port", "\(port)", "--x509cafile", authority, "--sni-hostname", "a.example", "--verify-hostname",
                "a.example",
            ] + options + ["127.0.0.1"], input: Array(input.utf8))
    }

    func connect(_ options: [String] = [], input: String = "GET / HTTP/1.0\r\n\r\n") throws -> Finished {
        try Self.connect(port: port, authority: certificates.authority, options, input: input)
    }
}

/// What `gnutls-cli` says of its handshakes.
struct GnuTLSWords: Equatable {
    var version: String
    /// As GnuTLS calls it; `nil` where none was agreed on.
    var group: String?
    /// The symmetric part: AES-256-GCM.
    var cipher: String

    /// One for each `- Description: (TLS1.3-X.509)-(ECDHE-SECP256R1)-(ECDSA-SECP256R1-SHA256)-(AES-256-GCM)`.
    static func of(_ output: String) -> [GnuTLSWords] {
        output.matches(of: /- Description: \(TLS(\d\.\d)[^)]*\)-(?:\(ECDHE-([A-Z0-9]+)\))?-.*\(([A-Z0-9-]+)\)\n/).map {
            GnuTLSWords(
                version: "TLSv\($0.1)", group: $0.2?.lowercased(), cipher: String($0.3).replacing("-", with: "_"))
        }
    }
}

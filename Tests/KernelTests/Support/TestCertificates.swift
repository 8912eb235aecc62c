import Foundation
import TestSupport

/// A certificate authority of the test's own and a P-256 certificate for a.example and 127.0.0.1 under it,
/// made by the `openssl` command.
struct TestCertificates: Sendable {
    private let directory: TemporaryDirectory
    var authority: String { directory.file("ca.pem") }
    var authorityKey: String { directory.file("ca.key") }
    var certificate: String { directory.file("leaf.pem") }
    var key: String { directory.file("leaf.key") }
    /// The certificate and its authority's in one file.
    var chain: String { directory.file("chain.pem") }
    /// Certificate and key in one file, as haproxy wants them.
    var combined: String { directory.file("combined.pem") }

    /// - Parameter names: that the certificate is for besides.
    init(names: String = "") throws {
        directory = try TemporaryDirectory()
        let authority = try CertificateAuthority("ca", in: directory)
        try authority.issue("leaf", subject: "a.example", names: "DNS:a.example,IP:127.0.0.1" + names)
        for (name, files) in [("combined.pem", [certificate, key]), ("chain.pem", [certificate, self.authority])] {
            let pieces = try files.map { try String(contentsOfFile: $0, encoding: .utf8) }
            try directory.write(pieces.joined(), to: name)
        }
    }

    /// What a server needs that has another certificate under the same authority: for another name, or one that has expired.
    func other(_ leaf: String, names: String, days: Int = 30) throws -> [String] {
        try CertificateAuthority(existing: "ca", in: directory)
            .issue(leaf, subject: "a.example", names: names, days: days)
        return ["-cert", directory.file(leaf + ".pem"), "-key", directory.file(leaf + ".key")]
    }

    /// `3.0.19`, as `openssl version` tells of the library it runs on.
    static func libraryVersion() throws -> String {
        let text = try ChildProcess.run("openssl", ["version"]).output
        guard let library = text.components(separatedBy: "Library: OpenSSL ").last?.split(separator: " ").first else {
            throw HarnessError("`openssl version` said \(text)")
        }
        return String(library)
    }
}

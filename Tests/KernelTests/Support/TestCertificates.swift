import Foundation

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

    init() throws {
        directory = try TemporaryDirectory()
        let newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        try openssl(
            ["req", "-x509", "-days", "30", "-subj", "/CN=tlswatch test CA", "-keyout", authorityKey]
                + ["-out", authority] + newKey)
        try directory.write(
            "subjectAltName=DNS:a.example,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n", to: "leaf.ext")
        try openssl(
            ["req", "-subj", "/CN=a.example", "-keyout", key, "-out", directory.file("leaf.csr")] + newKey)
        try openssl([
            "x509", "-req", "-days", "30", "-in", directory.file("leaf.csr"), "-CA", authority,
            "-CAkey", authorityKey, "-CAcreateserial", "-extfile", directory.file("leaf.ext"),
            "-out", certificate,
        ])
        for (name, files) in [("combined.pem", [certificate, key]), ("chain.pem", [certificate, authority])] {
            let pieces = try files.map { try String(contentsOfFile: $0, encoding: .utf8) }
            try directory.write(pieces.joined(), to: name)
        }
    }

    private func openssl(_ arguments: [String]) throws {
        let result = try ChildProcess.run("openssl", arguments)
        guard result.status == .exited(0) else {
            throw HarnessError("openssl \(arguments.joined(separator: " ")): \(result.errors)")
        }
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

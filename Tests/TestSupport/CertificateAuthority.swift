/// A certificate authority and P-256 certificates under it, made by the `openssl` command in a directory.
package struct CertificateAuthority: Sendable {
    package let directory: TemporaryDirectory
    package let name: String
    package var certificate: String { directory.file(name + ".pem") }
    package var key: String { directory.file(name + ".key") }

    private static let newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]

    /// - Parameter name: of its files, and what it calls itself.
    package init(_ name: String, in directory: TemporaryDirectory) throws {
        self.directory = directory
        self.name = name
        try Self.openssl(
            ["req", "-x509", "-days", "30", "-subj", "/CN=\(name)", "-keyout", key, "-out", certificate] + Self.newKey)
    }

    /// One that is there: its name is that of its files.
    package init(existing name: String, in directory: TemporaryDirectory) {
        self.directory = directory
        self.name = name
    }

    /// Writes `LEAF.pem` and `LEAF.key`.
    ///
    /// - Parameters:
    ///   - leaf: the name of the files.
    ///   - subject: what the certificate calls its owner; without one, `leaf`.
    ///   - names: as openssl's configuration writes alternative names, `DNS:a.example,IP:127.0.0.1`.
    ///   - days: that it is valid; fewer than 0: it has expired.
    package func issue(_ leaf: String, subject: String? = nil, names: String, days: Int = 30) throws {
        let request = directory.file(leaf + ".csr")
        try directory.write("subjectAltName=\(names)\nbasicConstraints=CA:FALSE\n", to: leaf + ".ext")
        try Self.openssl(
            ["req", "-subj", "/CN=\(subject ?? leaf)", "-keyout", directory.file(leaf + ".key"), "-out", request]
                + Self.newKey)
        try Self.openssl([
            "x509", "-req", "-days", "\(days)", "-in", request, "-CA", certificate, "-CAkey", key, "-CAcreateserial",
            "-extfile", directory.file(leaf + ".ext"), "-out", directory.file(leaf + ".pem"),
        ])
    }

    private static func openssl(_ arguments: [String]) throws {
        let result = try ChildProcess.run("openssl", arguments, within: .seconds(120))
        guard result.status == .exited(0) else {
            throw HarnessError("openssl \(arguments.joined(separator: " ")): \(result.errors)")
        }
    }
}

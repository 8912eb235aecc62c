import TestSupport

/// Debian's `botan tls_client`: a real client of a TLS library that tlswatch knows by sight and does not observe.
enum Botan {
    /// The command as the kernel names it.
    static let comm = "botan"

    /// A client that completes its handshake and ends with its standard input, whatever it thinks of the certificate.
    static func command(port: Int) -> [String] {
        ["botan", "tls_client", "127.0.0.1", "--port=\(port)", "--skip-system-cert-store"]
    }

    /// Runs one, and returns when it has ended.
    static func connect(port: Int) throws -> Finished {
        let command = command(port: port)
        let client = try ChildProcess.run(command[0], Array(command.dropFirst()))
        guard client.output.contains("Handshake complete") else {
            throw HarnessError("`botan tls_client` made no handshake: \(client.output) \(client.errors)")
        }
        return client
    }
}

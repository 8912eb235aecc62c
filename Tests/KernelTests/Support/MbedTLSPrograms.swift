import Foundation
import TestSupport

/// Programs/mbed.c, compiled against the distribution's Mbed TLS.
struct MbedTLSProgram {
    static let library = Machine.libmbedtls
    private static let compiled = Result {
        try Machine.compile(
            String(contentsOfFile: resource("Programs/mbed.c"), encoding: .utf8),
            ["-O2", "-Wall", "-Wextra", "-Werror", "-lmbedtls", "-lmbedx509", "-lmbedcrypto"])
    }

    let path: String
    let certificates: TestCertificates

    init(_ certificates: TestCertificates) throws {
        path = try Self.compiled.get()
        self.certificates = certificates
    }

    private func files(_ authority: String?) -> [String] {
        [certificates.certificate, certificates.key, authority ?? certificates.authority]
    }

    /// A server of so many connections.
    func server(_ flags: String = "-", count: Int = 1, authority: String? = nil) throws -> MbedTLSServer {
        try MbedTLSServer(ChildProcess(path, ["server", "\(count)"] + files(authority) + [flags]))
    }

    /// A client, to its end.
    func connect(_ port: Int, _ flags: String = "-", count: Int = 1, authority: String? = nil) throws -> Finished {
        try ChildProcess.run(path, ["client", "\(port)", "\(count)"] + files(authority) + [flags])
    }
}

struct MbedTLSServer {
    let child: ChildProcess
    let port: Int
    var pid: Int { Int(child.pid) }

    init(_ child: ChildProcess) throws {
        self.child = child
        let line = try child.waitForLine(in: child.output) { $0.hasPrefix("port ") }
        guard let port = Int(line.dropFirst("port ".count)) else { throw HarnessError("no port: \(line)") }
        self.port = port
    }
}

/// What the program says of one handshake.
struct MbedTLSWords {
    var result: Int
    var start, end: Int
    var version: String?
    /// IANA's name.
    var cipher: String?
    var alpn: String?

    static func of(_ output: String) -> [MbedTLSWords] {
        output.matches(of: /(?m)^(-?\d+) (\d+) (\d+) (\S+) (\S+) (\S+) (\d+)$/).map { line in
            func word(_ text: Substring) -> String? { text == "-" ? nil : String(text) }
            return MbedTLSWords(
                result: Int(line.1) ?? 0, start: Int(line.2) ?? 0, end: Int(line.3) ?? 0, version: word(line.4),
                cipher: word(line.5)?.replacing("TLS-", with: "TLS_").replacing("-", with: "_"), alpn: word(line.6))
        }
    }
}

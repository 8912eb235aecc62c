import Foundation
import TestSupport

/// `openssl s_server` on a free loopback port: one process, one connection after the other.
final class OpenSSLServer: Sendable {
    private let reserved: FreePort
    let child: ChildProcess

    /// - Parameter certificates: `nil` where the options say how it authenticates itself.
    init(_ certificates: TestCertificates?, _ options: [String] = ["-www"]) throws {
        reserved = try FreePort()
        let port = reserved.number
        child = try ChildProcess(
            "openssl",
            ["s_server", "-4", "-accept", "127.0.0.1:\(port)"]
                + (certificates.map { ["-cert", $0.certificate, "-key", $0.key] } ?? []) + options)
        try FreePort.awaitListening(port, server: child)
    }

    var port: Int { reserved.number }

    deinit { child.stop(SIGTERM) }

    var address: String { "127.0.0.1:\(port)" }
    var pid: Int { Int(child.pid) }

    /// `openssl s_client`, which ends when its standard input does.
    func connect(_ options: [String] = []) throws -> Finished {
        try ChildProcess.run("openssl", ["s_client", "-connect", address] + options)
    }
}

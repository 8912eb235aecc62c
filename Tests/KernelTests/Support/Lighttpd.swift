import Foundation
import TestSupport

/// lighttpd with one of its TLS modules on a free loopback port: one process, non-blocking.
final class Lighttpd: Sendable {
    private let reserved: FreePort
    private let directory: TemporaryDirectory
    let child: ChildProcess

    /// - Parameters:
    ///   - module: `mod_wolfssl` only reads and writes; `mod_mbedtls` makes the first steps of a handshake itself.
    ///   - settings: more lines of its configuration.
    init(_ certificates: TestCertificates, module: String, _ settings: String = "") throws {
        reserved = try FreePort()
        directory = try TemporaryDirectory()
        try directory.write("ok", to: "index.txt")
        try directory.write("a page\n", to: "index.html")
        let configuration = try directory.write(
            """
            server.modules = ( "\(module)" )
            server.document-root = "\(directory.path)"
            server.port = \(reserved.number)
            server.bind = "127.0.0.1"
            server.errorlog = "\(directory.file("error.log"))"
            index-file.names = ( "index.html" )
            ssl.engine = "enable"
            ssl.pemfile = "\(certificates.certificate)"
            ssl.privkey = "\(certificates.key)"
            \(settings)

            """, to: "lighttpd.conf")
        child = try ChildProcess("lighttpd", ["-D", "-f", configuration])
        try FreePort.awaitListening(reserved.number, server: child)
    }

    deinit { child.stop(SIGTERM) }

    var port: Int { reserved.number }
    var pid: Int { Int(child.pid) }

    /// `openssl s_client`, which ends when its standard input does.
    func connect(_ options: [String] = []) throws -> Finished {
        try ChildProcess.run("openssl", ["s_client", "-connect", "127.0.0.1:\(port)"] + options)
    }
}

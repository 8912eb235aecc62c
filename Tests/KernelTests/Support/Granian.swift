import Foundation
import TestSupport

/// granian on a free loopback port: a server of Python programs, whose TLS is the rustls inside its extension module.
final class Granian: Sendable {
    private let reserved: FreePort
    private let directory: TemporaryDirectory
    let child: ChildProcess
    /// The extension module.
    let library: String

    init(_ certificates: TestCertificates, _ options: [String] = []) throws {
        directory = try TemporaryDirectory()
        reserved = try FreePort()
        try directory.write(
            """
            def app(environment, start):
                start("200 OK", [("content-type", "text/plain")])
                return [b"ok"]
            """, to: "answer.py")
        let folder = try TLSBuild.cache() + "/python-granian"
        library = folder + "/granian/_granian.cpython-311-x86_64-linux-gnu.so"
        // The key as rustls reads it: PKCS#8, which `openssl req` writes.
        child = try ChildProcess(
            "/usr/bin/env",
            [
                "PYTHONPATH=\(folder):\(directory.path)", "PYTHONDONTWRITEBYTECODE=1", "python3.11", "-m", "granian",
                "--interface", "wsgi", "--host", "127.0.0.1", "--port", "\(reserved.number)", "--ssl-certificate",
                certificates.certificate, "--ssl-keyfile", certificates.key,
            ] + options + ["answer:app"])
        try FreePort.awaitListening(reserved.number, server: child)
    }

    deinit { child.stop(SIGTERM) }

    var port: Int { reserved.number }

    /// `openssl s_client`, which ends when its standard input does.
    func connect(_ options: [String] = []) throws -> Finished {
        try ChildProcess.run("openssl", ["s_client", "-connect", "127.0.0.1:\(port)"] + options)
    }
}

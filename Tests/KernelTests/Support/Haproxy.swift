import Foundation
import TestSupport

/// haproxy that ends TLS and answers by itself, on a free loopback port.
final class Haproxy: Sendable {
    private let reserved: FreePort
    let child: ChildProcess
    private let directory: TemporaryDirectory

    init(_ certificates: TestCertificates) throws {
        directory = try TemporaryDirectory()
        reserved = try FreePort()
        let port = reserved.number
        let configuration = try directory.write(
            """
            global
                maxconn 100
                log stdout format raw local0
            defaults
                mode http
                log global
                # The client's port and the milliseconds of its TLS handshake.
                log-format "handshake %cp %Th"
                timeout client 10s
                timeout connect 10s
                timeout server 10s
            frontend tls
                bind 127.0.0.1:\(port) ssl crt \(certificates.combined) alpn h2,http/1.1
                http-request return status 200 content-type text/plain string ok

            """, to: "haproxy.cfg")
        // -db: one process in the foreground.
        child = try ChildProcess("haproxy", ["-db", "-f", configuration])
        try FreePort.awaitListening(port, server: child)
    }

    var port: Int { reserved.number }

    deinit { child.stop(SIGTERM) }

    /// Milliseconds from accept to the end of the handshake, by the client's port: haproxy's own figures.
    var handshakeMilliseconds: [Int: Int] {
        child.output.lines.reduce(into: [:]) { figures, line in
            let words = line.split(separator: " ")
            if words.count == 3, words[0] == "handshake", let port = Int(words[1]), let figure = Int(words[2]) {
                figures[port] = figure
            }
        }
    }

    var address: String { "127.0.0.1:\(port)" }
}

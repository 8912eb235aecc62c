import Foundation

/// haproxy that ends TLS and answers by itself, on a free loopback port.
final class Haproxy: Sendable {
    let port: Int
    let child: ChildProcess
    private let directory: TemporaryDirectory

    init(_ certificates: TestCertificates) throws {
        directory = try TemporaryDirectory()
        port = try FreePort.next()
        let configuration = try directory.write(
            """
            global
                maxconn 100
            defaults
                mode http
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

    deinit { child.stop(SIGTERM) }

    var address: String { "127.0.0.1:\(port)" }
}

import Foundation
import TestSupport

/// Debian's exim4 (GnuTLS) on a free loopback port: a daemon that forks for each connection, and a client of itself by STARTTLS.
final class Exim: Sendable {
    private let reserved: FreePort
    private let directory: TemporaryDirectory
    private let configuration: String
    let child: ChildProcess

    init(_ certificates: TestCertificates) throws {
        reserved = try FreePort()
        directory = try TemporaryDirectory()
        // Mail to b.example is delivered to the daemon, what arrives by TLS goes nowhere.
        configuration = try directory.write(
            """
            primary_hostname = a.example
            qualify_domain = a.example
            local_interfaces = 127.0.0.1
            daemon_smtp_ports = \(reserved.number)
            spool_directory = \(directory.file("spool"))
            log_file_path = \(directory.file("%slog"))
            pid_file_path = \(directory.file("pid"))
            log_selector = +tls_cipher
            exim_user = root
            keep_environment =
            tls_advertise_hosts = *
            tls_certificate = \(certificates.certificate)
            tls_privatekey = \(certificates.key)
            acl_smtp_rcpt = accept
            begin routers
            nowhere:
              driver = redirect
              condition = ${if def:tls_in_cipher}
              data = :blackhole:
            onward:
              driver = manualroute
              route_list = * 127.0.0.1
              self = send
              transport = out
            begin transports
            out:
              driver = smtp
              user = Debian-exim
              port = \(reserved.number)
              allow_localhost
              hosts_require_tls = *
              tls_verify_certificates = \(certificates.authority)
              tls_verify_hosts = *

            """, to: "exim.conf")
        child = try ChildProcess("exim4", ["-C", configuration, "-bdf"])
        try FreePort.awaitListening(reserved.number, server: child)
    }

    deinit { child.stop(SIGTERM) }

    var port: Int { reserved.number }

    /// What it has logged of deliveries, connections and errors.
    var log: String { (try? directory.text("mainlog")) ?? "" }

    /// Delivers a message to the daemon before it returns; the log tells how.
    func deliver() throws {
        _ = try ChildProcess.run(
            "exim4", ["-C", configuration, "-odi", "-f", "me@a.example", "you@b.example"],
            input: Array("Subject: a message\n\ntext\n".utf8))
    }

    func connect(_ options: [String] = []) throws -> Finished {
        try ChildProcess.run(
            "openssl", ["s_client", "-starttls", "smtp", "-connect", "127.0.0.1:\(port)"] + options,
            input: Array("QUIT\r\n".utf8))
    }
}

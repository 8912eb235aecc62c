import Foundation
import TestSupport

/// nginx with a master and one worker, TLS with HTTP/2, on a free loopback port.
final class Nginx: Sendable {
    private let reserved: FreePort
    let child: ChildProcess
    private let directory: TemporaryDirectory
    private let certificates: TestCertificates

    /// - Parameter binary: another nginx than the distribution's, with its OpenSSL inside.
    init(_ certificates: TestCertificates, binary: String = "nginx") throws {
        self.certificates = certificates
        directory = try TemporaryDirectory()
        reserved = try FreePort()
        let port = reserved.number
        let configuration = try directory.write(
            Self.configuration(directory.path, port: port, certificates), to: "nginx.conf")
        child = try ChildProcess(
            binary, ["-p", directory.path, "-c", configuration, "-e", directory.file("error.log")])
        try FreePort.awaitListening(port, server: child)
        guard eventually({ !workers.isEmpty }) else { throw HarnessError("nginx has no worker") }
    }

    var port: Int { reserved.number }

    /// A killed master would leave its worker behind: ask first.
    deinit { child.stop(SIGTERM) }

    /// Process ids of the workers, which do the handshakes.
    var workers: [Int] {
        let children = try? procText("/proc/\(child.pid)/task/\(child.pid)/children")
        return (children ?? "").split(separator: " ").compactMap { Int($0) }
    }

    var address: String { "127.0.0.1:\(port)" }

    private static func configuration(_ directory: String, port: Int, _ certificates: TestCertificates) -> String {
        """
        daemon off;
        user root;
        worker_processes 1;
        pid \(directory)/nginx.pid;
        error_log \(directory)/error.log;
        events { worker_connections 512; }
        http {
            access_log off;
            client_body_temp_path \(directory)/body;
            proxy_temp_path \(directory)/proxy;
            fastcgi_temp_path \(directory)/fastcgi;
            uwsgi_temp_path \(directory)/uwsgi;
            scgi_temp_path \(directory)/scgi;
            server {
                listen 127.0.0.1:\(port) ssl http2;
                server_name a.example;
                ssl_certificate \(certificates.certificate);
                ssl_certificate_key \(certificates.key);
                ssl_protocols TLSv1.2 TLSv1.3;
                return 200 "ok";
            }
        }

        """
    }
}

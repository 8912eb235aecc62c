import Foundation
import TestSupport

/// Debian's rsyslogd with its GnuTLS driver, on loopback: one that takes messages by TLS, and one that takes them in plain and
/// sends them to the other by TLS.
final class Rsyslog: Sendable {
    private let reserved: FreePort
    private let directory: TemporaryDirectory
    let child: ChildProcess

    /// - Parameter receiver: where messages go to by TLS; else it takes them by TLS itself.
    init(_ certificates: TestCertificates, to receiver: Int? = nil) throws {
        reserved = try FreePort()
        directory = try TemporaryDirectory()
        let common = """
            workDirectory="\(directory.path)" defaultNetstreamDriver="gtls"
            defaultNetstreamDriverCAFile="\(certificates.authority)"
            """
        let input = "input(type=\"imtcp\" port=\"\(reserved.number)\" address=\"127.0.0.1\")"
        let text =
            if let receiver {
                """
                global(\(common))
                module(load="imtcp" StreamDriver.Name="ptcp")
                \(input)
                action(type="omfwd" target="127.0.0.1" port="\(receiver)" protocol="tcp" streamDriver="gtls"
                    streamDriverMode="1" streamDriverAuthMode="x509/name" streamDriverPermittedPeers="a.example")

                """
            } else {
                """
                global(\(common) defaultNetstreamDriverCertFile="\(certificates.certificate)"
                    defaultNetstreamDriverKeyFile="\(certificates.key)")
                module(load="imtcp" StreamDriver.Name="gtls" StreamDriver.Mode="1" StreamDriver.AuthMode="anon")
                \(input)
                action(type="omfile" file="\(directory.file("messages"))")

                """
            }
        child = try ChildProcess(
            "rsyslogd",
            ["-n", "-f", directory.write(text, to: "rsyslog.conf"), "-i", directory.file("pid")])
        try FreePort.awaitListening(reserved.number, server: child)
    }

    deinit { child.stop(SIGTERM) }

    var port: Int { reserved.number }
    var pid: Int { Int(child.pid) }

    /// What has arrived.
    var messages: String { (try? directory.text("messages")) ?? "" }

    /// One message, in plain.
    func send(_ text: String) throws {
        let script = "import socket,sys; socket.create_connection(('127.0.0.1',\(port))).sendall(sys.argv[1].encode())"
        _ = try ChildProcess.run("python3", ["-c", script, "<13>Oct 11 22:14:15 host test: \(text)\n"])
    }

    func connect(_ options: [String] = []) throws -> Finished {
        try ChildProcess.run("openssl", ["s_client", "-connect", "127.0.0.1:\(port)"] + options)
    }
}

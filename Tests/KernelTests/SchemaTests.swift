import Foundation
import TestSupport
import Testing

extension KernelTests {
    /// docs/sessions.schema.json describes what the program really writes.
    @Suite("The schema of sessions") struct SchemaTests {
        @Test("Sessions of every outcome, of either role and of several versions fit the schema")
        func realSessionsFitTheSchema() throws {
            let certificates = try TestCertificates()
            let nginx = try Nginx(certificates)
            let server = try OpenSSLServer(certificates, ["-www", "-alpn", "h2"])
            let capture = try Capture(["--handshake-timeout", "1s"])
            for options in [["--http2"], ["--http1.1", "--tls-max", "1.2"], ["--no-alpn"]] {
                _ = try Curl.get(count: 2, port: nginx.port, authority: certificates.authority, options)
            }
            _ = try Curl.get(port: nginx.port, authority: nil)
            for options in [["-alpn", "h2"], ["-alpn", "http/1.1"], ["-cipher", "NULL", "-tls1_2"]] {
                _ = try server.connect(options)
            }
            let silent = try SilentListener()
            // One is given up by its process, one waits for too long.
            let killed = try ChildProcess("openssl", ["s_client", "-connect", "127.0.0.1:\(silent.port)"])
            close(try silent.acceptAndAwaitBytes())
            let waiting = try ChildProcess("openssl", ["s_client", "-connect", "127.0.0.1:\(silent.port)"])
            let connection = try silent.acceptAndAwaitBytes()
            defer { close(connection) }
            killed.stop(SIGKILL)
            try capture.await(1) { $0.outcome == "timeout" && $0.pid == Int(waiting.pid) }
            waiting.stop(SIGKILL)
            let rows = try capture.stop()
            for outcome in ["completed", "failed", "timeout"] {
                #expect(rows.contains { $0.outcome == outcome }, "\(outcome)")
            }
            #expect(capture.child.output.lines.count == rows.count)
            try SessionSchema.expectFit(capture.child.output.lines)

            // The schema is no formality.
            let line = try #require(capture.child.output.lines.first { $0.contains(#""outcome":"completed""#) })
            for (text, other) in [
                (#""outcome":"completed""#, #""outcome":"done""#), (#""duration_ns":"#, #""duration_ns":-"#),
                (#"{"time":"#, #"{"extra":1,"time":"#), (#""comm":"#, #""com":"#),
            ] {
                let wrong = line.replacing(text, with: other)
                let status = try SessionSchema.validate([wrong]).status
                #expect(wrong != line, "\(wrong)")
                #expect(status == .exited(1), "\(wrong)")
            }
        }
    }
}

import Foundation
import TestSupport
import Testing

extension KernelTests {
    /// BoringSSL inside other things, without symbols: clients and servers of one process.
    @Suite("BoringSSL inside other things") struct BoringSSLTests {
        private struct Said: Codable {
            let version: String
            let cipher: String
            let alpn: String
        }

        private func run(_ modules: String, _ name: String, _ more: [String] = []) throws -> (
            python: Finished, library: String, rows: [SessionRow]
        ) {
            let folder = try TLSBuild.cache() + "/\(modules)"
            try #require(FileManager.default.fileExists(atPath: folder), "\(folder): run `make deps`")
            let certificates = try TestCertificates()
            let found = try ChildProcess.run("find", [folder, "-name", "*.so", "-size", "+1M"])
            let library = try #require(found.output.split(separator: "\n").first.map(String.init))
            let capture = try Capture(["--library", library])
            let python = try ChildProcess.run(
                "/usr/bin/env",
                [
                    "PYTHONPATH=\(folder)", "PYTHONDONTWRITEBYTECODE=1", "python3.11", script(name),
                    certificates.authority, certificates.certificate, certificates.key,
                ] + more, within: .seconds(30))
            try #require(python.status == .exited(0), "\(python.errors)")
            let rows = try capture.finish(expecting: 6) { $0.pid == Int(python.pid) }
            expectSane(rows)
            return (python, library, rows)
        }

        @Test("A Rust module's sessions are what its client says of them")
        func rustModule() throws {
            let count = 4
            let (python, library, rows) = try run("python-utls", "utls_tls.py", ["\(count)"])
            let said = try jsonLines(python.output, as: Said.self)
            try #require(said.count == count)
            for role in ["client", "server"] {
                let told = rows.filter { $0.role == role }
                try #require(told.count == count + 1, "\(told)")
                for (row, truth) in zip(told, said) {
                    #expect(row.isCompleted, "\(row)")
                    #expect(row.stack == "boringssl", "\(row)")
                    #expect(row.library == library, "\(row)")
                    #expect(row.tlsVersion == truth.version, "\(row)")
                    #expect(row.alpn == truth.alpn, "\(row)")
                    // TLS 1.3's names are IANA's.
                    if truth.cipher.hasPrefix("TLS_") { #expect(row.cipher == truth.cipher) }
                    #expect(row.sni == "a.example")
                    #expect(row.resumed == false)
                    // The module carries the bytes itself.
                    #expect(row.socketConfidence == "unknown", "\(row)")
                }
                let last = try #require(told.last)
                #expect(last.outcome == "failed", "\(last)")
                #expect(last.reason == "unknown_ca", "\(last)")
                #expect(last.alert == 48, "\(last)")
                #expect(last.alertDirection == (role == "client" ? "sent" : "received"))
            }
        }

        @Test("gRPC's sessions, in three copies of one function, on threads that change")
        func gRPC() throws {
            let (python, _, rows) = try run("python-grpc", "grpc_tls.py")
            try #require(python.output.split(separator: "\n") == ["{\"proved\": false}", "{\"proved\": true}"])
            let clients = rows.filter { $0.role == "client" }
            let servers = rows.filter { $0.role == "server" }
            try #require(clients.count >= 3 && servers.count >= 3, "\(rows)")
            for row in rows {
                #expect(row.stack == "boringssl")
                // Of what was given up the name is not read.
                #expect(row.sni == (row.outcome == "abandoned" ? nil : "a.example"), "\(row)")
            }
            for row in clients.prefix(2) + servers.prefix(2) {
                #expect(row.isCompleted, "\(row)")
                #expect(row.tlsVersion == "TLSv1.3", "\(row)")
                #expect(row.alpn == "h2", "\(row)")
                #expect(row.resumed == false, "\(row)")
            }
            #expect(servers[1].clientCertificateGiven == true, "\(servers[1])")
            #expect(servers[0].clientCertificateGiven != true, "\(servers[0])")
            // It may try again.
            for row in clients.dropFirst(2) {
                #expect(row.outcome == "failed", "\(row)")
                #expect(row.alertDirection == "sent", "\(row)")
            }
            // gRPC gives a server's handshake up where the connection's end comes with the alert: it does not read that one.
            for row in servers.dropFirst(2) {
                #expect(row.outcome == "failed" || row.outcome == "abandoned", "\(row)")
                #expect(row.alertDirection == (row.outcome == "failed" ? "received" : nil), "\(row)")
            }
        }
    }
}

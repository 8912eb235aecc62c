import Foundation
import TestSupport
import Testing

extension KernelTests {
    /// OpenSSL inside other things: a Python extension with symbols, and a program with none at all.
    @Suite("OpenSSL inside other things") struct BundledTests {
        private struct Said: Codable {
            let version: String
            let cipher: String
            let alpn: String
        }

        @Test("OpenSSL inside Python's cryptography", arguments: ["3.4.0", "4.0.3"])
        func pythonExtension(_ version: String) throws {
            let cache = try TLSBuild.cache()
            let modules = "\(cache)/python-static-\(version)"
            let library = modules + "/cryptography/hazmat/bindings/_rust.abi3.so"
            try #require(FileManager.default.fileExists(atPath: library), "\(library): run `make deps`")
            let certificates = try TestCertificates()
            let capture = try Capture(["--library", library])
            let count = 6
            let python = try ChildProcess.run(
                "/usr/bin/env",
                [
                    "PYTHONPATH=\(modules):\(cache)/python-cffi", "PYTHONDONTWRITEBYTECODE=1", "python3",
                    script("pyopenssl_tls.py"), certificates.authority, certificates.certificate, certificates.key,
                    "\(count)",
                ])
            try #require(python.status == .exited(0), "\(python.errors)")
            var lines = python.output.split(separator: "\n").map(String.init)
            #expect(lines.removeFirst().contains("OpenSSL \(version)"))
            let said = try lines.map { try JSONDecoder().decode(Said.self, from: Data($0.utf8)) }
            let rows = try capture.finish(expecting: 2 * (count + 1)) { $0.pid == Int(python.pid) }
            expectSane(rows)
            for role in ["client", "server"] {
                let told = rows.filter { $0.role == role }
                try #require(told.count == count + 1, "\(told)")
                for (row, truth) in zip(told, said) {
                    #expect(row.isCompleted, "\(row)")
                    #expect(row.library == library, "\(row)")
                    #expect(row.libraryVersion == version, "\(row)")
                    #expect(row.tlsVersion == truth.version, "\(row)")
                    #expect(row.alpn == truth.alpn, "\(row)")
                    // TLS 1.3's names are IANA's.
                    if truth.cipher.hasPrefix("TLS_") { #expect(row.cipher == truth.cipher) }
                    #expect(row.sni == "a.example")
                    #expect(row.resumed == false)
                    #expect(row.socketConfidence == "unknown")
                }
                let last = try #require(told.last)
                #expect(last.outcome == "failed", "\(last)")
                #expect(last.reason == "unknown_ca", "\(last)")
                #expect(last.alert == 48, "\(last)")
                #expect(last.alertDirection == (role == "client" ? "sent" : "received"))
            }
        }

        @Test("A stripped, static nginx: its sessions, their outcomes and reasons, and no fact made up")
        func aStrippedStaticNginxIsObserved() throws {
            let binary = try TLSBuild.cache() + "/nginx-static-3.3.7/nginx"
            try #require(FileManager.default.isExecutableFile(atPath: binary), "\(binary): run `make deps`")
            let certificates = try TestCertificates()
            let nginx = try Nginx(certificates, binary: binary)
            let capture = try Capture()
            let curls = try Curl.get(count: 10, port: nginx.port, authority: certificates.authority)
            let refused = try Curl.get(port: nginx.port, authority: nil)
            try #require(refused.status == .exited(60))
            let rows = try capture.finish(expecting: 11) { nginx.workers.contains($0.pid ?? 0) }
            try #require(rows.count == 11, "\(rows)")
            expectSane(rows)
            for row in rows.prefix(10) {
                #expect(row.isServer, "\(row)")
                #expect(row.isCompleted, "\(row)")
                #expect(row.tlsVersion == "TLSv1.3", "\(row)")
                #expect(row.libraryVersion == "3.3.7")
                #expect(row.socketConfidence == "exact")
                #expect(row.local == nginx.address)
                #expect(row.cipher == nil, "\(row)")
                #expect(row.alpn == nil, "\(row)")
                #expect(row.sni == nil, "\(row)")
                #expect(row.resumed == nil, "\(row)")
            }
            #expect(rows.prefix(10).map { $0.remote ?? "" } == curls.map(\.local))
            #expect(rows.last?.outcome == "failed", "\(rows.last as Any)")
            #expect(rows.last?.reason == "unknown_ca", "\(rows.last as Any)")
        }
    }
}

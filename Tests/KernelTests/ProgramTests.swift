import Foundation
import TestSupport
import Testing

/// What the Python scripts print about themselves.
struct ScriptReport: Codable {
    struct Client: Codable {
        let local: String
        let version: String
        let cipher: String
        let alpn: String
    }
    let port: Int
    let clients: [Client]
}

extension KernelTests {
    @Suite("Programs of many kinds") struct ProgramTests {
        private func runScript(_ name: String, count: Int, capturing check: (ScriptReport, [SessionRow]) throws -> Void)
            throws
        {
            let certificates = try TestCertificates()
            let capture = try Capture()
            let python = try ChildProcess.run(
                "/usr/bin/env",
                [
                    "python3", script(name), certificates.authority, certificates.certificate, certificates.key,
                    "\(count)",
                ])
            try #require(python.status == .exited(0), "\(python.errors)")
            let report = try JSONDecoder().decode(ScriptReport.self, from: Data(python.output.utf8))
            let rows = try capture.finish(expecting: 2 * count) { $0.pid == Int(python.pid) }
            #expect(rows.filter(\.isServer).count == count)
            #expect(rows.filter(\.isClient).count == count)
            expectSane(rows)
            for row in rows {
                #expect(row.isCompleted, "\(row)")
                #expect(report.clients.allSatisfy { $0.version == row.tlsVersion && $0.alpn == row.alpn })
                #expect(report.clients.allSatisfy { $0.cipher == row.cipher })
                #expect(row.sni == "a.example")
                #expect(row.resumed == false)
            }
            try check(report, rows)
        }

        @Test("Python's blocking sockets are seen on both sides of one process")
        func pythonBlocking() throws {
            try runScript("blocking_tls.py", count: 5) { report, rows in
                let address = "127.0.0.1:\(report.port)"
                let ends = Set(report.clients.map(\.local))
                #expect(rows.allSatisfy { $0.socketConfidence == "exact" })
                #expect(Set(rows.filter(\.isClient).compactMap(\.local)) == ends)
                #expect(Set(rows.filter(\.isServer).compactMap(\.remote)) == ends)
                #expect(rows.filter(\.isServer).allSatisfy { $0.local == address })
                #expect(rows.filter(\.isClient).allSatisfy { $0.remote == address })
            }
        }

        @Test("Python's asyncio, which keeps sockets out of OpenSSL, is seen without a socket made up for it")
        func pythonAsyncio() throws {
            try runScript("asyncio_tls.py", count: 5) { report, rows in
                let address = "127.0.0.1:\(report.port)"
                #expect(rows.allSatisfy { ($0.calls ?? 0) >= 2 })
                #expect(rows.allSatisfy { $0.socketConfidence != "exact" }, "no I/O was seen inside a call")
                // Whatever is told of the socket must at least be true.
                for row in rows where row.socketConfidence == "unknown" {
                    #expect(row.local == nil)
                    #expect(row.remote == nil)
                }
                for row in rows where row.socketConfidence == "inferred" {
                    #expect((row.isServer ? row.local : row.remote) == address)
                }
            }
        }

        @Test("node, which carries OpenSSL inside, is seen from its first handshake when it is the command")
        func nodeAsCommand() throws {
            let certificates = try TestCertificates()
            let directory = try TemporaryDirectory()
            let result = try Tlswatch.run([
                "capture", "--format", "json", "--output", directory.file("rows.json"), "--", "node",
                script("node_tls.js"), certificates.authority, certificates.certificate, certificates.key, "5",
            ])
            #expect(result.status == .exited(0), "\(result.errors)")
            let text = try String(contentsOfFile: directory.file("rows.json"), encoding: .utf8)
            let rows = try SessionRow.parse(text.split(separator: "\n").map(String.init))
            #expect(rows.filter(\.isServer).count == 5)
            #expect(rows.filter(\.isClient).count == 5)
            expectNode(rows)
        }

        @Test("A node server that starts under a running capture is observed, then told to the unit")
        func nodeAsServer() throws {
            let certificates = try TestCertificates()
            let capture = try Capture()
            let node = try ChildProcess(
                "node",
                [script("node_tls.js"), certificates.authority, certificates.certificate, certificates.key, "0"])
            let port = try node.announcedPort()
            let isNode: @Sendable (SessionRow) -> Bool = { $0.pid == Int(node.pid) }
            var tried = 0
            // A binary of 100 MB is read while it already runs: until the first session comes, nothing is promised.
            let observed = try eventually {
                tried += 1
                _ = try Curl.get(count: 1, port: port, authority: certificates.authority, ["--http1.1"])
                return try eventually(within: .milliseconds(300)) { try capture.sessions().contains(where: isNode) }
            }
            try #require(observed, "node was never observed")
            let before = try capture.sessions().filter(isNode).count
            print("node: first session told after \(tried) request(s)")
            _ = try Curl.get(count: 10, port: port, authority: certificates.authority, ["--http1.1"])
            let rows = try capture.finish(expecting: before + 10, where: isNode)
            #expect(rows.count == before + 10)
            #expect(rows.allSatisfy { $0.isServer })
            expectNode(rows)
            node.stop()
        }

        private func expectNode(_ rows: [SessionRow]) {
            expectSane(rows)
            for row in rows {
                #expect(row.isCompleted, "\(row)")
                #expect(row.tlsVersion == "TLSv1.3")
                #expect(row.alpn == "http/1.1")
                #expect(row.sni == "a.example")
                #expect(row.resumed == false)
                #expect(row.cipher == "TLS_AES_256_GCM_SHA384")
                #expect(row.stack == "openssl")
                #expect(row.exe?.hasSuffix("/node") == true)
                #expect(row.library?.hasSuffix("/node") == true)
            }
        }

        @Test("haproxy's ten sessions are seen with their facts")
        func haproxysSessionsAreObserved() throws {
            let certificates = try TestCertificates()
            let haproxy = try Haproxy(certificates)
            let capture = try Capture()
            let curls = try Curl.get(count: 10, port: haproxy.port, authority: certificates.authority, ["--http2"])
            let rows = try capture.finish(expecting: 10) { $0.pid == Int(haproxy.child.pid) }
            #expect(rows.count == 10)
            expectSane(rows)
            for row in rows {
                #expect(row.isServer, "\(row)")
                #expect(row.isCompleted, "\(row)")
                #expect(row.tlsVersion == "TLSv1.3")
                #expect(row.alpn == "h2")
                #expect(row.sni == "a.example")
                #expect(row.comm == "haproxy")
                #expect(row.exe?.hasSuffix("/haproxy") == true)
                #expect(row.socketConfidence == "exact")
                #expect(row.local == haproxy.address)
            }
            #expect(Set(rows.compactMap(\.remote)) == Set(curls.map(\.local)))
        }
    }
}

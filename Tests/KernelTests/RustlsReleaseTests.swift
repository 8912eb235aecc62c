import Foundation
import TestSupport
import Testing

extension KernelTests {
    /// Releases of rustls before 0.23, several in one file, and QUIC, against what peers say.
    @Suite("rustls: older releases and QUIC") struct RustlsReleaseTests {
        private struct Met: Codable {
            var transport: String
            var met: Bool
        }

        /// zenoh's module 0.11 has 0.22 for TLS and 0.21 for QUIC; that of 1.10 has 0.23 for both.
        @Test(
            "A module in both roles, over TLS, with client certificates and over QUIC: by itself and by openssl",
            arguments: [("0.11.0", "0.22.4", "0.21.7"), ("1.10.2", "0.23.45", "0.23.45")])
        func pairs(_ module: String, tls: String, quic: String) throws {
            let certificates = try TestCertificates()
            let folder = try TLSBuild.cache() + "/python-zenoh-\(module)"
            let library = folder + "/zenoh/zenoh.abi3.so"
            try #require(FileManager.default.fileExists(atPath: library), "\(library): run `make deps`")
            let ports = try (0..<3).map { _ in try FreePort() }
            let capture = try Capture(["--library", library])
            let python = try ChildProcess(
                "/usr/bin/env",
                [
                    "PYTHONPATH=\(folder)", "PYTHONDONTWRITEBYTECODE=1", "python3.11", script("zenoh_pairs.py"),
                    certificates.authority, certificates.certificate, certificates.key, "tls:\(ports[0].number)",
                    "mtls:\(ports[1].number)", "quic:\(ports[2].number)",
                ])
            defer { python.stop() }
            _ = try python.waitForLine(in: python.output) { $0 == "ready" }
            let met = try jsonLines(python.output.text.replacing("ready\n", with: ""), as: Met.self)
            try #require(
                met.map(\.transport) == ["tls", "mtls", "quic"] && met.allSatisfy(\.met), "\(python.errors.text)")
            func connect(_ port: Int, _ options: [String]) throws -> Finished {
                try ChildProcess.run(
                    "openssl",
                    ["s_client", "-connect", "127.0.0.1:\(port)", "-CAfile", certificates.authority] + options)
            }
            let plain = try connect(ports[0].number, ["-groups", "P-256", "-servername", "a.example"])
            let wanted = try connect(
                ports[1].number,
                ["-groups", "P-384", "-noservername", "-cert", certificates.certificate, "-key", certificates.key])
            let refused = try connect(ports[0].number, ["-groups", "P-521"])
            try #require(refused.errors.contains("alert number 40"), "\(refused.errors)")
            let rows = try capture.finish(expecting: 9) { $0.pid == Int(python.pid) }
            expectSane(rows)
            #expect(rows.count == 9, "\(rows.map { [$0.role, $0.outcome, $0.reason] })")
            #expect(
                rows.allSatisfy {
                    $0.stack == "rustls" && $0.library == library && $0.tlsVersion == "TLSv1.3" || !$0.isCompleted
                })
            // Client and server of one handshake end close together, in either order.
            let own = rows.prefix(6)
            for (place, transport) in ["tls", "mtls", "quic"].enumerated() {
                let pair = Array(own.dropFirst(2 * place).prefix(2))
                try #require(pair.count == 2 && Set(pair.map(\.role)) == ["client", "server"], "\(pair)")
                for row in pair {
                    #expect(row.isCompleted && row.resumed == false && row.helloRetryRequest == false, "\(row)")
                    #expect(row.libraryVersion == (transport == "quic" ? quic : tls), "\(row)")
                    #expect(row.transport == (transport == "quic" ? "quic" : nil), "\(row)")
                    #expect(row.clientCertificateRequested == (transport == "mtls"), "\(row)")
                    #expect(row.clientCertificateGiven == (transport == "mtls" ? true : nil), "\(row)")
                }
                #expect(pair[0].cipher == pair[1].cipher && pair[0].group == pair[1].group, "\(pair)")
                #expect(pair[0].cipher != nil && pair[0].group != nil && pair[0].alpn == pair[1].alpn, "\(pair)")
            }
            let servers = Array(rows.dropFirst(6))
            try #require(servers.allSatisfy { $0.isServer && $0.libraryVersion == tls }, "\(servers)")
            #expect(plain.output.contains("Cipher is \(servers[0].cipher ?? "none")\n"), "\(servers[0])")
            #expect(servers[0].group == "secp256r1" && servers[0].sni == "a.example", "\(servers[0])")
            #expect(servers[0].clientCertificateRequested == false, "\(servers[0])")
            #expect(wanted.output.contains("Acceptable client certificate CA names"))
            #expect(servers[1].group == "secp384r1" && servers[1].sni == nil, "\(servers[1])")
            #expect(servers[1].clientCertificateRequested == true && servers[1].clientCertificateGiven == true)
            #expect(servers[2].outcome == "failed" && servers[2].reason == "handshake_failure", "\(servers[2])")
            #expect(servers[2].alert == 40 && servers[2].alertDirection == "sent", "\(servers[2])")
            #expect(servers[2].libraryReason == "peer_incompatible", "\(servers[2])")
        }

        @Test("uv with rustls 0.21: facts, HelloRetryRequest, and its refusal as it says it")
        func client() throws {
            let certificates = try TestCertificates()
            let directory = try TemporaryDirectory()
            let other = try CertificateAuthority("another", in: directory)
            let servers = try [
                OpenSSLServer(certificates, ["-www", "-tls1_3", "-alpn", "http/1.1", "-groups", "X25519"]),
                OpenSSLServer(certificates, ["-www", "-tls1_2", "-groups", "P-256"]),
                OpenSSLServer(certificates, ["-www", "-tls1_3", "-groups", "P-384"]),
            ]
            let uv = try UV.program("0.1.5")
            let capture = try Capture(["--library", uv])
            var pids: [Int] = []
            for server in servers {
                let answer = try UV.ask(uv, port: server.port, authority: certificates.authority, isEarly: true)
                try #require(answer.errors.contains("No solution found"), "\(answer.errors)")
                pids.append(Int(answer.pid))
            }
            // It asks again for seconds: the first answer is enough.
            let refusing = try UV.start(uv, port: servers[0].port, authority: other.certificate, isEarly: true)
            defer { refusing.stop() }
            pids.append(Int(refusing.pid))
            let rows = try capture.finish(expecting: 4) { pids.contains($0.pid ?? 0) }
            expectSane(rows)
            let told = pids.map { pid in rows.filter { $0.pid == pid } }
            try #require(told[..<3].allSatisfy { $0.count == 1 } && !told[3].isEmpty, "\(told.map(\.count))")
            #expect(rows.allSatisfy { $0.isClient && $0.libraryVersion == "0.21.10" && $0.sni == nil }, "\(rows)")
            let (first, second, third) = (told[0][0], told[1][0], told[2][0])
            #expect(first.isCompleted && first.tlsVersion == "TLSv1.3" && first.alpn == "http/1.1", "\(first)")
            #expect(first.group == "x25519" && first.helloRetryRequest == false, "\(first)")
            #expect(second.isCompleted && second.tlsVersion == "TLSv1.2" && second.group == "secp256r1", "\(second)")
            #expect(second.resumed == false && second.alpn == nil, "\(second)")
            #expect(third.isCompleted && third.group == "secp384r1" && third.helloRetryRequest == true, "\(third)")
            for row in [first, second] {
                #expect(row.keyExchange ?? 0 > 0 && row.keyExchange ?? 0 < row.duration ?? 0, "\(row)")
                #expect(row.clientCertificateRequested == false, "\(row)")
            }
            for row in told[3] {
                #expect(row.outcome == "failed" && row.reason == "unknown_ca" && row.alert == 48, "\(row)")
                #expect(row.alertDirection == "sent" && row.libraryReason == "invalid_certificate", "\(row)")
            }
        }
    }
}

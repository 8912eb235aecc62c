import Foundation
import TestSupport
import Testing

extension KernelTests {
    @Suite("The openssl command") struct OpenSSLToolTests {
        @Test(
            "Ten s_client connections to s_server -www are ten sessions on each side and no other row",
            arguments: ["-tls1_3", "-tls1_2"])
        func tenOfTen(_ version: String) throws {
            let server = try OpenSSLServer(TestCertificates())
            let capture = try Capture()
            let clients = try (0..<10).map { _ in try server.connect([version, "-servername", "a.example"]) }
            let pids = Set(clients.map { Int($0.pid) }).union([server.pid])
            let rows = try capture.finish(expecting: 20) { pids.contains($0.pid ?? 0) }
            #expect(rows.count == 20)
            #expect(rows.filter { $0.isServer && $0.pid == server.pid }.count == 10)
            #expect(Set(rows.filter { $0.isClient }.map { $0.pid ?? 0 }) == Set(clients.map { Int($0.pid) }))
            expectSane(rows)
            for row in rows {
                #expect(row.isCompleted, "\(row)")
                #expect(row.tlsVersion == (version == "-tls1_3" ? "TLSv1.3" : "TLSv1.2"))
                #expect(row.resumed == false)
                #expect(row.sni == "a.example")
                #expect(row.alpn == nil, "no ALPN was offered")
                #expect(row.alpnNegotiation == nil, "no ALPN was offered")
                #expect(row.alpnShare == nil, "no ALPN was offered")
                #expect(row.socketConfidence == "exact")
                #expect(row.comm == "openssl")
            }
            let cipher = try #require(rows.first?.cipher)
            #expect(cipher.hasPrefix("TLS_"))
            #expect(rows.allSatisfy { $0.cipher == cipher })
        }

        @Test("Reconnections on one TLS object are sessions of their own, resumed as openssl says")
        func reconnectionsAreSessionsOfTheirOwn() throws {
            let server = try OpenSSLServer(TestCertificates())
            let capture = try Capture()
            let client = try server.connect(["-tls1_2", "-reconnect"])
            let lines = client.output.split(separator: "\n")
            let full = lines.filter { $0.hasPrefix("New, ") }.count
            let resumed = lines.filter { $0.hasPrefix("Reused, ") }.count
            try #require(full == 1 && resumed == 5)
            let pids = Set([Int(client.pid), server.pid])
            let rows = try capture.finish(expecting: 12) { pids.contains($0.pid ?? 0) }
            #expect(rows.count == 12)
            expectSane(rows)
            for side in [rows.filter(\.isServer), rows.filter(\.isClient)] {
                #expect(side.filter { $0.resumed == false }.count == full)
                #expect(side.filter { $0.resumed == true }.count == resumed)
                #expect(side.allSatisfy { $0.isCompleted && $0.tlsVersion == "TLSv1.2" })
                #expect(
                    side.filter { $0.resumed == true }.allSatisfy {
                        $0.keyExchange == nil && $0.keyExchangeCompute == nil
                    },
                    "a resumed TLS 1.2 session exchanges no keys")
            }
        }

        @Test("A TLS 1.3 session resumed by its ticket is told as resumed on both sides")
        func aResumedSessionIsResumedOnBothSides() throws {
            let directory = try TemporaryDirectory()
            let server = try OpenSSLServer(TestCertificates())
            let file = directory.file("session.pem")
            let first = try ChildProcess(
                "openssl", ["s_client", "-connect", server.address, "-sess_out", file, "-ign_eof"])
            let ticket = try SessionTicket.copy(of: file, in: directory, from: first)
            first.stop()
            let capture = try Capture()
            let client = try server.connect(["-sess_in", ticket])
            try #require(client.output.contains("Reused, TLSv1.3"))
            let pids = Set([Int(client.pid), server.pid])
            let rows = try capture.finish(expecting: 2) { pids.contains($0.pid ?? 0) }
            #expect(rows.count == 2)
            expectSane(rows)
            #expect(rows.allSatisfy { $0.isCompleted && $0.resumed == true && $0.tlsVersion == "TLSv1.3" })
        }

        @Test("A TLS 1.3 session resumed by its key alone, without a key exchange, has neither group nor time of one")
        func aKeyAloneIsNoKeyExchange() throws {
            let directory = try TemporaryDirectory()
            let server = try OpenSSLServer(TestCertificates(), ["-www", "-groups", "P-256", "-allow_no_dhe_kex"])
            let file = directory.file("session.pem")
            let first = try ChildProcess(
                "openssl",
                ["s_client", "-connect", server.address, "-groups", "P-256", "-sess_out", file, "-ign_eof"])
            let ticket = try SessionTicket.copy(of: file, in: directory, from: first)
            first.stop()
            let capture = try Capture()
            // The server knows no group of this client's, and needs none.
            let client = try server.connect(["-groups", "X448", "-allow_no_dhe_kex", "-sess_in", ticket])
            try #require(client.output.contains("Reused, TLSv1.3"))
            try #require(!client.output.contains("Server Temp Key"))
            let pids = Set([Int(client.pid), server.pid])
            let rows = try capture.finish(expecting: 2) { pids.contains($0.pid ?? 0) }
            #expect(rows.count == 2)
            expectSane(rows)
            for row in rows {
                #expect(row.isCompleted && row.resumed == true, "\(row)")
                #expect(row.group == nil && row.keyExchange == nil, "\(row)")
            }
        }

        @Test("The group told is the one negotiated, also after a HelloRetryRequest", arguments: ["P-256", "P-384"])
        func theGroupIsTheNegotiatedOne(_ group: String) throws {
            let server = try OpenSSLServer(TestCertificates(), ["-www", "-groups", group])
            let capture = try Capture()
            let client = try server.connect()
            let pids = Set([Int(client.pid), server.pid])
            let rows = try capture.finish(expecting: 2) { pids.contains($0.pid ?? 0) }
            #expect(rows.count == 2)
            expectSane(rows)
            let name = group == "P-256" ? "secp256r1" : "secp384r1"
            #expect(rows.allSatisfy { $0.isCompleted && $0.group == name })
        }
    }
}

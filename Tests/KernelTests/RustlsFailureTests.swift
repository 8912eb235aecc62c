import Foundation
import TestSupport
import Testing

extension KernelTests {
    /// What goes wrong with rustls inside programs, and its client certificates, against what its peers say.
    @Suite("rustls: failures and client certificates") struct RustlsFailureTests {
        /// An outcome, and why.
        private struct Told: Equatable, CustomStringConvertible {
            var outcome: String?
            var reason: String?
            var alert: Int?
            var direction: String?
            var word: String?

            init(_ row: SessionRow) {
                (outcome, reason, alert) = (row.outcome, row.reason, row.alert)
                (direction, word) = (row.alertDirection, row.libraryReason)
            }

            static let completed = Told("completed", nil, nil, nil, nil)
            static let abandoned = Told("abandoned", nil, nil, nil, nil)

            static func sent(_ reason: String, _ alert: Int, _ word: String?) -> Told {
                Told("failed", reason, alert, "sent", word)
            }

            static func received(_ reason: String, _ alert: Int) -> Told {
                Told("failed", reason, alert, "received", nil)
            }

            private init(_ outcome: String, _ reason: String?, _ alert: Int?, _ direction: String?, _ word: String?) {
                (self.outcome, self.reason, self.alert) = (outcome, reason, alert)
                (self.direction, self.word) = (direction, word)
            }

            var description: String {
                [outcome, reason, alert.map(String.init), direction, word].map { $0 ?? "-" }.joined(separator: " ")
            }
        }

        /// A certificate of an authority that nobody knows.
        private func stranger(in directory: TemporaryDirectory) throws -> [String] {
            let authority = try CertificateAuthority("another", in: directory)
            try authority.issue("stranger", names: "DNS:stranger.example")
            return ["-cert", directory.file("stranger.pem"), "-key", directory.file("stranger.key")]
        }

        @Test("A server that wants client certificates: each of its refusals is what the client says of it")
        func server() throws {
            let certificates = try TestCertificates()
            let directory = try TemporaryDirectory()
            let granian = try Granian(
                certificates,
                ["--ssl-ca", certificates.authority, "--ssl-client-verify", "--ssl-protocol-min", "tls1.2"])
            let capture = try Capture(["--library", granian.library])
            let own = ["-cert", certificates.certificate, "-key", certificates.key]
            // The alert that the client has to have read, by its number; it waits until the server closes.
            let cases: [(options: [String], alert: Int?, told: Told)] = [
                (own, nil, .completed),
                (own + ["-tls1_2"], nil, .completed),
                ([], 116, .sent("certificate_required", 116, "no_certificates_presented")),
                (["-tls1_2"], 116, .sent("certificate_required", 116, "no_certificates_presented")),
                (try stranger(in: directory), 48, .sent("unknown_ca", 48, "invalid_certificate")),
                (["-ciphersuites", "TLS_AES_128_CCM_SHA256"], 40, .sent("handshake_failure", 40, "peer_incompatible")),
                (
                    ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"], 40,
                    .sent("handshake_failure", 40, "peer_incompatible")
                ),
                (own + ["-alpn", "none"], 120, .sent("no_application_protocol", 120, nil)),
            ]
            for (options, alert, _) in cases {
                let client = try ChildProcess.run(
                    "openssl", ["s_client", "-connect", "127.0.0.1:\(granian.port)", "-ign_eof"] + options,
                    input: Array("GET / HTTP/1.0\r\n\r\n".utf8))
                let answered = client.output.contains("200 OK")
                try #require(answered == (alert == nil), "\(options): \(client.errors)")
                if let alert { try #require(client.errors.contains("alert number \(alert)"), "\(client.errors)") }
            }
            let rows = try capture.finish(expecting: cases.count) { $0.library == granian.library }
            expectSane(rows)
            #expect(rows.map(Told.init) == cases.map(\.told))
            #expect(rows.allSatisfy { $0.isServer && $0.stack == "rustls" })
            for row in rows.prefix(2) {
                #expect(row.clientCertificateRequested == true && row.clientCertificateGiven == true, "\(row)")
            }
        }

        @Test("A client: what servers refuse it, what they want of it, and how they leave")
        func client() throws {
            let certificates = try TestCertificates()
            let uv = try UV.program("0.13.9")
            let wanting = ["-www", "-CAfile", certificates.authority, "-Verify", "2", "-verify_return_error"]
            let servers = try [
                OpenSSLServer(certificates, wanting + ["-tls1_3"]),
                OpenSSLServer(certificates, wanting + ["-tls1_2"]),
                OpenSSLServer(certificates, ["-www", "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"]),
                OpenSSLServer(certificates, ["-www", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]),
                OpenSSLServer(certificates, ["-www", "-alpn", "none"]),
            ]
            let leaving = try ChildProcess("python3", [script("odd_server.py"), "close", "reset"])
            let first = try leaving.waitForLine(in: leaving.output) { Int($0) != nil }
            let port = try #require(Int(first))
            defer { leaving.stop() }
            let capture = try Capture(["--library", uv])
            func ask(_ port: Int, identity: String? = nil) throws -> Finished {
                try UV.ask(uv, port: port, authority: certificates.authority, identity: identity)
            }
            // What uv says of it, and what is to be told.
            let cases: [(said: String, told: Told, answer: Finished)] = try [
                ("No solution found", .completed, ask(servers[0].port, identity: certificates.combined)),
                ("No solution found", .completed, ask(servers[1].port, identity: certificates.combined)),
                // Its part of the handshake is over when the server misses the certificate.
                ("CertificateRequired", .completed, ask(servers[0].port)),
                ("HandshakeFailure", .received("handshake_failure", 40), ask(servers[1].port)),
                ("HandshakeFailure", .received("handshake_failure", 40), ask(servers[2].port)),
                ("ProtocolVersion", .received("protocol_version", 70), ask(servers[3].port)),
                ("NoApplicationProtocol", .received("no_application_protocol", 120), ask(servers[4].port)),
                // In the middle of its handshake: closed, and reset.
                ("error", .abandoned, ask(port)),
                ("error", .abandoned, ask(port)),
            ]
            for (said, _, answer) in cases { #expect(answer.errors.contains(said), "\(answer.errors)") }
            let pids = cases.map { Int($0.answer.pid) }
            let rows = try capture.finish(expecting: cases.count) { pids.contains($0.pid ?? 0) }
            expectSane(rows)
            for (pid, expected) in zip(pids, cases) {
                // uv may ask again where the connection failed.
                let own = rows.filter { $0.pid == pid }
                #expect(
                    !own.isEmpty && own.allSatisfy { Told($0) == expected.told },
                    "\(own.map(Told.init)) \(expected.told)")
            }
            let asked = pids.prefix(3).map { pid in rows.first { $0.pid == pid } }
            #expect(asked.map { $0?.clientCertificateRequested } == [true, true, true])
            #expect(asked.map { $0?.clientCertificateGiven } == [true, true, false])
        }
    }
}

import Foundation
import TestSupport
import Testing

extension KernelTests {
    /// rustls inside programs and Python modules, stripped, against what its peers say.
    @Suite("rustls") struct RustlsTests {
        private static func folder(_ name: String) throws -> String {
            let folder = try TLSBuild.cache() + "/" + name
            try #require(FileManager.default.fileExists(atPath: folder), "\(folder): run `make deps`")
            return folder
        }

        /// What `openssl s_client` says of its handshake.
        private struct Said {
            let version: String
            let cipher: String
            let isReused: Bool
            let alpn: String?

            init(_ client: Finished) throws {
                let line = try #require(
                    client.output.split(separator: "\n").first { $0.hasPrefix("New, ") || $0.hasPrefix("Reused, ") })
                let words = line.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
                isReused = words[0] == "Reused"
                version = words[1]
                cipher = words[2].replacing("Cipher is ", with: "")
                alpn = client.output.split(separator: "\n").first { $0.hasPrefix("ALPN protocol: ") }
                    .map { String($0.dropFirst("ALPN protocol: ".count)) }
            }
        }

        private func expectFacts(_ row: SessionRow, _ said: Said) {
            #expect(row.isCompleted, "\(row)")
            #expect(row.stack == "rustls" && row.libraryVersion?.hasPrefix("0.23.") == true, "\(row)")
            #expect(row.tlsVersion == said.version, "\(row)")
            #expect(row.cipher == said.cipher, "\(row)")
            #expect(row.resumed == said.isReused, "\(row)")
            #expect(row.alpn == said.alpn, "\(row)")
            #expect((row.duration ?? 0) > 0 && row.calls == nil && row.busy == nil, "\(row)")
            #expect(row.socketConfidence == "unknown" && row.local == nil, "\(row)")
        }

        @Test("A server's handshakes, completed and failed, are what its clients say of them")
        func server() throws {
            let certificates = try TestCertificates()
            let directory = try TemporaryDirectory()
            let granian = try Granian(certificates)
            let capture = try Capture(["--library", granian.library])
            let trusted = ["-CAfile", certificates.authority, "-verify_return_error"]
            var expected: [(said: Said, group: String, sni: String?, retry: Bool)] = []
            func connect(_ options: [String], group: String, sni: String? = nil, retry: Bool = false) throws {
                let client = try granian.connect(trusted + ["-groups", group] + options)
                try expected.append(
                    (Said(client), group.split(separator: ":").last.map(String.init) ?? "", sni, retry))
            }
            try connect(["-servername", "a.example", "-alpn", "h2"], group: "X25519", sni: "a.example")
            try connect(["-noservername"], group: "P-256")
            try connect(["-noservername", "-alpn", "http/1.1"], group: "P-521:P-384", retry: true)
            // Resumed by the ticket that comes after the handshake.
            let file = directory.file("session.pem")
            let first = try ChildProcess(
                "openssl",
                [
                    "s_client", "-connect", "127.0.0.1:\(granian.port)", "-groups", "X25519", "-sess_out", file,
                    "-ign_eof",
                ]
                    + ["-noservername"] + trusted)
            let ticket = try SessionTicket.copy(of: file, in: directory, from: first)
            first.stop()
            try connect(["-noservername", "-sess_in", ticket], group: "X25519")
            try #require(expected.last?.said.isReused == true)
            // What it refuses, and what refuses it.
            let refused = try granian.connect(["-tls1_2"])
            try #require(refused.errors.contains("alert protocol version"), "\(refused.errors)")
            let protocols = try granian.connect(trusted + ["-alpn", "none"])
            try #require(protocols.errors.contains("no application protocol"), "\(protocols.errors)")
            let groups = try granian.connect(trusted + ["-groups", "P-521"])
            try #require(groups.errors.contains("alert handshake failure"), "\(groups.errors)")
            let unknown = try granian.connect(["-verify_return_error", "-tls1_3"])
            try #require(unknown.errors.contains("verify error"), "\(unknown.errors)")
            let curl = try Curl.get(port: granian.port, authority: certificates.authority)

            let rows = try capture.finish(expecting: 10) { $0.library == granian.library }
            expectSane(rows)
            #expect(rows.count == 10, "\(rows.map { [$0.outcome, $0.reason] })")
            try #require(rows.count == 10)
            #expect(rows.allSatisfy { $0.isServer && $0.stack == "rustls" })
            let completed = [rows[0], rows[1], rows[2], rows[4]]
            let names = ["X25519": "x25519", "P-256": "secp256r1", "P-384": "secp384r1"]
            for (row, truth) in zip(completed, expected) {
                expectFacts(row, truth.said)
                #expect(row.group == names[truth.group], "\(row)")
                #expect(row.sni == truth.sni, "\(row)")
                #expect(row.helloRetryRequest == truth.retry, "\(row)")
                #expect((row.keyExchange != nil) == !truth.retry, "\(row)")
                #expect(row.keyExchange ?? 0 < row.duration ?? 0, "\(row)")
                #expect(row.clientCertificateRequested == false, "\(row)")
            }
            #expect(rows[3].isCompleted && rows[3].resumed == false, "\(rows[3])")
            let failures = rows[5...8].map {
                [$0.reason, $0.alert.map(String.init), $0.alertDirection, $0.libraryReason]
            }
            #expect(
                failures == [
                    ["protocol_version", "70", "sent", "peer_incompatible"],
                    ["no_application_protocol", "120", "sent", nil],
                    ["handshake_failure", "40", "sent", "peer_incompatible"],
                    ["unknown_ca", "48", "received", nil],
                ], "\(failures)")
            #expect(rows[5...8].allSatisfy { $0.outcome == "failed" && $0.cipher == nil })
            let last = rows[9]
            #expect(last.isCompleted && last.sni == "a.example" && last.alpn == curl.alpn, "\(last)")
            #expect(last.tlsVersion == curl.version && last.cipher == curl.cipher, "\(last)")
        }

        @Test("A client's handshakes, of two releases: what its servers say, and why those failed that did")
        func client() throws {
            let certificates = try TestCertificates()
            let other = try TestCertificates()
            let servers = try [
                OpenSSLServer(certificates, ["-www", "-tls1_3", "-alpn", "http/1.1", "-groups", "X25519"]),
                OpenSSLServer(certificates, ["-www", "-tls1_2", "-groups", "P-256"]),
                OpenSSLServer(certificates, ["-www", "-tls1_3", "-groups", "P-384"]),
                OpenSSLServer(certificates, ["-www", "-groups", "P-521"]),
            ]
            let programs = try ["0.13.9", "0.4.0"].map(UV.program)
            let capture = try Capture(programs.flatMap { ["--library", $0] })
            var pids: [[Int]] = []
            for uv in programs {
                var own = try servers.map { server in
                    Int(try UV.ask(uv, port: server.port, authority: certificates.authority).pid)
                }
                own.append(Int(try UV.ask(uv, port: servers[0].port, authority: other.authority).pid))
                pids.append(own)
            }
            let all = Set(pids.joined())
            let rows = try capture.finish(expecting: all.count) { all.contains($0.pid ?? 0) }
            expectSane(rows)
            for (program, own) in zip(programs, pids) {
                let told = own.map { pid in rows.filter { $0.pid == pid } }
                // uv may ask again where the connection failed.
                try #require(told.allSatisfy { !$0.isEmpty }, "\(told.map(\.count)), \(program)")
                #expect(told[...2].allSatisfy { $0.count == 1 }, "\(told.map(\.count))")
                for row in told.joined() {
                    #expect(row.isClient && row.stack == "rustls" && row.library == program, "\(row)")
                    #expect(row.sni == nil, "an address is no name: \(row)")
                }
                let (first, second, third) = (told[0][0], told[1][0], told[2][0])
                #expect(first.isCompleted && first.tlsVersion == "TLSv1.3" && first.alpn == "http/1.1", "\(first)")
                #expect(first.group == "x25519" && first.helloRetryRequest == false, "\(first)")
                #expect(
                    second.isCompleted && second.tlsVersion == "TLSv1.2" && second.group == "secp256r1", "\(second)")
                #expect(second.resumed == false && second.alpn == nil, "\(second)")
                #expect(third.isCompleted && third.group == "secp384r1", "\(third)")
                #expect(third.helloRetryRequest == true && third.keyExchange == nil, "\(third)")
                for row in [first, second] {
                    #expect(row.keyExchange ?? 0 > 0 && row.keyExchange ?? 0 < row.duration ?? 0, "\(row)")
                    #expect(row.clientCertificateRequested == false, "\(row)")
                }
                #expect((first.alpnNegotiation ?? 0) > (first.keyExchange ?? 0), "\(first)")
                // No group in common: the server's alert is all that comes.
                for row in told[3] {
                    #expect(row.outcome == "failed" && row.reason == "handshake_failure", "\(row)")
                    #expect(row.alertDirection == "received" && row.libraryReason == nil, "\(row)")
                }
                // An authority of the same name and another key.
                for row in told[4] {
                    #expect(row.outcome == "failed" && row.reason == "decrypt_error", "\(row)")
                    #expect(row.alert == 51 && row.alertDirection == "sent", "\(row)")
                    #expect(row.libraryReason == "invalid_certificate", "\(row)")
                }
            }
        }

        private struct Witness: Codable {
            var name: String
            var version: String?
            var cipher: String?
            var alpn: String?
            var error: String?
            /// CLOCK_MONOTONIC, nanoseconds.
            var begin: Int
            var end: Int
        }

        @Test(
            "Both roles in one process: every side of every handshake is one row, and takes as long as the module says")
        func bothRoles() throws {
            let certificates = try TestCertificates()
            let folder = try Self.folder("python-rtls")
            let library = folder + "/rtls/_rustls.abi3.so"
            let capture = try Capture(["--library", library])
            let python = try ChildProcess.run(
                "/usr/bin/env",
                [
                    "PYTHONPATH=\(folder)", "PYTHONDONTWRITEBYTECODE=1", "python3.11", script("rustls_pairs.py"),
                    certificates.authority, certificates.certificate, certificates.key,
                ], within: .seconds(30))
            try #require(python.status == .exited(0), "\(python.errors)")
            let said = try jsonLines(python.output, as: Witness.self)
            let count = 2 * said.count
            let rows = try capture.finish(expecting: count) { $0.pid == Int(python.pid) }
            expectSane(rows)
            #expect(rows.count == count, "\(rows.map { [$0.role, $0.outcome, $0.reason] })")
            for role in ["client", "server"] {
                let told = rows.filter { $0.role == role }.sorted { $0.time ?? "" < $1.time ?? "" }
                try #require(told.count == said.count, "\(told)")
                for (row, truth) in zip(told, said) {
                    #expect(row.stack == "rustls" && row.library == library, "\(row)")
                    #expect(row.sni == truth.name, "\(row)")
                    // The witness's times are around the client's call; both sides are inside.
                    #expect((row.duration ?? .max) <= truth.end - truth.begin, "\(row) \(truth)")
                    #expect(row.isCompleted == (truth.error == nil), "\(row) \(truth)")
                    guard truth.error == nil else {
                        #expect(row.alertDirection == (role == "client" ? "sent" : "received"), "\(row)")
                        #expect(row.reason == "bad_certificate" || row.reason == "certificate_unknown", "\(row)")
                        continue
                    }
                    #expect(row.tlsVersion == truth.version && row.alpn == truth.alpn, "\(row) \(truth)")
                    if row.tlsVersion == "TLSv1.3" { #expect(row.cipher == truth.cipher, "\(row) \(truth)") }
                }
            }
        }

        @Test("A module with two copies of rustls, one of them inlined: by its own words")
        func twoCopies()
            throws
        {
            let folder = try Self.folder("python-primp")
            let server = try OpenSSLServer(try TestCertificates(), ["-www"])
            let capture = try Capture(["--library", folder + "/primp/primp.abi3.so"])
            let client = try ChildProcess.run(
                "env",
                [
                    "PYTHONPATH=\(folder)", "PYTHONDONTWRITEBYTECODE=1", "python3.11",
                    try resource("Scripts/primp_requests.py"), "https://127.0.0.1:\(server.port)/", "3",
                ])
            try #require(client.status == .exited(0), "\(client.errors)")
            #expect(client.output == "200\n200\n200\nUnknownIssuer\n")
            // Its server never hears of the alert: the program drops the connection with what rustls has made for it.
            let rows = try capture.finish(expecting: 4) { $0.stack == "rustls" }
            #expect(rows.count == 4 && rows.allSatisfy { $0.isClient && $0.tlsVersion == "TLSv1.3" }, "\(rows)")
            #expect(rows.prefix(3).allSatisfy { $0.isCompleted && $0.group == "x25519" && $0.cipher != nil }, "\(rows)")
            #expect(rows.last?.reason == "unknown_ca" && rows.last?.alert == 48, "\(rows)")
            #expect(rows.last?.alertDirection == "sent", "\(rows)")
        }

        @Test(
            "A handshake has as many hits as were reckoned with, and what comes behind it one: the alert that closes it"
        )
        func hits() throws {
            let certificates = try TestCertificates()
            let folder = try Self.folder("python-rtls")
            let daemon = try Daemon(["--library", folder + "/rtls/_rustls.abi3.so"])
            func hits() throws -> Double {
                try daemon.metrics().sum("tlswatch_probe_hits_total", ["stack": "rustls"])
            }
            let before = try hits()
            let python = try ChildProcess.run(
                "/usr/bin/env",
                [
                    "PYTHONPATH=\(folder)", "PYTHONDONTWRITEBYTECODE=1", "python3.11", script("rustls_pairs.py"),
                    certificates.authority, certificates.certificate, certificates.key,
                ], within: .seconds(30))
            try #require(python.status == .exited(0), "\(python.errors)")
            let pairs = python.output.split(separator: "\n").count
            _ = try daemon.quietMetrics {
                $0.sum("tlswatch_handshakes_total", ["stack": "rustls"]) >= Double(2 * pairs)
            }
            let seen = try hits() - before
            // Of a server 8, of a client 12; of two in TLS 1.2 as many together.
            #expect(seen > Double(10 * pairs) && seen <= Double(20 * pairs), "\(seen)")
        }
    }
}

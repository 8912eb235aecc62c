import Foundation
import Handshakes
import TestSupport
import Testing

extension KernelTests {
    /// NSS's own tools and libcurl's NSS build, against what their peers, and they themselves, say of each handshake.
    @Suite("NSS") struct NSSTests {
        /// What `openssl s_client` says of a connection.
        private struct Spoken {
            var version: String?
            var cipher: String?
            var group: String?
            var alpn: String?
            var isReused: Bool

            init(_ text: String) {
                let line = text.firstMatch(of: /(New|Reused), (TLSv[0-9.]+), Cipher is ([A-Z0-9_-]+)/)
                version =
                    text.firstMatch(of: /Protocol *: *(TLSv[0-9.]+)/).map { String($0.output.1) }
                    ?? line.map { String($0.output.2) }
                cipher = line.map { String($0.output.3) }
                group = text.firstMatch(of: /Server Temp Key: ([^,\n]+)(, ([^,\n]+))?/).map {
                    $0.output.1 == "ECDH" ? String($0.output.3 ?? "") : String($0.output.1)
                }
                alpn = text.firstMatch(of: /ALPN protocol: (.+)/).map { String($0.output.1) }
                isReused = line?.output.1 == "Reused"
            }
        }

        /// IANA's names of what OpenSSL calls otherwise.
        private static let groups = ["X25519": "x25519", "prime256v1": "secp256r1", "secp384r1": "secp384r1"]
        private static let ciphers = [
            "ECDHE-ECDSA-AES128-GCM-SHA256": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            "ECDHE-ECDSA-AES256-GCM-SHA384": "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        ]

        private func expectWhole(_ rows: [SessionRow]) {
            for row in rows {
                let text = Comment(rawValue: "\(row)")
                #expect(row.stack == "nss" && row.library == NSSTools.library, text)
                #expect(row.libraryVersion?.hasPrefix("3.") == true, text)
                #expect(row.socketConfidence == "exact", text)
                if let cpu = row.cpu, let runqueue = row.runqueue, let unread = row.unread, let peer = row.peer {
                    #expect(cpu + runqueue + unread + peer == row.duration, text)
                } else {
                    Issue.record("a part is missing: \(row)")
                }
                #expect(row.libraryReason == nil && row.helloRetryRequest == nil && row.earlyData == nil, text)
                // That nobody has given one is known of a resumed handshake alone.
                #expect(row.clientCertificateRequested == (row.resumed == true ? false : nil), text)
                #expect(row.clientCertificateGiven == nil, text)
            }
        }

        @Test("selfserv, completed handshakes, by what its clients say") func serverCompletes() throws {
            let certificates = try TestCertificates()
            let tools = try NSSTools(certificates)
            let server = try NSSServer(tools, ["-V", "tls1.2:", "-Q", "-u"])
            let kept = try TemporaryDirectory()
            let capture = try Capture(["--library", NSSTools.library])
            let trust = ["-CAfile", certificates.authority]
            var spoken: [Spoken] = []
            for options in [
                ["-alpn", "h2,http/1.1"], ["-tls1_2", "-alpn", "http/1.1"], [], ["-groups", "X448:P-384"],
                ["-sess_out", kept.file("13")], ["-sess_in", kept.file("13")],
                ["-tls1_2", "-sess_out", kept.file("12")], ["-tls1_2", "-sess_in", kept.file("12")],
            ] {
                let client = try server.connect(trust + options)
                try #require(client.status == .exited(0), "\(client.errors)")
                spoken.append(Spoken(client.output))
            }
            let rows = try capture.finish(expecting: spoken.count) { $0.pid == server.pid }
            expectSane(rows)
            expectWhole(rows)
            try #require(rows.count == spoken.count, "\(rows)")
            for (row, said) in zip(rows, spoken) {
                let text = Comment(rawValue: "\(row) for \(said)")
                #expect(row.isServer && row.isCompleted, text)
                #expect(row.tlsVersion == said.version, text)
                #expect(row.cipher == said.cipher.map { Self.ciphers[$0] ?? $0 }, text)
                #expect(row.alpn == said.alpn, text)
                #expect((row.alpnNegotiation != nil) == (said.alpn != nil), text)
                #expect(row.resumed == said.isReused, text)
                if let group = said.group { #expect(row.group == Self.groups[group], text) }
                #expect((row.keyExchange != nil) == (said.version == "TLSv1.3"), text)
                #expect(row.sni == nil, text)
            }
            #expect(spoken.count(where: \.isReused) == 2)
            #expect(spoken.contains { $0.group == "secp384r1" })
            #expect(spoken.compactMap(\.alpn).count == 2)
        }

        @Test("Early data: refused, as OpenSSL's client says, and accepted by a server of another library")
        func earlyData() throws {
            let certificates = try TestCertificates()
            let tools = try NSSTools(certificates)
            let directory = try TemporaryDirectory()
            let request = try directory.write("GET / HTTP/1.0\r\n\r\n", to: "request")
            let server = try NSSServer(tools, ["-V", "tls1.3:", "-u", "-Z"])
            let other = try GnuTLSServer(
                certificates, ["--disable-client-cert", "--earlydata", "--maxearlydata", "16384"])
            let capture = try Capture(["--library", NSSTools.library, "--library", Machine.libgnutls])
            let session = directory.file("session")
            let first = try server.connect(["-sess_out", session])
            #expect(first.output.contains("Early data was not sent"), "\(first.output)")
            let second = try server.connect(["-sess_in", session, "-early_data", request])
            let client = try tools.connect(
                other.port, ["-V", "tls1.3:tls1.3", "-u", "-Z", "-L", "2", "-O", "-A", request])
            let pids = [server.pid, other.pid, Int(client.pid)]
            let rows = try capture.finish(expecting: 6) { pids.contains($0.pid ?? -1) }
            expectSane(rows)
            #expect(rows.count == 6 && rows.allSatisfy(\.isCompleted), "\(rows)")
            // In its first ten seconds NSS's server takes none.
            let word = second.output.firstMatch(of: /Early data was (\w+)/).map { String($0.output.1) }
            #expect(word == "rejected", "\(second.output) \(second.errors)")
            let served = rows.filter { $0.pid == server.pid }
            #expect(served.map(\.earlyData) == [nil, word] && served.map(\.resumed) == [false, true], "\(rows)")
            for pid in pids.dropFirst() {
                #expect(rows.filter { $0.pid == pid }.map(\.earlyData) == [nil, "accepted"], "\(rows)")
            }
        }

        @Test("Client certificates, asked for and given, in both roles, by what openssl says at the other end")
        func clientCertificates() throws {
            let certificates = try TestCertificates()
            let tools = try NSSTools(certificates)
            let kept = try TemporaryDirectory()
            let server = try NSSServer(tools, ["-V", "tls1.2:", "-u", "-r", "-r"])
            let other = try OpenSSLServer(
                certificates, ["-www", "-Verify", "1", "-CAfile", certificates.authority])
            let capture = try Capture(["--library", NSSTools.library])
            let own = ["-cert", certificates.certificate, "-key", certificates.key]
            var asked: [Bool] = []
            for options in [["-sess_out", kept.file("13")], ["-sess_in", kept.file("13")], ["-tls1_2"]] {
                let client = try server.connect(own + options)
                try #require(client.status == .exited(0), "\(client.errors)")
                asked.append(client.output.contains("Requested Signature Algorithms"))
            }
            #expect(asked == [true, false, true])
            for options in [[], ["-V", "tls1.2:tls1.2"]] {
                let client = try tools.connect(other.port, ["-n", "leaf"] + options)
                #expect(client.output.contains("Client certificate\nCertificate:"), "\(client.output) \(client.errors)")
            }
            let rows = try capture.finish(expecting: 5) { $0.pid == server.pid || $0.comm == "tstclnt" }
            expectSane(rows)
            try #require(rows.count == 5 && rows.allSatisfy(\.isCompleted), "\(rows)")
            #expect(rows.prefix(3).map(\.clientCertificateRequested) == [true, false, true], "\(rows)")
            #expect(rows.prefix(3).map(\.clientCertificateGiven) == [true, nil, true], "\(rows)")
            #expect(
                rows.suffix(2).allSatisfy {
                    $0.isClient && $0.clientCertificateRequested == true && $0.clientCertificateGiven == true
                }, "\(rows)")
        }

        @Test("selfserv, failed handshakes, by what its clients say") func serverFails() throws {
            let certificates = try TestCertificates()
            let tools = try NSSTools(certificates)
            let server = try NSSServer(tools, ["-V", "tls1.2:", "-Q"])
            let capture = try Capture(["--library", NSSTools.library])
            var alerts: [Int?] = []
            for options in [
                ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], ["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"],
                ["-alpn", "nonsense"],
            ] {
                let client = try server.connect(options)
                try #require(client.status != .exited(0))
                alerts.append(client.errors.firstMatch(of: /alert number (\d+)/).flatMap { Int($0.output.1) })
            }
            // It sends an alert: 48, unknown_ca.
            let refusing = try server.connect(["-tls1_2", "-verify_return_error"])
            try #require(refusing.errors.contains("certificate verify failed"), "\(refusing.errors)")
            let script = try resource("Scripts/odd_client.py")
            for how in ["close", "half"] {
                let odd = try ChildProcess.run("python3", [script, "\(server.port)", how])
                try #require(odd.output.contains("done"), "\(odd.errors)")
            }
            let rows = try capture.finish(expecting: 6) { $0.pid == server.pid }
            #expect(rows.count == 6, "\(rows)")
            #expect(rows.allSatisfy { $0.isServer && $0.outcome == "failed" && $0.stack == "nss" }, "\(rows)")
            #expect(alerts == [70, 40, 120])
            #expect(rows.map(\.alert) == [70, 40, 120, 48, nil, nil], "\(rows)")
            #expect(
                rows.map(\.alertDirection) == ["sent", "sent", "sent", "received", nil, nil], "\(rows)")
            #expect(
                rows.map(\.reason) == [
                    "protocol_version", "handshake_failure", "no_application_protocol", "unknown_ca", "peer_closed",
                    "peer_closed",
                ], "\(rows)")
            #expect(
                rows.allSatisfy { $0.cipher == nil && $0.group == nil && $0.alpn == nil && $0.resumed == nil },
                "\(rows)")
            // A socket that a reset has torn down has no ports any more; the others are the clients' own.
            #expect(rows.prefix(4).allSatisfy { $0.socketConfidence == "exact" }, "\(rows)")
        }

        @Test("tstclnt and libcurl as clients, by what they and their server say") func clients() throws {
            let certificates = try TestCertificates()
            let tools = try NSSTools(certificates)
            let server = try OpenSSLServer(certificates, ["-www", "-alpn", "http/1.1,h2"])
            let strict = try OpenSSLServer(certificates, ["-www", "-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"])
            let capture = try Capture(["--library", NSSTools.library])
            // Its certificate's verification is asynchronous, unless -O.
            for options in [[], ["-V", "tls1.2:tls1.2"], ["-O"], ["-O", "-V", "tls1.2:tls1.2"]] {
                let client = try tools.connect(server.port, options)
                let said = client.output + client.errors
                let number = try #require(said.firstMatch(of: /SSL version 3\.(\d)/), "\(said)").output.1
                #expect(number == (options.contains("-V") ? "3" : "4"))
            }
            for options in [[], ["-O"]] {
                let client = try tools.connect(server.port, options, trusting: false)
                try #require((client.output + client.errors).contains("SEC_ERROR_UNKNOWN_ISSUER"), "\(client.errors)")
            }
            let refused = try tools.connect(strict.port, ["-V", "tls1.2:tls1.2"])
            try #require((refused.output + refused.errors).contains("SSL_ERROR"), "\(refused.errors)")
            let curl = try ChildProcess.run(
                "python3", [try resource("Scripts/curl_nss.py"), "\(server.port)", certificates.authority])
            try #require(curl.output == "0\n0\n", "\(curl.output)\(curl.errors)")

            let rows = try capture.finish(expecting: 9) { ["tstclnt", "python3"].contains($0.comm) }
            expectSane(rows)
            expectWhole(rows)
            try #require(rows.count == 9, "\(rows)")
            #expect(rows.allSatisfy { $0.isClient && $0.sni == "a.example" }, "\(rows)")
            let versions = ["TLSv1.3", "TLSv1.2", "TLSv1.3", "TLSv1.2"]
            for (row, version) in zip(rows, versions + Array(repeating: "", count: 3) + ["TLSv1.3", "TLSv1.3"])
            where version != "" {
                let text = Comment(rawValue: "\(row)")
                #expect(row.isCompleted, text)
                #expect(row.tlsVersion == version, text)
                #expect(row.group == "x25519", text)
                #expect((row.keyExchange != nil) == (version == "TLSv1.3"), text)
                #expect(row.remote == server.address, text)
                #expect(row.tcpConnect != nil, text)
            }
            let failed = Array(rows[4..<7])
            #expect(failed.allSatisfy { $0.outcome == "failed" }, "\(failed)")
            #expect(failed.map(\.reason) == ["unknown_ca", "unknown_ca", "handshake_failure"], "\(failed)")
            #expect(failed.map(\.alertDirection) == ["sent", "sent", "received"], "\(failed)")
            // libcurl offers protocols, and tells its server's.
            #expect(rows.suffix(2).allSatisfy { $0.alpn == "http/1.1" && $0.alpnNegotiation != nil }, "\(rows)")
            #expect(rows.suffix(2).map(\.resumed) == [false, true], "\(rows)")
        }

        @Test("A handshake takes ten hits at most, the books balance, and nothing after it is counted")
        func hits() throws {
            let certificates = try TestCertificates()
            let tools = try NSSTools(certificates)
            let server = try NSSServer(tools, ["-V", "tls1.2:", "-u"])
            let pairs = 20
            for (phases, versions) in [("off", "tls1.3:tls1.3"), ("on", "tls1.3:tls1.3"), ("on", "tls1.2:tls1.2")] {
                let daemon = try Daemon(["--library", NSSTools.library, "--phases", phases])
                // It reads and writes on each connection, and says goodbye.
                let load = try ChildProcess.run(
                    "strsclnt",
                    ["-d", tools.database, "-p", "\(server.port)", "-c", "\(pairs)", "-t", "2", "-q", "-V", versions]
                        + ["127.0.0.1"])
                let metrics = try daemon.quietMetrics { Books($0).ended >= Double(2 * pairs) && Books($0).balance }
                expectConservation(metrics)
                for role in ["client", "server"] {
                    let completed = ["stack": "nss", "role": role, "outcome": "completed"]
                    #expect(
                        metrics.sum("tlswatch_handshakes_total", completed) == Double(pairs),
                        "\(load.output)\(load.errors)")
                }
                #expect(Books(metrics).ended == Double(2 * pairs))
                let hits = metrics.sum("tlswatch_probe_hits_total", ["library": NSSTools.library]) / Double(2 * pairs)
                print("NSS, \(versions), --phases \(phases): \(hits) hits a handshake")
                #expect(hits <= (phases == "off" ? 8 : 10))
            }
        }
    }
}

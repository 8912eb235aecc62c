import Foundation
import TestSupport
import Testing

extension KernelTests {
    /// A program on Debian's wolfSSL, and lighttpd with its module, held against what these and their peers say.
    @Suite("wolfSSL") struct WolfSSLTests {
        private func otherEnd(of row: SessionRow, _ all: [SessionRow]) -> SessionRow? {
            all.first { $0.isServer && $0.local == row.remote && $0.remote == row.local }
        }

        private func told(_ row: SessionRow) -> [String] {
            [
                row.reason ?? row.outcome ?? "-", row.alertText, row.libraryReason ?? "-",
            ]
        }

        /// What a program may take outside of what is measured: the beginning and the end of its own calls, and the probes.
        private static let slack = 20_000_000

        /// A completed handshake against the words of who made it.
        private func expect(_ row: SessionRow, is truth: WolfSSLWords) {
            #expect(row.stack == "wolfssl" && row.isCompleted && truth.isCompleted, "\(row) \(truth)")
            #expect(row.tlsVersion == truth.version, "\(row) \(truth)")
            let suite = (truth.cipher ?? "").split(separator: "-").suffix(3).joined(separator: "_")
            #expect(row.cipher?.replacing("AES_", with: "AES").hasSuffix(suite) == true, "\(row) \(truth)")
            #expect(row.resumed == truth.isResumed, "\(row) \(truth)")
            #expect(row.group == truth.curve?.lowercased(), "\(row) \(truth)")
            #expect(row.alpn == truth.alpn, "\(row) \(truth)")
            #expect(row.socketConfidence == "exact", "\(row)")
            let duration = row.duration ?? 0
            #expect(duration <= truth.duration && truth.duration - duration < Self.slack, "\(row) \(truth)")
            #expect((row.keyExchange ?? 0 > 0) == (truth.version == "TLSv1.3"), "\(row)")
            #expect((row.busy ?? -1) >= 0 && (row.peer ?? -1) >= 0, "its parts are known: \(row)")
        }

        @Test("Both ends are what they say themselves, with calls that wait, block, or only read and write")
        func facts() throws {
            let certificates = try TestCertificates()
            let capture = try Capture(["--library", Machine.libwolfssl])
            // By what the server is told, and what its client is.
            let cases: [(server: [String], client: [String])] = [
                (["alpn=h2"], ["name=a.example", "alpn=h2"]),
                (["alpn=h2,http/1.1", "12"], ["name=a.example", "alpn=http/1.1", "12"]),
                (["nonblocking", "alpn=h2"], ["nonblocking", "name=a.example", "alpn=h2", "again", "update"]),
                // A server of both versions goes over into the older one's function in the middle of a call.
                (["nonblocking", "reads"], ["12", "reads", "name=a.example"]),
                (["again"], ["nonblocking", "12"]), (["nonblocking"], ["resume"]), (["12"], ["resume", "12"]),
                (["verify", "12"], ["12"]), ([], ["group=24", "13"]),
            ]
            var servers: [WolfSSLServer] = []
            var clients: [Finished] = []
            for (server, client) in cases {
                let count = client.contains("resume") ? 2 : 1
                servers.append(try WolfSSLServer(certificates, connections: count, server))
                clients.append(try #require(servers.last).connect(client))
            }
            // The one that wants a certificate gets none.
            let words = try servers.map { try $0.words() }
            let pids = Set(servers.map(\.pid) + clients.map { Int($0.pid) })
            let count = words.reduce(0) { $0 + $1.count }
            let all = try capture.finish(expecting: 2 * count) { pids.contains($0.pid ?? -1) }
            expectSane(all)
            #expect(count == 11 && all.count == 2 * count, "\(all)")
            for ((options, server), (client, said)) in zip(zip(cases, servers), zip(clients, words)) {
                let own = all.of(client.pid)
                let others = all.of(server.pid)
                let truths = WolfSSLWords.of(client.output)
                try #require(own.count == said.count && others.count == said.count && truths.count == said.count)
                if options.server.contains("verify") {
                    // The library sends no alert below TLS 1.3; its closing one is the application's.
                    #expect(others.map(told) == [["no_peer_cert", "none", "-"]], "\(others)")
                    #expect(own.map(told) == [["close_notify", "0 received", "-"]], "\(own)")
                    continue
                }
                for number in said.indices {
                    let (row, peer) = (own[number], others[number])
                    expect(row, is: truths[number])
                    expect(peer, is: said[number])
                    #expect(row.isClient && peer.isServer && otherEnd(of: row, all) == peer, "\(row) \(peer)")
                    let name = options.client.contains("name=a.example") ? "a.example" : nil
                    #expect(row.sni == name && peer.sni == said[number].sni, "\(row) \(peer) \(said[number])")
                    // Each call that the program made, unless it was made in another's place.
                    #expect(row.calls ?? 0 <= truths[number].calls && row.calls ?? 0 > 0, "\(row) \(truths[number])")
                    #expect(peer.calls ?? 0 <= said[number].calls && peer.calls ?? 0 > 0, "\(peer) \(said[number])")
                }
            }
        }

        @Test("OpenSSL's ends agree with wolfSSL's, HelloRetryRequest among them")
        func openssl() throws {
            let certificates = try TestCertificates()
            let capture = try Capture(["--library", Machine.libwolfssl])
            let server = try WolfSSLServer(certificates, connections: 3, ["nonblocking", "alpn=h2"])
            let options = ["-connect", "127.0.0.1:\(server.port)", "-servername", "b.example", "-alpn", "h2"]
            let clients = try [["-tls1_3"], ["-tls1_2"], ["-tls1_3", "-groups", "X448:P-384"]].map {
                try ChildProcess.run("openssl", ["s_client"] + options + $0)
            }
            let said = try server.words()
            let other = try OpenSSLServer(certificates, ["-www", "-groups", "P-384", "-alpn", "h2"])
            let own = try ["13", "12"].map {
                try WolfSSLProgram.connect(
                    port: other.port, authority: certificates.authority,
                    [$0, "name=a.example", "alpn=h2", "nonblocking"])
            }
            let pids = Set([server.pid] + own.map { Int($0.pid) })
            let all = try capture.finish(expecting: 5) { pids.contains($0.pid ?? -1) }
            expectSane(all)
            #expect(all.count == 5 && said.count == 3, "\(all)")
            for ((row, client), truth) in zip(zip(all.of(server.pid), clients), said) {
                expect(row, is: truth)
                // "New, TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384"
                let agreed = try #require(client.output.firstMatch(of: /New, (\S+), Cipher is (\S+)/)).output
                #expect(row.tlsVersion == String(agreed.1), "\(row)")
                if agreed.1 == "TLSv1.3" { #expect(row.cipher == String(agreed.2), "\(row)") }
                #expect(client.output.contains("ALPN protocol: h2") && row.alpn == "h2", "\(row)")
                #expect(row.sni == "b.example", "\(row)")
            }
            for client in own {
                let row = try #require(all.of(client.pid).first, "\(client)")
                expect(row, is: try #require(WolfSSLWords.of(client.output).first))
                #expect(row.group == "secp384r1" && row.sni == "a.example" && row.alpn == "h2", "\(row)")
            }
        }

        @Test("Failures: alerts of either side, the library's word for them, and the transport's end")
        func failures() throws {
            let certificates = try TestCertificates()
            let others = try TestCertificates()
            let capture = try Capture(["--library", Machine.libwolfssl])
            let cases: [(server: [String], client: [String], authority: String, told: [[String]])] = [
                (
                    [], ["13"], others.authority,
                    [["unknown_ca", "48 sent", "asn_no_signer"], ["unknown_ca", "48 received", "-"]]
                ),
                (
                    ["12"], ["12", "nonblocking"], others.authority,
                    [["unknown_ca", "48 sent", "asn_no_signer"], ["unknown_ca", "48 received", "-"]]
                ),
                (
                    ["alpn=zz", "insist"], ["alpn=h2", "insist"], certificates.authority,
                    [
                        ["no_application_protocol", "120 received", "-"],
                        ["no_application_protocol", "120 sent", "unknown_alpn_protocol_name"],
                    ]
                ),
                (
                    ["12", "cipher=ECDHE-ECDSA-AES128-GCM-SHA256"], ["12", "cipher=ECDHE-ECDSA-AES256-GCM-SHA384"],
                    certificates.authority,
                    [
                        ["handshake_failure", "40 received", "-"],
                        ["handshake_failure", "40 sent", "match_suite_error"],
                    ]
                ),
                // TLS 1.3's client is done before its certificate is missed.
                (
                    ["verify", "nonblocking"], ["13"], certificates.authority,
                    [["completed", "none", "-"], ["certificate_required", "116 sent", "no_peer_cert"]]
                ),
            ]
            var servers: [WolfSSLServer] = []
            var clients: [Finished] = []
            for (server, client, authority, _) in cases {
                servers.append(try WolfSSLServer(certificates, connections: 1, server))
                let port = try #require(servers.last).port
                clients.append(try WolfSSLProgram.connect(port: port, authority: authority, client))
            }
            let version = try WolfSSLServer(certificates, connections: 1, ["13"])
            let old = try ChildProcess.run("openssl", ["s_client", "-connect", "127.0.0.1:\(version.port)", "-tls1_2"])
            let odd = try WolfSSLServer(certificates, connections: 3)
            let peer = try ChildProcess.run("python3", [script("odd_peer.py"), "\(odd.port)"])
            let words = try servers.map { try $0.words() }
            let saidOfVersion = try version.words()
            let saidOfOdd = try odd.words()
            let pids = Set(([version, odd] + servers).map(\.pid) + clients.map { Int($0.pid) })
            let all = try capture.finish(expecting: 14) { pids.contains($0.pid ?? -1) }
            expectSane(all)
            #expect(all.count == 14 && all.allSatisfy { $0.stack == "wolfssl" }, "\(all)")
            for (number, (_, _, _, expected)) in cases.enumerated() {
                let ends = all.of(clients[number].pid) + all.of(servers[number].pid)
                #expect(ends.map(told) == expected, "\(ends)")
                #expect(ends.allSatisfy { $0.socketConfidence == "exact" }, "\(ends)")
                // Their own words: the alerts that the library keeps.
                for (row, said) in zip(ends, WolfSSLWords.of(clients[number].output) + words[number]) {
                    #expect(row.alertDirection != "sent" || row.alert == said.alertSent, "\(row) \(said)")
                    #expect(row.alertDirection != "received" || row.alert == said.alertReceived, "\(row) \(said)")
                    #expect(row.isCompleted == said.isCompleted, "\(row) \(said)")
                }
            }
            // Whoever speaks an older version only.
            let alert = try #require(saidOfVersion.first?.alertSent)
            #expect(old.errors.contains("SSL alert number \(alert)"), "\(old.errors)")
            #expect(all.of(version.pid).map(\.alert) == [alert], "\(all.of(version.pid))")
            // What the script did: another message, half a hello, a reset.
            let ends = all.of(odd.pid)
            #expect(ends.count == 3 && ends.allSatisfy { $0.outcome == "failed" }, "\(ends)")
            #expect(ends.first?.alert == saidOfOdd.first?.alertSent, "\(ends) \(saidOfOdd)")
            // The transport's end is the cause, whatever the library has said to nobody.
            #expect(ends.dropFirst().allSatisfy { $0.alert == nil }, "\(ends) \(peer.output)")
            #expect(ends.dropFirst().map(\.reason) == ["peer_closed", "connection_reset"], "\(ends)")
        }

        @Test("lighttpd's module, which only reads and writes, agrees with curl, openssl and a client that goes away")
        func lighttpd() throws {
            let certificates = try TestCertificates()
            let capture = try Capture(["--library", Machine.libwolfssl])
            let server = try Lighttpd(certificates, module: "mod_wolfssl")
            let curls = try [["--tls-max", "1.2"], ["--tlsv1.3"]].map {
                try Curl.get(port: server.port, authority: certificates.authority, $0)
            }
            #expect(curls.allSatisfy { $0.status == .exited(0) }, "\(curls)")
            let resumed = try ChildProcess.run(
                "openssl", ["s_client", "-connect", "127.0.0.1:\(server.port)", "-tls1_2", "-reconnect"])
            let refusing = try ChildProcess.run(
                "openssl",
                ["s_client", "-connect", "127.0.0.1:\(server.port)", "-tls1_2", "-verify_return_error"])
            #expect(refusing.errors.contains("verify error"), "\(refusing.errors)")
            // "New" once, and "Reused" for each further connection that was.
            let again = resumed.output.matches(of: /\n(New|Reused), TLSv1.2/).map { String($0.1) }
            let all = try capture.finish(expecting: 3 + again.count) { $0.pid == server.pid }
            expectSane(all)
            let own = all.of(server.pid)
            #expect(own.count == 3 + again.count && own.allSatisfy { $0.isServer && $0.stack == "wolfssl" }, "\(all)")
            for (row, curl) in zip(own, curls) {
                #expect(row.isCompleted && row.remote == curl.local && row.socketConfidence == "exact", "\(row)")
                #expect(row.tlsVersion == curl.version && row.alpn == curl.alpn && row.sni == "a.example", "\(row)")
                if curl.version == "TLSv1.3" { #expect(row.cipher == curl.cipher, "\(row)") }
                #expect((row.busy ?? -1) >= 0 && (row.peer ?? -1) >= 0, "\(row)")
            }
            #expect(own.dropFirst(2).dropLast().map(\.resumed) == again.map { $0 == "Reused" }, "\(own)")
            #expect(own.last.map(told) == ["unknown_ca", "48 received", "-"], "\(own)")
        }

        @Test("A handshake costs nine hits at most, in either role, and all hits are accounted for")
        func hits() throws {
            let certificates = try TestCertificates()
            let pairs = 10
            for (phases, versions) in [("off", "13"), ("on", "13"), ("on", "12")] {
                let daemon = try Daemon(["--library", Machine.libwolfssl, "--phases", phases])
                // Non-blocking ends come back for each flight of the other's.
                let server = try WolfSSLServer(certificates, connections: pairs, ["nonblocking"])
                for _ in 0..<pairs { _ = try server.connect(["nonblocking", versions]) }
                _ = try server.words()
                let metrics = try daemon.quietMetrics { Books($0).ended >= Double(2 * pairs) && Books($0).balance }
                expectConservation(metrics)
                let completed = ["stack": "wolfssl", "outcome": "completed"]
                #expect(metrics.sum("tlswatch_handshakes_total", completed) == Double(2 * pairs))
                let hits =
                    metrics.sum("tlswatch_probe_hits_total", ["stack": "wolfssl"]) / Double(2 * pairs)
                print("wolfSSL, TLS 1.\(versions.suffix(1)), --phases \(phases): \(hits) hits a handshake")
                #expect(hits > 0 && hits <= 9)
            }
        }
    }
}

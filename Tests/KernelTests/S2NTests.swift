import Foundation
import TestSupport
import Testing

extension KernelTests {
    /// s2n-tls in both roles, by its own interface and by AWS's runtime, against what it says itself and what its peers say.
    @Suite("s2n-tls") struct S2NTests {
        private func expectFacts(_ row: SessionRow, _ said: S2NWords) {
            #expect(row.stack == "s2n" && row.outcome == said.outcome, "\(row) \(said)")
            #expect(row.tlsVersion == said.tlsVersion && row.resumed == said.resumed, "\(row) \(said)")
            #expect(row.alpn == said.alpn && row.sni == said.sni, "\(row) \(said)")
            #expect(row.group == said.group, "\(row) \(said)")
            // "ECDHE-ECDSA-AES128-GCM-SHA256" below TLS 1.3.
            if row.tlsVersion == "TLSv1.3" { #expect(row.cipher == said.cipher, "\(row) \(said)") }
            #expect(row.calls == said.calls, "\(row) \(said)")
        }

        @Test("Both ends are what s2n says of them, whether it has a socket or the bytes are carried to it")
        func facts() throws {
            for module in [try S2NModule.newest(), try S2NModule.older()] {
                let certificates = try TestCertificates(names: ",DNS:c.example")
                let capture = try Capture(["--library", module.library])
                let server = try S2NServer(module, certificates, ["alpn=h2", "resume", "policy=default_pq"])
                let carried = try S2NServer(module, certificates, ["alpn=h2", "memory", "policy=default_pq"])
                let wary = try S2NServer(module, certificates, ["authority=\(certificates.authority)"])
                let own = ["certificate=\(certificates.certificate)", "key=\(certificates.key)"]
                let cases: [(server: S2NServer, options: [String])] = [
                    (server, ["alpn=zz,h2", "resume", "count=3"]), (server, ["policy=default_pq", "memory"]),
                    (server, ["policy=20190214", "alpn=h2"]), (carried, ["alpn=h2", "name=c.example"]), (wary, own),
                ]
                let clients = try cases.map {
                    try module.connect($0.server.port, authority: certificates.authority, $0.options)
                }
                let said = try [server.words(5), carried.words(1), wary.words(1)].joined().map { $0 }
                try #require(said.allSatisfy { $0.outcome == "completed" }, "\(said)")
                let all = try capture.finish(expecting: 14) { $0.library == module.library }
                expectSane(all)
                try #require(all.count == 14, "\(all)")
                #expect(clients.map(\.words.count) == [3, 1, 1, 1, 1] && said.contains { $0.resumed == true })
                for (client, (_, options)) in zip(clients, cases) {
                    let own = all.of(client.pid)
                    try #require(own.count == client.words.count, "\(own)")
                    for (row, words) in zip(own, client.words) {
                        expectFacts(row, words)
                        #expect(
                            row.isClient && row.socketConfidence == (options.contains("memory") ? "unknown" : "exact"))
                        #expect(row.clientCertificateRequested == (client.pid == clients.last?.pid))
                    }
                }
                let served = all.of(server.pid) + all.of(carried.pid) + all.of(wary.pid)
                for (row, words) in zip(served, said) {
                    expectFacts(row, words)
                    #expect(row.isServer && row.socketConfidence == (row.pid == carried.pid ? "unknown" : "exact"))
                    #expect(row.clientCertificateGiven == (row.pid == wary.pid ? true : nil), "\(row)")
                    #expect((row.duration ?? 0) > 0 && (row.busy ?? -1) >= 0, "\(row)")
                }
                // The two ends have the same addresses, the other way round.
                let pairs = all.filter { $0.socketConfidence == "exact" }
                #expect(
                    pairs.count { row in pairs.contains { $0.local == row.remote && $0.remote == row.local } } == 10)
            }
        }

        @Test("OpenSSL's client and s2n's server agree; a group that is asked for again is told")
        func opensslClient() throws {
            let module = try S2NModule.newest()
            let certificates = try TestCertificates()
            let capture = try Capture(["--library", module.library])
            let server = try S2NServer(module, certificates, ["alpn=h2"])
            let clients = try [["-tls1_3"], ["-tls1_2"], ["-groups", "X448:P-384"]].map {
                try server.ask(["-alpn", "http/1.1,h2"] + $0)
            }
            let said = try server.words(3)
            let all = try capture.finish(expecting: 3) { $0.pid == server.pid }
            expectSane(all)
            try #require(all.count == 3, "\(all)")
            for (row, (client, words)) in zip(all.of(server.pid), zip(clients, said)) {
                expectFacts(row, words)
                let truth = try #require(client.output.firstMatch(of: /New, (\S+), Cipher is (\S+)/)).output
                #expect(row.tlsVersion == String(truth.1) && client.output.contains("ALPN protocol: h2"), "\(row)")
                #expect(row.alpn == "h2" && row.sni == "b.example", "\(row)")
            }
            #expect(all.of(server.pid).map(\.helloRetryRequest) == [false, nil, true])
        }

        /// A failed client as s2n tells it, and what is to be told of it.
        private func expectFailure(_ row: SessionRow, _ said: S2NWords, tellsErrors: Bool) {
            #expect(row.outcome == "failed" && said.outcome == "failed" && row.stack == "s2n", "\(row) \(said)")
            #expect(row.calls == said.calls && row.cipher == nil, "\(row) \(said)")
            switch said.type {
            case "alert": #expect(row.alert == said.alert && row.alertDirection == "received", "\(row) \(said)")
            case "closed": #expect(row.reason == "peer_closed" && row.alert == nil, "\(row) \(said)")
            case "io":
                // Behind a failed write it looks for an alert, and may find the end.
                let words = row.isClient ? ["connection_reset"] : ["connection_reset", "peer_closed"]
                #expect(words.contains(row.reason ?? "-") && row.alert == nil, "\(row) \(said)")
            default:
                #expect(row.reason == (tellsErrors ? "protocol_error" : "unknown"), "\(row) \(said)")
                #expect(row.libraryReason == (tellsErrors ? said.reason : nil), "\(row) \(said)")
            }
        }

        @Test("A client's failures against OpenSSL's server, by the alert, by s2n's own word, or by the transport")
        func clientFailures() throws {
            for (module, tellsErrors) in [(try S2NModule.newest(), true), (try S2NModule.older(), false)] {
                let certificates = try TestCertificates()
                let strangers = try TestCertificates()
                let capture = try Capture(["--library", module.library])
                let server = try OpenSSLServer(certificates, ["-www", "-alpn", "h2"])
                let old = try OpenSSLServer(certificates, ["-www", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"])
                let cipher = try OpenSSLServer(
                    certificates,
                    ["-www", "-tls1_2", "-cipher", "ECDHE-ECDSA-ARIA256-GCM-SHA384:ECDHE-ECDSA-CAMELLIA256-SHA384"])
                let wary = try OpenSSLServer(certificates, ["-www", "-Verify", "1", "-tls1_2"])
                let cases: [(port: Int, authority: String, options: [String])] = [
                    (server.port, strangers.authority, []), (old.port, certificates.authority, []),
                    (cipher.port, certificates.authority, []), (server.port, certificates.authority, ["alpn=zz"]),
                    (wary.port, certificates.authority, ["policy=20190214"]),
                    (server.port, certificates.authority, ["name=other.example"]),
                ]
                let clients = try cases.map { try module.connect($0.port, authority: $0.authority, $0.options) }
                let odd = try ChildProcess("python3", ["-c", Self.oddServer])
                let port = try odd.announcedPort()
                let left = try ["closes", "resets"].map { _ in
                    try module.connect(port, authority: certificates.authority)
                }
                odd.stop(SIGTERM)
                let all = try capture.finish(expecting: 8) { $0.library == module.library }
                expectSane(all)
                #expect(all.count == 8 && all.allSatisfy { $0.isClient && $0.socketConfidence == "exact" }, "\(all)")
                for client in clients + left {
                    let row = try #require(all.of(client.pid).first, "\(all)")
                    expectFailure(row, client.words[0], tellsErrors: tellsErrors)
                    #expect(row.sni != nil)
                }
                // What the servers have sent, by RFC 8446.
                #expect(clients.map { $0.words[0].alert }.prefix(4) == [nil, 70, 40, 120], "\(clients)")
                #expect(left.map { $0.words[0].type } == ["closed", "io"])
            }
        }

        /// It reads a hello and goes: with a FIN the first time, with a reset the second.
        private static let oddServer = """
            import socket, struct
            with socket.create_server(("127.0.0.1", 0)) as listener:
                print(listener.getsockname()[1], flush=True)
                for linger in (None, struct.pack("ii", 1, 0)):
                    peer = listener.accept()[0]
                    peer.recv(65536)
                    if linger:
                        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    peer.close()
                listener.accept()
            """

        @Test("A server's failures: what it refuses, what refuses it, and peers that go")
        func serverFailures() throws {
            for (module, tellsErrors) in [(try S2NModule.newest(), true), (try S2NModule.older(), false)] {
                let certificates = try TestCertificates()
                let capture = try Capture(["--library", module.library])
                let server = try S2NServer(module, certificates, ["authority=\(certificates.authority)", "alpn=h2"])
                let clients = try [
                    ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
                    ["-tls1_2", "-cipher", "ECDHE-ECDSA-ARIA256-GCM-SHA384"],
                    ["-verify_return_error"], ["-tls1_2", "-verify_return_error"], ["-tls1_2"], ["-tls1_3"],
                ].map { try server.ask($0) }
                let early = try ["close", "reset"].map {
                    try module.connect(server.port, authority: certificates.authority, ["memory", "early=\($0)"])
                }
                let said = try server.words(8)
                let all = try capture.finish(expecting: 10) { $0.library == module.library }
                expectSane(all)
                let served = all.of(server.pid)
                try #require(served.count == 8 && said.count == 8, "\(all)")
                for (row, words) in zip(served, said) {
                    expectFailure(row, words, tellsErrors: tellsErrors)
                    #expect(row.isServer && row.socketConfidence == "exact")
                }
                #expect(said.map(\.alert) == [nil, nil, 48, 48, nil, nil, nil, nil], "\(said)")
                #expect(clients[2].errors.contains("verify error") && clients[3].errors.contains("verify error"))
                // They went while they waited.
                for client in early {
                    #expect(all.of(client.pid).map(\.outcome) == ["abandoned"], "\(all)")
                }
            }
        }

        @Test("AWS's runtime carries the bytes itself: its sockets are told by what it sends")
        func runtime() throws {
            let module = try S2NModule.newest()
            let certificates = try TestCertificates()
            let strangers = try TestCertificates()
            let capture = try Capture(["--library", module.library, "--library", Machine.libssl])
            let server = try OpenSSLServer(certificates, ["-www", "-alpn", "http/1.1"])
            let old = try OpenSSLServer(certificates, ["-www", "-tls1_2"])
            let made = try module.request(server.port, authority: certificates.authority, ["count=3"])
            let older = try module.request(old.port, authority: certificates.authority, ["old"])
            let refusing = try module.request(server.port, authority: strangers.authority)
            #expect(made.lines == ["ok Http1_1", "ok Http1_1", "ok Http1_1"])
            #expect(older.lines.count == 1 && refusing.lines == ["waits"])
            let all = try capture.finish(expecting: 10) { row in
                [made.pid, older.pid, refusing.pid, server.pid, old.pid].contains(row.pid ?? -1)
            }
            expectSane(all)
            let own = all.of(made.pid) + all.of(older.pid)
            try #require(own.count == 4, "\(all)")
            for row in own {
                #expect(row.isCompleted && row.isClient && row.stack == "s2n" && row.sni == "a.example", "\(row)")
                #expect(row.socketConfidence == "exact", "\(row)")
                // OpenSSL's end says the same.
                let peer = try #require(all.first { $0.isServer && $0.local == row.remote && $0.remote == row.local })
                #expect(peer.stack == "openssl" && peer.tlsVersion == row.tlsVersion && peer.cipher == row.cipher)
                #expect(peer.group == row.group && peer.alpn == row.alpn && peer.sni == row.sni, "\(row) \(peer)")
            }
            let failed = try #require(all.of(refusing.pid).first, "\(all)")
            #expect(failed.outcome == "failed" && failed.libraryReason == "cert_untrusted", "\(failed)")
        }

        @Test("Two hits a call, and none for what comes after the handshake")
        func hits() throws {
            let module = try S2NModule.newest()
            let certificates = try TestCertificates()
            let daemon = try Daemon(["--library", module.library])
            let server = try S2NServer(module, certificates, ["resume"])
            let client = try module.connect(server.port, authority: certificates.authority, ["count=5"])
            let calls = try (client.words + server.words(5)).reduce(0) { $0 + $1.calls }
            let metrics = try daemon.quietMetrics { $0.sum("tlswatch_handshakes_total", ["stack": "s2n"]) >= 10 }
            #expect(metrics.sum("tlswatch_handshakes_total", ["stack": "s2n", "outcome": "completed"]) == 10)
            #expect(metrics.sum("tlswatch_probe_hits_total", ["stack": "s2n"]) == Double(2 * calls))
        }
    }
}

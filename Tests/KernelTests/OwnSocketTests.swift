import Foundation
import TestSupport
import Testing

extension KernelTests {
    /// A session's socket, times and records are its own: what callbacks and impatient programs do beside it is not.
    @Suite("A session's own socket and times") struct OwnSocketTests {
        /// Each session beside what the program knows of it; `events` are those that are handshakes of their own.
        private func observe(
            _ lines: [[String]], options: [String] = [], before: [String] = [], events: Set<String> = []
        ) throws -> [(row: SessionRow, witness: Witness)] {
            let (runs, strangers) = try Handshaker.observe(.distribution, lines, options: options, before: before)
            #expect(strangers.isEmpty, "\(strangers)")
            return try runs.flatMap { run in
                try #require(run.status == 0, "\(run.arguments)")
                expectSane(run.rows)
                return try ["client", "server"].flatMap { role in
                    let known = run.witnesses.filter { witness in
                        witness.role == role && witness.event.map(events.contains) ?? true
                    }
                    .sorted { $0.start < $1.start }
                    let told = run.rows.filter { $0.role == role }.inOrder
                    try #require(told.count == known.count, "\(told) for \(known)")
                    return Array(zip(told, known)).map { (row: $0.0, witness: $0.1) }
                }
            }
        }

        private static let slack = 3_000_000

        @Test(
            "I/O of a callback, TCP to its end of file and UDP, is in no address, time or outcome",
            arguments: ["1.2", "1.3"])
        func callbackIO(_ version: String) throws {
            let held = 40
            let scenarios = ["callback-asks", "callback-asks-first"]
            let pairs = try observe(
                scenarios.map { ["--scenario", $0, "--hold-ms", "\(held)", "--tls", version, "--count", "3"] })
            try #require(pairs.count == 12)
            for (row, witness) in pairs {
                let text = Comment(rawValue: "\(row) against \(witness)")
                #expect(row.isCompleted, text)
                #expect(row.socketConfidence == "exact", text)
                #expect(row.local == witness.local, text)
                #expect(row.remote == witness.remote, text)
                let connect = try #require(row.tcpConnect, text)
                if row.isClient, let begin = witness.connectBegin, let end = witness.connectEnd {
                    #expect(connect <= end - begin, text)
                } else {
                    // Of loopback, whatever the machine does besides; what a callback did took as long as it was held.
                    #expect(connect < held * 1_000_000, text)
                }
                // Not the callback's own first bytes, which come before the ServerHello.
                if row.isServer, let held = witness.held { #expect((row.firstRecordDelay ?? 0) >= held, text) }
            }
        }

        @Test("A transport of the application's own is known by its ClientHello, not by what a callback's peers say")
        func customTransport() throws {
            let lines = ["callback-asks", "callback-suspends", "plain"].map {
                ["--scenario", $0, "--hold-ms", "5", "--io", "custom", "--count", "3"]
            }
            let pairs = try observe(lines)
            #expect(pairs.count == 18)
            for (row, witness) in pairs {
                let text = Comment(rawValue: "\(row) against \(witness)")
                #expect(row.isCompleted, text)
                #expect(row.socketConfidence == "exact", text)
                #expect(row.local == witness.local, text)
                #expect(row.remote == witness.remote, text)
            }
        }

        @Test("node's SNICallback asks another server: its connection is not the handshake's, nor is its end")
        func nodeLookup() throws {
            let certificates = try TestCertificates()
            let directory = try TemporaryDirectory()
            let output = directory.file("rows.json")
            let result = try Tlswatch.run([
                "capture", "--format", "json", "--output", output, "--", "node", script("node_sni_lookup.js"),
                certificates.authority, certificates.certificate, certificates.key, "5",
            ])
            #expect(result.status == .exited(0), "\(result.errors)")
            let text = try String(contentsOfFile: output, encoding: .utf8)
            let rows = try SessionRow.parse(text.split(separator: "\n").map(String.init))
            #expect(rows.filter(\.isServer).count == 5, "\(rows)")
            #expect(rows.count == 10, "\(rows)")
            expectSane(rows)
            for row in rows {
                // node carries the bytes itself.
                #expect(row.isCompleted, "\(row)")
                #expect(row.socketConfidence == "unknown", "\(row)")
                #expect(row.local == nil, "\(row)")
                #expect(row.remote == nil, "\(row)")
                #expect(row.tcpConnect == nil, "\(row)")
                #expect(row.firstRecordDelay == nil, "\(row)")
                #expect(row.sni == "a.example", "\(row)")
            }
        }

        @Test("A memory transport has no socket, whatever its callbacks open")
        func memoryTransport() throws {
            let line = ["--scenario", "callback-asks", "--hold-ms", "5", "--io", "memory", "--count", "3"]
            for (row, witness) in try observe([line]) {
                #expect(row.isCompleted, "\(row) against \(witness)")
                #expect(row.socketConfidence == "unknown", "\(row) against \(witness)")
                #expect(row.local == nil)
                #expect(row.remote == nil)
                #expect(row.tcpConnect == nil)
                #expect(row.firstRecordDelay == nil)
            }
        }

        @Test(
            "The key exchange begins when the share was read, whatever a callback does then",
            arguments: ["callback-asks", "callback-sleeps", "callback-suspends"], ["tcp", "memory"])
        func keyExchange(_ scenario: String, _ transport: String) throws {
            let held = 60
            let line = [
                "--scenario", scenario, "--hold-ms", "\(held)", "--io", transport, "--tls", "1.3", "--count", "2",
            ]
            for (row, witness) in try observe([line]) {
                let text = Comment(rawValue: "\(row) against \(witness)")
                let exchange = try #require(row.keyExchange, text)
                if row.isServer {
                    // ClientHello read, then the callback, then the keys; Finished comes after them.
                    let held = try #require(witness.held, text)
                    let hello = try #require(witness.clientHello, text)
                    let finished = try #require(witness.finishedRead, text)
                    #expect(exchange >= held, text)
                    #expect(exchange <= finished - hello + Self.slack, text)
                } else {
                    #expect(exchange < held * 1_000_000 / 2, "the client's begins with the ServerHello: \(text)")
                }
            }
        }

        @Test("Below TLS 1.3 an RSA key exchange holds the private-key operation, as the program's own stamps have it")
        func anRSAExchangeHoldsThePrivateKeyOperation() throws {
            let certificates = try Handshaker.certificates()
            let line = [
                "--tls", "1.2", "--cipher", "AES128-GCM-SHA256", "--cert", certificates + "/rsa.pem", "--key",
                certificates + "/rsa.key", "--ca", certificates + "/rsa.pem", "--count", "3",
            ]
            let pairs = try observe([line])
            #expect(pairs.count == 6)
            for (row, witness) in pairs where row.isServer {
                let text = Comment(rawValue: "\(row) against \(witness)")
                let (share, finished) = (try #require(witness.keyShare, text), try #require(witness.finishedRead, text))
                let exchange = try #require(row.keyExchange, text)
                // Read, and given to the callback a moment later. The keys come with the ChangeCipherSpec, and right behind
                // it the Finished; the operation of milliseconds lies before both.
                #expect(finished - share > 1_000_000, text)
                #expect(exchange >= (finished - share) / 2, text)
                #expect(exchange <= finished - share + Self.slack, text)
                #expect(row.cipher == "TLS_RSA_WITH_AES_128_GCM_SHA256", text)
                #expect(row.keyExchangeCompute == nil, text)
            }
        }

        @Test("A renegotiation that is refused is no session of the server's, with phases or without")
        func refusedRenegotiation() throws {
            for phases in ["on", "off"] {
                let line = ["--scenario", "refused-renegotiation", "--count", "2"]
                let pairs = try observe([line], options: ["--phases", phases])
                #expect(pairs.filter { $0.row.isServer }.count == 2, "phases \(phases): \(pairs.map(\.row))")
                let refused = pairs.filter { $0.row.reason == "no_renegotiation" }.map(\.row)
                #expect(refused.count == 2)
                #expect(refused.allSatisfy { $0.isClient && $0.alertDirection == "received" })
                let accepted = try observe(
                    [["--scenario", "renegotiate", "--count", "2"]], options: ["--phases", phases],
                    events: ["renegotiate"])
                #expect(accepted.count == 8, "phases \(phases): an accepted one is a session: \(accepted.map(\.row))")
            }
        }

        @Test("A client that spins is one session with every call counted, and loses nobody a record")
        func aSpinningClientIsOneSession() throws {
            let daemon = try Daemon()
            let before = try daemon.metrics().sum("tlswatch_events_total")
            let line = ["--spin", "--delay-server-ms", "1500", "--count", "1"]
            let pairs = try observe([line])
            for (row, witness) in pairs {
                #expect(row.isCompleted, "\(row) against \(witness)")
                #expect(row.calls == witness.calls, "\(row) against \(witness)")
            }
            let spun = try #require(pairs.first { $0.row.isClient }?.witness.calls)
            #expect(spun > 1_000, "it did spin")
            let metrics = try daemon.quietMetrics {
                $0.sum("tlswatch_handshakes_total", ["outcome": "completed"]) >= 2 && Books($0).balance
            }
            #expect(metrics.sum("tlswatch_events_total") - before < 200, "no record for a call without effect")
            #expect(metrics.sum("tlswatch_events_dropped_total", ["reason": "ring_full"]) == 0)
            expectConservation(metrics)
        }

        @Test("Children that end at once have their parent's executable, and threads their own names")
        func shortLivedChildrenAreNamed() throws {
            let pairs = try observe([["--scenario", "children", "--count", "20"]])
            #expect(pairs.count == 40)
            for (row, witness) in pairs {
                #expect(row.exe?.hasSuffix("/handshaker") == true, "\(row)")
                #expect(row.comm == "handshaker", "\(row)")
                #expect(row.thread == witness.thread, "\(row)")
            }
        }

        /// Loopback of a network of its own.
        private func network(_ settings: String = "") -> [String] {
            ["unshare", "-n", "sh", "-c", "ip link set lo up && \(settings) exec \"$@\"", "sh"]
        }

        @Test("With TCP Fast Open the connect time begins with the SYN, not with connect(2)")
        func fastOpenConnectsWithItsSYN() throws {
            let pairs = try observe(
                [["--scenario", "fast-open", "--hold-ms", "100", "--count", "3"]],
                before: network("echo 3 > /proc/sys/net/ipv4/tcp_fastopen &&"))
            #expect(pairs.count == 6)
            for (row, witness) in pairs where row.isClient {
                let text = Comment(rawValue: "\(row) against \(witness)")
                #expect(row.remote == witness.remote, text)
                #expect(row.socketConfidence == "exact", text)
                #expect(try #require(row.tcpConnect, text) < 50_000_000, "100 ms lay between connect and SYN: \(text)")
            }
        }

        @Test("MPTCP connections have addresses and times on both sides")
        func multipathConnectionsHaveAddresses() throws {
            let pairs = try observe([["--io", "mptcp", "--count", "3"]], before: network())
            #expect(pairs.count == 6)
            for (row, witness) in pairs {
                let text = Comment(rawValue: "\(row) against \(witness)")
                #expect(row.local == witness.local, text)
                #expect(row.remote == witness.remote, text)
                let connect = try #require(row.tcpConnect, text)
                if row.isClient, let begin = witness.connectBegin, let end = witness.connectEnd {
                    #expect(connect <= end - begin, text)
                }
                #expect(row.firstRecordDelay != nil, text)
            }
        }

        @Test(
            "A client whose BIO connects inside the call has the TCP connection's addresses, not the look-up's socket")
        func connectInsideCall() throws {
            let server = try OpenSSLServer(TestCertificates(), ["-www"])
            let capture = try Capture()
            let client = try ChildProcess.run(
                "openssl", ["s_time", "-connect", "localhost:\(server.port)", "-new", "-time", "1"])
            try #require(client.status == .exited(0), "\(client.errors)")
            let rows = try capture.finish(expecting: 10) { $0.pid == Int(client.pid) && $0.isCompleted }
            try #require(rows.count >= 10)
            for row in rows {
                #expect(row.socketConfidence == "exact", "\(row)")
                #expect(row.remote == server.address, "\(row)")
                #expect(row.tcpConnect != nil, "\(row)")
                #expect(row.local != nil, "\(row)")
            }
        }

        @Test("Suites that forbid the request ask for no client certificate, although the server would")
        func pskAsksNothing() throws {
            let suite = ["-psk", "1a2b", "-cipher", "PSK-AES128-GCM-SHA256", "-tls1_2"]
            let server = try OpenSSLServer(nil, ["-quiet", "-nocert", "-Verify", "1"] + suite)
            let capture = try Capture()
            let client = try server.connect(suite)
            try #require(client.status == .exited(0), "\(client.errors)")
            let pids = Set([Int(client.pid), server.pid])
            let rows = try capture.finish(expecting: 2) { pids.contains($0.pid ?? 0) }
            #expect(rows.count == 2)
            for row in rows {
                #expect(row.isCompleted, "\(row)")
                #expect(row.cipher == "TLS_PSK_WITH_AES_128_GCM_SHA256", "\(row)")
                #expect(row.clientCertificateRequested == false, "\(row)")
                #expect(row.clientCertificateGiven == nil, "\(row)")
            }
        }

        @Test("The library's own word stands beside the reason where it says more, as openssl's error text has it")
        func libraryReasons() throws {
            let runs = try Handshaker.observe(
                .distribution,
                [
                    ["--scenario", "no-shared-cipher"], ["--scenario", "version"],
                    ["--scenario", "client-cert-missing"],
                    ["--scenario", "wrong-host"], ["--scenario", "unknown-ca"], ["--scenario", "no-alpn"],
                ]
            ).runs
            let words: [Set<String>] = runs.map { run in Set(run.rows.compactMap { $0.libraryReason }) }
            let expected: [Set<String>] = [
                ["no_shared_cipher"], ["unsupported_protocol"], ["peer_did_not_return_a_certificate"],
                ["hostname_mismatch"], ["unable_to_get_issuer_cert_locally"], [],
            ]
            #expect(words == expected)
            for run in runs {
                // Whoever received the alert has no word of its own.
                #expect(run.rows.filter { $0.alertDirection == "received" }.allSatisfy { $0.libraryReason == nil })
            }
        }
    }
}

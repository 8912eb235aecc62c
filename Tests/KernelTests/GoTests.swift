import Foundation
import Handshakes
import TestSupport
import Testing

extension KernelTests {
    /// Every session of a Go program against what the program itself knows: nothing missing, nothing too much, nothing that
    /// contradicts.
    @Suite("Go's crypto/tls") struct GoTests {
        /// Why a side of a scenario fails. What Go itself says of it is held against these where it says so much.
        private struct Failure {
            var reason: String
            var alert: Int?
            var direction: String?
            var word: String?
        }

        private static func sent(_ reason: String, _ alert: Int, word: String? = nil) -> Failure {
            Failure(reason: reason, alert: alert, direction: "sent", word: word)
        }

        private static func received(_ reason: String, _ alert: Int) -> Failure {
            Failure(reason: reason, alert: alert, direction: "received")
        }

        private static let failures: [String: [String: Failure]] = [
            "unknown-ca": [
                "client": sent("unknown_ca", 42, word: "unknown_authority"), "server": received("bad_certificate", 42),
            ],
            "unknown-ca-12": [
                "client": sent("unknown_ca", 42, word: "unknown_authority"), "server": received("bad_certificate", 42),
            ],
            "wrong-name": [
                "client": sent("hostname_mismatch", 42, word: "hostname"), "server": received("bad_certificate", 42),
            ],
            "expired": [
                "client": sent("certificate_expired", 42, word: "expired"), "server": received("bad_certificate", 42),
            ],
            "no-certificate-12": [
                "server": sent("handshake_failure", 40), "client": received("handshake_failure", 40),
            ],
            "alpn-mismatch": [
                "server": sent("no_application_protocol", 120), "client": received("no_application_protocol", 120),
            ],
            "version": ["server": sent("protocol_version", 70), "client": received("protocol_version", 70)],
            "refused-by-callback": ["server": sent("internal_error", 80), "client": received("internal_error", 80)],
            "plain-http": ["server": Failure(reason: "not_tls")],
            "silent": ["server": Failure(reason: "peer_closed")],
            "half": ["server": Failure(reason: "peer_closed")],
            "deadline": ["server": Failure(reason: "deadline_exceeded")],
            "reset": ["client": Failure(reason: "connection_reset")],
            "canceled": ["client": Failure(reason: "canceled"), "server": Failure(reason: "peer_closed")],
            "closed-locally": [
                "client": Failure(reason: "closed_locally"), "server": Failure(reason: "peer_closed"),
            ],
            "panic": ["client": Failure(reason: "peer_closed")],
            "again": ["client": Failure(reason: "deadline_exceeded"), "server": Failure(reason: "peer_closed")],
            "memory": ["client": Failure(reason: "peer_closed")],
            "ech-rejected": ["client": sent("ech_required", 121, word: "ech_rejection")],
            "quic-wrong-name": [
                "client": sent("hostname_mismatch", 42, word: "hostname"), "server": Failure(reason: "canceled"),
            ],
        ]

        @Test("Each side of each handshake is one row", arguments: GoToolchain.tried)
        func everyHandshake(_ version: String) throws { try compare(GoProgram(version)) }

        @Test("Stripped of its symbols and of its section headers")
        func stripped() throws {
            let program = try GoProgram(GoToolchain.versions[2], ["-ldflags=-s -w"]) { path in
                try Data(Machine.bytesWithoutSections(path)).write(to: URL(fileURLWithPath: path))
            }
            try compare(program)
        }

        @Test("At an address that is not fixed") func positionIndependent() throws {
            try compare(GoProgram(GoToolchain.versions[2], ["-buildmode=pie"]))
        }

        @Test("With a fork of the package linked beside it, each with connections of its own")
        func fork() throws { try compare(GoProgram(withFork: GoToolchain.versions[0]), times: 2) }

        func compare(_ program: GoProgram, times: Int = 1) throws {
            let run = try program.observe()
            #expect(run.strangers.isEmpty)
            expectSane(run.rows)
            try #require(run.witnesses.count > 60 * times)
            let none = run.witnesses.filter(\.isNone)
            #expect(Set(none.map(\.scenario)) == ["none-closed", "none-peek"])
            let witnesses = Dictionary(grouping: run.witnesses.filter { !$0.isNone }, by: \.key)
            let rows = Dictionary(grouping: run.rows) { [$0.role ?? "", $0.local ?? "", $0.remote ?? ""] }
            #expect(
                run.rows.count == witnesses.values.reduce(0) { $0 + $1.count },
                "\(Set(rows.keys).symmetricDifference(witnesses.keys).map { ($0, rows[$0] ?? []) })")
            var late: [Double] = []
            for (key, witnesses) in witnesses {
                let rows = rows[key] ?? []
                let scenarios = witnesses.map(\.scenario)
                #expect(rows.count == witnesses.count, "\(key) \(scenarios)")
                guard rows.count == witnesses.count else { continue }
                for (row, witness) in zip(rows, witnesses) {
                    compare(row, witness, program)
                    if row.isCompleted, row.transport == nil {
                        late.append(Double(witness.end - witness.start - (row.duration ?? 0)))
                    }
                }
            }
            // What Go does around the handshake itself: deferred calls, and its scheduler.
            let middle = try #require(median(late))
            print("\(program.toolchain): the program's stamps minus the duration, µs: median \(middle / 1_000)")
            #expect(middle >= 0)
            #expect(middle < 100_000)
        }

        private func compare(_ row: SessionRow, _ witness: GoWitness, _ program: GoProgram) {
            let text = Comment(rawValue: "\(row) for \(witness)")
            #expect(row.stack == "go", text)
            #expect(row.library == program.path, text)
            #expect(row.libraryVersion == "go" + program.toolchain.version, text)
            #expect(row.calls == 1, text)
            // QUIC's calls come back before the handshake is over: the stamps are the transport's.
            let isQUIC = witness.scenario.hasPrefix("quic")
            #expect(row.transport == (isQUIC ? "quic" : nil), text)
            if !isQUIC, !witness.panicked {
                #expect(row.duration ?? .max <= witness.end - witness.start, text)
            }
            if witness.local.isEmpty {
                #expect(row.socketConfidence == "unknown", text)
                #expect(row.busy == nil, text)
            } else {
                #expect(row.socketConfidence == "exact", text)
                #expect(row.busy != nil || row.outcome == "abandoned", text)
            }
            if witness.panicked {
                #expect(row.outcome == "abandoned", text)
                return
            }
            #expect(row.outcome == (witness.completed ? "completed" : "failed"), text)
            if witness.completed {
                compareFacts(row, witness, program, text)
            } else {
                var failure = Self.failures[witness.scenario]?[witness.role]
                if witness.scenario == "no-certificate-12", !program.toolchain.tellsMissingCertificate {
                    failure?.reason = "bad_certificate"
                    failure?.alert = 42
                }
                #expect(failure != nil, text)
                #expect(row.reason == failure?.reason, text)
                #expect(row.alert == failure?.alert, text)
                #expect(row.alertDirection == failure?.direction, text)
                #expect(row.libraryReason == failure?.word, text)
                #expect(row.cipher == nil, text)
            }
        }

        private func compareFacts(_ row: SessionRow, _ witness: GoWitness, _ program: GoProgram, _ text: Comment) {
            #expect(row.tlsVersion == IANA.version(UInt32(witness.version)), text)
            #expect(row.cipher == IANA.cipher(UInt16(witness.cipher)), text)
            #expect(row.alpn ?? "" == witness.alpn, text)
            #expect(row.sni ?? "" == witness.sni, text)
            #expect(row.resumed == witness.resumed, text)
            compareGroup(row, witness, program, text)
            if witness.role == "server" {
                let asks = ["mutual", "asked", "split"].contains { witness.scenario.hasPrefix($0) }
                #expect(row.clientCertificateRequested == asks, text)
                #expect(row.clientCertificateGiven == (asks ? witness.peerCertificates > 0 : nil), text)
            }
            // The moments inside, and what the wait was.
            let knowsInput = !witness.local.isEmpty
            let isTimed = row.tlsVersion == "TLSv1.3" || !witness.resumed
            #expect((row.keyExchange != nil) == (knowsInput && isTimed), text)
            if witness.scenario == "split-12" {
                // It begins when the share is read, and lasts until after what follows has come, 50 ms later.
                #expect(witness.share != 0, text)
                #expect(row.keyExchange ?? 0 >= witness.held, text)
                #expect(row.keyExchange ?? .max <= witness.end - witness.share, text)
            }
            #expect((row.alpnNegotiation != nil) == (knowsInput && !witness.alpn.isEmpty), text)
            if witness.scenario == "slow-client", witness.role == "server" {
                #expect(row.peer ?? 0 >= 45_000_000, text)
                #expect(row.busy ?? .max < 40_000_000, text)
            }
        }

        private func compareGroup(_ row: SessionRow, _ witness: GoWitness, _ program: GoProgram, _ text: Comment) {
            if program.toolchain.tellsGroup {
                #expect(row.group == (witness.group == 0 ? nil : IANA.group(UInt32(witness.group))), text)
            } else if witness.scenario == "rsa-12" || row.tlsVersion == "TLSv1.2" && witness.resumed {
                #expect(row.group == nil, text)
            } else if let only = ["retry": "secp384r1", "p256-12": "secp256r1"][witness.scenario] {
                #expect(row.group == only, text)
            } else {
                #expect(row.group != nil, text)
            }
            if row.tlsVersion == "TLSv1.3" {
                #expect(row.helloRetryRequest == (witness.scenario == "retry"), text)
            } else {
                #expect(row.helloRetryRequest == nil, text)
            }
        }

        @Test("Caddy as a server and as a client, over TCP and QUIC, by its own log") func caddy() throws {
            let certificates = try TestCertificates()
            let caddy = try Caddy(certificates)
            let capture = try Capture()
            for options in [["--http2"], ["--http1.1"], ["--tls-max", "1.2"]] {
                _ = try Curl.get(count: 3, port: caddy.port, authority: certificates.authority, options)
            }
            // Refused by the client: below TLS 1.3, where the alert says why.
            let refused = try Curl.get(port: caddy.port, authority: nil, ["--tls-max", "1.2"])
            #expect(refused.status != .exited(0))
            for proxy in caddy.proxies {
                let answer = try ChildProcess.run(
                    "curl", ["-q", "--noproxy", "*", "-s", "--max-time", "20", "http://127.0.0.1:\(proxy.port)/"])
                #expect(answer.output == "ok", "HTTP/\(proxy.version): \(answer.errors)")
            }
            let rows = try capture.finish(expecting: 16) { $0.pid == Int(caddy.child.pid) }
            expectSane(rows)
            for row in rows {
                #expect(row.stack == "go", "\(row)")
                #expect(row.library == caddy.path, "\(row)")
                #expect(row.libraryVersion?.hasPrefix("go1.") == true, "\(row)")
            }
            let complete = try eventually { try caddy.logged().count >= 12 }
            try #require(complete)
            let logged = try caddy.logged()
            let servers = rows.filter { $0.isServer && $0.transport == nil }
            for entry in logged where entry.alpn != "h3" {
                let row = try #require(servers.first { $0.remote == "127.0.0.1:\(entry.remotePort)" }, "\(entry)")
                let text = Comment(rawValue: "\(row) for \(entry)")
                #expect(row.isCompleted, text)
                #expect(row.tlsVersion == IANA.version(UInt32(entry.version)), text)
                #expect(row.cipher == IANA.cipher(UInt16(entry.cipher)), text)
                #expect(row.alpn ?? "" == entry.alpn, text)
                #expect(row.sni == entry.serverName, text)
                #expect(row.resumed == entry.resumed, text)
                #expect(row.socketConfidence == "exact", text)
            }
            #expect(servers.count(where: \.isCompleted) == logged.count { $0.alpn != "h3" })
            let failed = servers.filter { !$0.isCompleted }
            #expect(failed.map(\.reason) == ["unknown_ca"])
            #expect(failed.map(\.alertDirection) == ["received"])
            // Its own upstream's client: each of those handshakes has both sides here.
            let clients = rows.filter(\.isClient)
            #expect(clients.count == 3)
            for client in clients {
                #expect(client.isCompleted, "\(client)")
                #expect(client.sni == "a.example", "\(client)")
                guard client.transport == nil else { continue }
                let server = servers.first { $0.remote == client.local && $0.local == client.remote }
                #expect(server?.cipher == client.cipher, "\(client)")
                #expect(server?.alpn == client.alpn, "\(client)")
            }
            let quic = rows.filter { $0.transport == "quic" }
            #expect(Set(quic.compactMap(\.role)) == ["client", "server"])
            for row in quic {
                #expect(row.isCompleted, "\(row)")
                #expect(row.alpn == "h3", "\(row)")
                #expect(row.tlsVersion == "TLSv1.3", "\(row)")
                #expect(row.socketConfidence == "unknown", "\(row)")
            }
        }

        @Test(
            "A handshake is two hits without phases, and a few more with them",
            arguments: [GoToolchain.versions[0], GoToolchain.versions[2]])
        func hits(_ version: String) throws {
            let program = try GoProgram(version)
            let pairs = 20
            for phases in ["off", "on", "full"] {
                let daemon = try Daemon(["--library", program.path, "--phases", phases])
                let load = try ChildProcess.run(program.path, ["load", "\(pairs)"])
                #expect(load.output == "done \(pairs)\n")
                let metrics = try daemon.quietMetrics { Books($0).ended >= Double(2 * pairs) && Books($0).balance }
                let hits = metrics.sum("tlswatch_probe_hits_total", ["library": program.path]) / Double(2 * pairs)
                print("\(program.toolchain), --phases \(phases): \(hits) hits a handshake")
                if phases == "off" { #expect(hits == 2) } else { #expect(hits > 2 && hits <= 5) }
            }
        }

        @Test("Programs go on unharmed while their probes come and go") func harmless() throws {
            let program = try GoProgram(GoToolchain.versions[2])
            let child = try ChildProcess(program.path, ["load", "1500", "gc"])
            var captures = 0
            while child.status == nil, captures < 40 {
                let capture = try Capture(["--library", program.path])
                captures += 1
                _ = try capture.stop()
            }
            let end = try child.wait(within: .seconds(60))
            #expect(end.status == .exited(0), "\(end.errors)")
            #expect(end.output == "done 1500\n")
            #expect(captures > 1)
        }
    }
}

import Foundation
import TestSupport
import Testing

extension KernelTests {
    /// Mbed TLS in a program that stamps its own handshakes, in lighttpd, and in two Python modules that bring their own, against what
    /// these and their peers say.
    @Suite("Mbed TLS") struct MbedTLSTests {
        @Test("Both roles, whole or step by step, blocking or not: the program's own stamps and words")
        func completed() throws {
            let program = try MbedTLSProgram(try TestCertificates())
            let capture = try Capture(["--library", MbedTLSProgram.library])
            let cases = [
                ("ab", "ab"), ("nab", "nab"), ("sab", "sab"), ("nsab", "nsab"), ("b", "b"), ("R", "R"), ("cb", "cb"),
            ]
            var all: [(pid: Int, flags: String, words: [MbedTLSWords])] = []
            for (server, client) in cases {
                let count = client == "R" ? 2 : 1
                let running = try program.server(server, count: count)
                let done = try program.connect(running.port, client, count: count)
                let ended = try running.child.wait()
                all.append((running.pid, server, MbedTLSWords.of(ended.output)))
                all.append((Int(done.pid), client, MbedTLSWords.of(done.output)))
            }
            let pids = Set(all.map(\.pid))
            let count = 2 * (cases.count + 1)
            let told = try capture.finish(expecting: count) { pids.contains($0.pid ?? -1) }
            expectSane(told)
            #expect(told.count == count, "\(told)")
            for (number, (pid, flags, words)) in all.enumerated() {
                let own = told.of(pid)
                try #require(own.count == words.count && !words.isEmpty, "\(flags): \(own) \(words)")
                for (turn, (row, truth)) in zip(own, words).enumerated() {
                    let text = Comment(rawValue: "\(flags): \(row) \(truth)")
                    #expect(truth.result == 0 && row.isCompleted && row.stack == "mbedtls", text)
                    #expect(row.isServer == (number % 2 == 0), text)
                    #expect(row.tlsVersion == truth.version && row.cipher == truth.cipher, text)
                    #expect(row.alpn == truth.alpn, text)
                    #expect((row.alpnNegotiation ?? 0 > 0) == (truth.alpn != nil), text)
                    #expect(row.sni == (row.isServer ? nil : "a.example"), text)
                    #expect(row.resumed == (turn == 1), text)
                    #expect((row.keyExchange ?? 0 > 0) == (turn == 0), text)
                    #expect(row.group == nil && row.libraryReason == nil, text)
                    #expect(row.socketConfidence == "exact", text)
                    // Its last step goes on behind the place where the handshake is complete.
                    let outer = truth.end - truth.start
                    let duration = row.duration ?? 0
                    #expect(duration <= outer && duration + max(300_000, outer / 20) >= outer, text)
                    #expect(flags.contains("n") || row.calls == 1, text)
                    #expect((row.keyExchange ?? 0) < duration && (row.alpnNegotiation ?? 0) < duration, text)
                    #expect(row.busy != nil && row.peer != nil, text)
                }
            }
            // One end's connection is the other's.
            for pair in stride(from: 0, to: all.count, by: 2) {
                let (server, client) = (told.of(all[pair].pid), told.of(all[pair + 1].pid))
                #expect(server.map(\.local) == client.map(\.remote) && server.map(\.remote) == client.map(\.local))
            }
        }

        @Test(
            "Failures: alerts sent and received, the transport's end, and what the library says, whole and step by step",
            arguments: ["", "s"])
        func failed(_ how: String) throws {
            let program = try MbedTLSProgram(try TestCertificates())
            let others = try TestCertificates()
            let capture = try Capture(["--library", MbedTLSProgram.library])
            var servers: [MbedTLSServer] = []
            var clients: [Finished] = []
            let pairs: [(server: String, client: String, authority: String?)] = [
                ("-", "-", others.authority), ("2", "-", nil), ("a", "x", nil), ("c", "-", nil),
            ]
            for (server, client, authority) in pairs {
                servers.append(try program.server(how + server))
                clients.append(try program.connect(servers[servers.count - 1].port, how + client, authority: authority))
            }
            // Peers of another kind: versions that it has not, bytes that are no TLS, a peer that goes.
            servers.append(try program.server(how + "-"))
            let new = try ChildProcess.run(
                "openssl", ["s_client", "-connect", "127.0.0.1:\(servers[4].port)", "-tls1_3"])
            #expect(new.errors.contains("alert number 40"), "\(new.errors)")
            let script = try resource("Scripts/odd_client.py")
            for odd in ["half", "garbage"] {
                servers.append(try program.server(how + "-"))
                let done = try ChildProcess.run("python3", [script, "\(servers[servers.count - 1].port)", odd])
                try #require(done.output.contains("done"), "\(done.errors)")
            }
            servers.append(try program.server(how + "-"))
            let refusing = try ChildProcess.run(
                "openssl", ["s_client", "-connect", "127.0.0.1:\(servers[7].port)", "-verify_return_error"])
            #expect(refusing.errors.contains("certificate verify failed"), "\(refusing.errors)")

            let words = try servers.map { try MbedTLSWords.of($0.child.wait().output) }
            #expect(
                words.map { $0.map(\.result) } == [
                    [-0x7780], [-0x6980], [-0x7900], [-0x7480], [-0x7380], [-0x7280], [-0x7900], [-0x7780],
                ])
            let pids = Set(servers.map(\.pid) + clients.map { Int($0.pid) })
            let all = try capture.finish(expecting: 12) { pids.contains($0.pid ?? -1) }
            expectSane(all)
            #expect(all.count == 12, "\(all)")
            let byServer = servers.map { server in all.of(server.pid).map(\.ending) }
            // What it does not say to its peer, it does not say to one who makes the steps: the context is given up.
            func silent(_ reason: String) -> [String] {
                how.isEmpty ? ["failed", reason, "none"] : ["abandoned", "-", "none"]
            }
            #expect(
                byServer == [
                    [["failed", "unknown_ca", "48 received"]], [["failed", "handshake_failure", "40 sent"]],
                    [["failed", "no_application_protocol", "120 sent"]], [silent("certificate_required")],
                    [["failed", "handshake_failure", "40 sent"]], [["failed", "peer_closed", "none"]],
                    [silent("bad_hs_client_hello")], [["failed", "unknown_ca", "48 received"]],
                ], "\(byServer)")
            #expect(
                clients.flatMap { all.of($0.pid).map(\.ending) } == [
                    ["failed", "unknown_ca", "48 sent"], ["failed", "handshake_failure", "40 received"],
                    ["failed", "no_application_protocol", "120 received"], ["failed", "peer_closed", "none"],
                ], "\(all)")
            if how.isEmpty {
                #expect(all.of(clients[0].pid).map(\.libraryReason) == ["x509_cert_verify_failed"])
                #expect(all.of(servers[1].pid).map(\.libraryReason) == ["no_usable_ciphersuite"])
            }
            #expect(all.allSatisfy { $0.cipher == nil && $0.alpn == nil && $0.resumed == nil })
            // What a reset has torn down has no ports any more.
            #expect(all.count { $0.socketConfidence == "exact" } >= 11, "\(all)")
        }

        @Test("A renegotiation is a session of its own, on the same socket")
        func renegotiation() throws {
            let program = try MbedTLSProgram(try TestCertificates())
            let capture = try Capture(["--library", MbedTLSProgram.library])
            let server = try program.server("r")
            let client = try program.connect(server.port, "r")
            #expect(MbedTLSWords.of(client.output).map(\.result) == [0, 0], "\(client.output)")
            _ = try server.child.wait()
            let pids = Set([server.pid, Int(client.pid)])
            let all = try capture.finish(expecting: 4) { pids.contains($0.pid ?? -1) }
            expectSane(all)
            for pid in pids {
                let own = all.of(pid)
                #expect(own.count == 2 && own.allSatisfy(\.isCompleted), "\(all)")
                #expect(own.allSatisfy { $0.socketConfidence == "exact" && $0.keyExchange ?? 0 > 0 }, "\(own)")
                #expect(Set(own.map { [$0.local, $0.remote] }).count == 1, "\(own)")
            }
        }

        @Test("lighttpd, which makes the first steps itself, by what its clients say")
        func lighttpd() throws {
            let certificates = try TestCertificates()
            let capture = try Capture(["--library", MbedTLSProgram.library])
            let server = try Lighttpd(certificates, module: "mod_mbedtls")
            let curl = try ChildProcess.run(
                "curl",
                ["-sSv", "--cacert", certificates.authority, "--resolve", "a.example:\(server.port):127.0.0.1"]
                    + ["--noproxy", "*", "https://a.example:\(server.port)/index.txt"])
            #expect(curl.output == "ok" && curl.errors.contains("ALPN: server accepted h2"), "\(curl.errors)")
            let one = try server.connect(["-alpn", "http/1.1", "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"])
            #expect(one.output.contains("ALPN protocol: http/1.1"), "\(one.output)")
            let script = try resource("Scripts/odd_client.py")
            let pieces = try ChildProcess.run("python3", [script, "\(server.port)", "pieces"])
            try #require(pieces.output.contains("done"), "\(pieces.errors)")
            for (options, number) in [
                (["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], 70), (["-alpn", "strange"], 120),
                (["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], 40),
            ] {
                let refused = try server.connect(options)
                #expect(refused.errors.contains("alert number \(number)"), "\(refused.errors)")
            }
            let refusing = try server.connect(["-tls1_2", "-verify_return_error"])
            #expect(refusing.errors.contains("certificate verify failed"), "\(refusing.errors)")
            for how in ["close", "half"] { _ = try ChildProcess.run("python3", [script, "\(server.port)", how]) }

            let all = try capture.finish(expecting: 9) { $0.pid == server.pid }
            expectSane(all)
            let own = all.of(server.pid)
            #expect(
                own.map(\.ending) == [
                    ["completed", "-", "none"], ["completed", "-", "none"], ["completed", "-", "none"],
                    ["failed", "protocol_version", "70 sent"], ["failed", "no_application_protocol", "120 sent"],
                    ["failed", "handshake_failure", "40 sent"], ["failed", "unknown_ca", "48 received"],
                    ["failed", "peer_closed", "none"], ["failed", "peer_closed", "none"],
                ], "\(own)")
            #expect(own.allSatisfy { $0.isServer && $0.stack == "mbedtls" }, "\(own)")
            let done = own.prefix(3)
            #expect(done.map(\.alpn) == ["h2", "http/1.1", nil], "\(own)")
            #expect(done.map { $0.cipher?.contains("AES_256_GCM") ?? false } == [true, false, true], "\(own)")
            #expect(done.allSatisfy { $0.tlsVersion == "TLSv1.2" && $0.keyExchange ?? 0 > 0 }, "\(own)")
            #expect(done.allSatisfy { $0.socketConfidence == "exact" && $0.peer != nil }, "\(own)")
            // Waiting for the ClientHello's second half is another call.
            #expect(done.allSatisfy { ($0.calls ?? 0) >= 2 } && (own[2].calls ?? 0) >= 3, "\(own)")
        }

        @Test("python-mbedtls, which makes every step itself and feeds the library from buffers, in both roles")
        func python() throws {
            let folder = TestCache.directory + "/python-mbedtls"
            let found = try ChildProcess.run("find", [folder + "/python_mbedtls.libs", "-name", "libmbedtls-*"])
            let library = try #require(found.output.split(separator: "\n").first.map(String.init), "run `make deps`")
            let certificates = try TestCertificates()
            let others = try TestCertificates()
            let python = [
                "PYTHONPATH=" + folder, "PYTHONDONTWRITEBYTECODE=1", "python3.11", try script("python_mbedtls.py"),
            ]
            let capture = try Capture(["--library", library])
            let reserved = try FreePort()
            let server = try ChildProcess(
                "/usr/bin/env",
                python + ["server", "\(reserved.number)", certificates.certificate, certificates.key, "3"])
            try server.waitForLine(in: server.output) { $0 == "ready" }
            func connect(_ authority: String) throws -> Finished {
                try ChildProcess.run("/usr/bin/env", python + ["client", "\(reserved.number)", authority])
            }
            let client = try connect(certificates.authority)
            #expect(client.output.hasSuffix(" h2\n"), "\(client.output) \(client.errors)")
            let peer = try ChildProcess.run("openssl", ["s_client", "-connect", "127.0.0.1:\(reserved.number)"])
            #expect(peer.output.contains("TLSv1.2"), "\(peer.errors)")
            let refusing = try connect(others.authority)
            #expect(refusing.output.hasPrefix("error"), "\(refusing.output)")
            let pids = Set([server.pid, client.pid, refusing.pid].map { Int($0) })
            // What became of the server when it was refused is its own affair: it may go on to read.
            let all = try capture.finish(expecting: 4) { pids.contains($0.pid ?? -1) }
            server.stop(SIGTERM)
            expectSane(all)
            let servers = all.of(server.pid)
            let clients = all.of(client.pid) + all.of(refusing.pid)
            #expect(
                clients.map(\.ending) == [["completed", "-", "none"], ["failed", "unknown_ca", "48 sent"]], "\(clients)"
            )
            #expect(
                servers.prefix(2).map(\.ending) == [["completed", "-", "none"], ["completed", "-", "none"]],
                "\(servers)")
            let cipher = client.output.split(separator: " ").first.map(String.init)?.replacing("TLS-", with: "TLS_")
                .replacing("-", with: "_")
            for row in [clients.first, servers.first] {
                #expect(row?.alpn == "h2" && row?.tlsVersion == "TLSv1.2" && row?.cipher == cipher, "\(all)")
            }
            #expect(clients.first?.sni == "a.example" && servers.dropFirst().first?.alpn == nil, "\(all)")
            // Every wait is a return of its own.
            #expect(all.filter(\.isCompleted).allSatisfy { ($0.calls ?? 0) >= 2 }, "\(all)")
        }

        @Test("Mbed TLS 3.5 and 3.6 inside a Python module", arguments: ["0.8.1", "0.9.0"])
        func inside(_ release: String) throws {
            let folder = TestCache.directory + "/python-pynng-" + release
            let library = folder + "/pynng/_nng.abi3.so"
            try #require(FileManager.default.fileExists(atPath: library), "run `make deps`")
            let certificates = try TestCertificates()
            let others = try TestCertificates()
            let capture = try Capture(["--library", library])
            let isNew = release == "0.9.0"
            let program = try ChildProcess(
                "/usr/bin/env",
                [
                    "PYTHONPATH=\(folder):\(TestCache.directory)/python-cffi", "PYTHONDONTWRITEBYTECODE=1",
                    "python3.11", try script("nng_tls.py"), certificates.certificate, certificates.key,
                    certificates.authority, others.authority,
                ])
            let line = try program.waitForLine(in: program.output) { $0.hasPrefix("port ") }
            let address = "127.0.0.1:" + line.dropFirst("port ".count)
            var said: [String] = []
            for options in [[], ["-tls1_2"], ["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"]] {
                let peer = try ChildProcess.run("openssl", ["s_client", "-connect", address] + options)
                let version = peer.output.firstMatch(of: /New, (TLSv[0-9.]+), Cipher/).map { String($0.output.1) }
                said.append(
                    peer.output.firstMatch(of: /Protocol *: *(TLSv[0-9.]+)/).map { String($0.output.1) } ?? version
                        ?? "-")
            }
            #expect(
                program.output.lines.dropLast() == ["received hello", "refused"],
                "\(program.errors.text)")
            let refusal = try ChildProcess.run(
                "python3", [try script("odd_client.py"), String(address.split(separator: ":")[1]), "refuse"])
            try #require(refusal.output.hasPrefix("sent 15030300020230\n"), "\(refusal.output) \(refusal.errors)")
            let all = try capture.finish(expecting: 8) { $0.pid == Int(program.pid) }
            program.stop(SIGTERM)
            expectSane(all)
            let servers = all.filter(\.isServer).of(program.pid)
            let clients = all.filter(\.isClient).of(program.pid)
            let done = ["completed", "-", "none"]
            #expect(clients.map(\.ending) == [done, ["failed", "unknown_ca", "48 sent"]], "\(clients)")
            // A client of TLS 1.3 sends its alert unencrypted. On a busy machine the program closes the connection before its own
            // client's has gone out, and its server has heard of none.
            let refused = isNew ? ["failed", "bad_record_mac", "20 sent"] : ["failed", "unknown_ca", "48 received"]
            let told = servers.map(\.ending)
            #expect([refused, ["abandoned", "-", "none"]].contains(told.dropFirst().first), "\(servers)")
            #expect(
                told.prefix(1) + told.dropFirst(2) == [
                    done, done, done, ["failed", "handshake_failure", "40 sent"], refused,
                ], "\(servers)")
            #expect(servers.dropFirst(2).prefix(2).map(\.tlsVersion) == said.prefix(2).map(Optional.some), "\(servers)")
            let version = isNew ? "TLSv1.3" : "TLSv1.2"
            #expect(clients.first?.tlsVersion == version && servers.first?.tlsVersion == version, "\(all)")
            #expect(clients.first?.sni == "a.example" && clients.first?.cipher == servers.first?.cipher, "\(all)")
            #expect(clients.dropFirst().allSatisfy { $0.libraryReason == "x509_cert_verify_failed" }, "\(clients)")
            #expect(all.allSatisfy { $0.libraryVersion?.hasPrefix("3.") == true && $0.stack == "mbedtls" })
            // Of TLS 1.3 it is not known.
            #expect(clients.first?.resumed == (version == "TLSv1.3" ? nil : false), "\(clients)")
            #expect(all.filter(\.isCompleted).allSatisfy { $0.keyExchange ?? 0 > 0 }, "\(all)")
        }

        @Test("A handshake takes 25 hits at most, the books balance, and nothing behind it is counted")
        func hits() throws {
            let program = try MbedTLSProgram(try TestCertificates())
            let pairs = 10
            let library = URL(fileURLWithPath: MbedTLSProgram.library).resolvingSymlinksInPath().path
            for (phases, flags) in [("off", "b"), ("on", "b"), ("on", "nb"), ("on", "nsb")] {
                let daemon = try Daemon(["--library", MbedTLSProgram.library, "--phases", phases])
                let server = try program.server(flags, count: pairs)
                let client = try program.connect(server.port, flags, count: pairs)
                #expect(MbedTLSWords.of(client.output).map(\.result) == Array(repeating: 0, count: pairs))
                _ = try server.child.wait()
                let metrics = try daemon.quietMetrics { Books($0).ended >= Double(2 * pairs) && Books($0).balance }
                expectConservation(metrics)
                for role in ["client", "server"] {
                    let completed = ["stack": "mbedtls", "role": role, "outcome": "completed"]
                    #expect(metrics.sum("tlswatch_handshakes_total", completed) == Double(pairs))
                }
                #expect(Books(metrics).ended == Double(2 * pairs))
                let hits =
                    metrics.sum("tlswatch_probe_hits_total", ["library": library]) / Double(2 * pairs)
                print("Mbed TLS, \(flags), --phases \(phases): \(hits) hits a handshake")
                // Each wait takes four more: the step again, its failure, and the return and entry of the function around it.
                #expect(hits > 15 && hits <= (flags.contains("n") ? 40 : 25))
            }
        }
    }
}

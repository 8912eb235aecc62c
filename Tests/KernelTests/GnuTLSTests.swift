import Foundation
import TestSupport
import Testing

extension KernelTests {
    /// GnuTLS's own programs, wget, and a Python module that has its own GnuTLS, held against what these and their peers say.
    @Suite("GnuTLS") struct GnuTLSTests {
        private static let old = "NORMAL:-VERS-ALL:+VERS-TLS1.2"

        /// The server's end of a client's connection.
        private func otherEnd(of row: SessionRow, _ all: [SessionRow]) -> SessionRow? {
            all.first { $0.isServer && $0.local == row.remote && $0.remote == row.local }
        }

        @Test("Both ends are what the client says: versions, groups, ciphers, ALPN, names, and what was resumed")
        func facts() throws {
            let certificates = try TestCertificates()
            let capture = try Capture()
            let server = try GnuTLSServer(certificates, ["--alpn", "h2"])
            let other = try GnuTLSServer(
                certificates,
                [
                    "--alpn", "h2", "--priority", "NORMAL:-GROUP-ALL:+GROUP-SECP384R1", "--x509cafile",
                    certificates.authority, "--require-client-cert",
                ])
            let own = ["--x509keyfile", certificates.key, "--x509certfile", certificates.certificate]
            let cases: [(server: GnuTLSServer, options: [String])] = [
                (server, ["--alpn", "h2"]), (server, ["--alpn", "h2", "--priority", Self.old]),
                (server, ["--resume", "--waitresumption"]), (server, ["--resume", "--priority", Self.old]),
                (other, own + ["--alpn", "h2"]), (other, own + ["--priority", Self.old]),
            ]
            let clients = try cases.map { try $0.server.connect($0.options) }
            let count = clients.reduce(0) { $0 + GnuTLSWords.of($1.output).count }
            #expect(count == 8)
            let pids = Set([server.pid, other.pid] + clients.map { Int($0.pid) })
            let all = try capture.finish(expecting: 2 * count) { pids.contains($0.pid ?? -1) }
            expectSane(all)
            #expect(all.count == 2 * count, "\(all)")
            for ((server, options), client) in zip(cases, clients) {
                let said = GnuTLSWords.of(client.output)
                let own = all.of(client.pid)
                try #require(own.count == said.count && !said.isEmpty, "\(client.output) \(client.errors)")
                for (number, (row, truth)) in zip(own, said).enumerated() {
                    #expect(row.isCompleted && row.isClient && row.stack == "gnutls", "\(row)")
                    #expect(row.tlsVersion == truth.version, "\(row)")
                    #expect(row.cipher?.contains(truth.cipher) == true, "\(row) \(truth)")
                    #expect(row.sni == "a.example", "\(row)")
                    #expect(row.socketConfidence == "exact", "\(row)")
                    let isResumed = number > 0
                    #expect(client.output.contains("This is a resumed session") == (said.count > 1))
                    #expect(row.resumed == isResumed, "\(row)")
                    if !isResumed { #expect(row.group == truth.group, "\(row) \(truth)") }
                    let offered = options.contains("--alpn")
                    #expect(client.output.contains("Application protocol: h2") == offered)
                    #expect(row.alpn == (offered ? "h2" : nil), "\(row)")
                    #expect((row.alpnNegotiation ?? 0 > 0) == offered, "\(row)")
                    // Shares are exchanged again by TLS 1.3 alone.
                    let hasExchange = !isResumed || truth.version == "TLSv1.3"
                    #expect((row.keyExchange ?? 0 > 0) == hasExchange, "\(row)")
                    #expect(row.clientCertificateRequested == !isResumed, "\(row)")

                    let peer = try #require(otherEnd(of: row, all), "\(row)")
                    #expect(peer.pid == server.pid && peer.isCompleted && peer.stack == "gnutls", "\(peer)")
                    #expect(peer.tlsVersion == row.tlsVersion && peer.cipher == row.cipher && peer.group == row.group)
                    #expect(peer.alpn == row.alpn && peer.sni == row.sni && peer.resumed == row.resumed, "\(peer)")
                    #expect(peer.helloRetryRequest == row.helloRetryRequest, "\(peer)")
                    #expect((peer.keyExchange ?? 0 > 0) == hasExchange, "\(peer)")
                    #expect(peer.socketConfidence == "exact", "\(peer)")
                    #expect((peer.busy ?? -1) >= 0 && (peer.peer ?? -1) >= 0, "\(peer)")
                    if options.contains("--x509keyfile") {
                        #expect(peer.clientCertificateGiven == true && peer.clientCertificateRequested == true)
                    } else if truth.version == "TLSv1.3", !isResumed {
                        // The client says "Successfully sent 0 certificate(s) to server".
                        #expect(peer.clientCertificateRequested == true && peer.clientCertificateGiven == false)
                    }
                }
            }
            // A server that wants another group asks again (TLS 1.3).
            let retried = all.of(other.pid).map(\.helloRetryRequest)
            #expect(retried == [true, nil])
        }

        @Test("OpenSSL's client agrees with GnuTLS's server")
        func opensslClient() throws {
            let certificates = try TestCertificates()
            let capture = try Capture(["--phases", "full"])
            let server = try GnuTLSServer(certificates, ["--alpn", "h2"])
            let options = ["-connect", "127.0.0.1:\(server.port)", "-servername", "b.example", "-alpn", "http/1.1,h2"]
            let clients = try [["-tls1_3"], ["-tls1_2"]].map {
                try ChildProcess.run("openssl", ["s_client"] + options + $0)
            }
            let all = try capture.finish(expecting: 2) { $0.pid == server.pid }
            try #require(all.count == 2, "\(all)")
            for (row, client) in zip(all.of(server.pid), clients) {
                // "New, TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384"
                let said = try #require(client.output.firstMatch(of: /New, (\S+), Cipher is (\S+)/)).output
                #expect(row.tlsVersion == String(said.1), "\(row)")
                if said.1 == "TLSv1.3" { #expect(row.cipher == String(said.2), "\(row)") }
                #expect(client.output.contains("ALPN protocol: h2") && row.alpn == "h2", "\(row)")
                #expect(client.output.contains("X25519") && row.group == "x25519", "\(row)")
                #expect(row.sni == "b.example" && row.isCompleted && row.isServer, "\(row)")
                #expect((row.finished ?? 0 > 0) == (said.1 == "TLSv1.3"), "\(row)")
                if let finished = row.finished { #expect(finished <= row.duration ?? 0) }
            }
        }

        @Test("Early data that were accepted: OpenSSL's client says so of the server, the client in its debug output")
        func earlyData() throws {
            let certificates = try TestCertificates()
            let directory = try TemporaryDirectory()
            let request = try directory.write("GET / HTTP/1.0\r\n\r\n", to: "request")
            let capture = try Capture(["--library", Machine.libgnutls])
            let server = try GnuTLSServer(certificates, ["--earlydata", "--maxearlydata", "16384"])
            let options = ["-connect", "127.0.0.1:\(server.port)", "-tls1_3", "-ign_eof"]
            let session = directory.file("session.pem")
            let input = Array("GET / HTTP/1.0\r\n\r\n".utf8)
            let first = try ChildProcess.run(
                "openssl", ["s_client", "-sess_out", session] + options, input: input)
            #expect(first.output.contains("Early data was not sent"), "\(first.errors)")
            let second = try ChildProcess.run(
                "openssl", ["s_client", "-sess_in", session, "-early_data", request] + options, input: input)
            #expect(second.output.contains("Early data was accepted"), "\(second.errors)")
            let client = try server.connect(
                ["--resume", "--waitresumption", "--earlydata", request, "--debug", "5"])
            let answers = client.errors.matches(of: /Parsing extension 'Early Data\/42'/).count
            #expect(answers == 1 && client.output.contains("This is a resumed session"), "\(client.errors)")

            let pids = Set([server.pid, Int(client.pid)])
            let all = try capture.finish(expecting: 6) { pids.contains($0.pid ?? -1) }
            expectSane(all)
            #expect(all.allSatisfy { $0.isCompleted && $0.tlsVersion == "TLSv1.3" }, "\(all)")
            #expect(all.of(server.pid).map(\.earlyData) == [nil, "accepted", nil, "accepted"], "\(all)")
            #expect(all.of(client.pid).map(\.earlyData) == [nil, "accepted"], "\(all)")
        }

        @Test("Failures: the alert that the application sends, the one that the peer sends, and the transport's end")
        func failures() throws {
            let certificates = try TestCertificates()
            let others = try TestCertificates()
            let capture = try Capture()
            let server = try GnuTLSServer(certificates, ["--alpn", "h2", "--alpn-fatal"])
            let new = try GnuTLSServer(
                certificates,
                [
                    "--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.3", "--x509cafile", certificates.authority,
                    "--require-client-cert",
                ])

            let protocols = try server.connect(["--alpn", "zz"])
            #expect((protocols.output + protocols.errors).contains("Received alert [120]"), "\(protocols.errors)")
            let untrusted = try GnuTLSServer.connect(port: server.port, authority: others.authority)
            let anonymous = try new.connect()
            #expect((anonymous.output + anonymous.errors).contains("[116]"), "\(anonymous.errors)")
            let old = try ChildProcess.run("openssl", ["s_client", "-connect", "127.0.0.1:\(new.port)", "-tls1_2"])
            #expect(old.errors.contains("SSL alert number 40"), "\(old.errors)")
            let refusing = try ChildProcess.run(
                "openssl",
                ["s_client", "-connect", "127.0.0.1:\(server.port)", "-tls1_2", "-verify_return_error"])
            #expect(refusing.errors.contains("verify error"), "\(refusing.errors)")
            let odd = try ChildProcess.run("python3", [script("odd_peer.py"), "\(server.port)"])
            #expect(odd.status == .exited(0), "\(odd.errors)")
            // The level and number of the alerts that it got.
            #expect(odd.output == "2 10\n2 50\n", "\(odd.output)")

            let pids = Set([server.pid, new.pid, Int(protocols.pid), Int(untrusted.pid), Int(anonymous.pid)])
            let all = try capture.finish(expecting: 11) { pids.contains($0.pid ?? -1) }
            expectSane(all)
            func told(_ row: SessionRow) -> [String] {
                [row.reason ?? "-", row.alertText]
            }
            #expect(all.of(protocols.pid).map(told) == [["no_application_protocol", "120 received"]])
            #expect(all.of(untrusted.pid).map(told) == [["bad_certificate", "42 sent"]])
            // TLS 1.3's client is done before its certificate is missed.
            #expect(all.of(anonymous.pid).map(\.outcome) == ["completed"])
            #expect(
                all.of(new.pid).map(told) == [
                    ["certificate_required", "116 sent"], ["handshake_failure", "40 sent"],
                ])
            #expect(
                all.of(server.pid).map(told) == [
                    ["no_application_protocol", "120 sent"], ["bad_certificate", "42 received"],
                    ["unknown_ca", "48 received"],
                    // What the script did.
                    ["unexpected_message", "10 sent"], ["decode_error", "50 sent"], ["connection_reset", "none"],
                ])
            #expect(all.allSatisfy { $0.socketConfidence == "exact" })
            // The name is known of what was refused, unless that came before it in the ClientHello.
            #expect(all.of(server.pid).dropFirst().first?.sni == "a.example")
        }

        @Test("A renegotiation is a session of its own on the same socket; key updates and closing alerts are none")
        func afterTheHandshake() throws {
            let certificates = try TestCertificates()
            let capture = try Capture()
            let server = try GnuTLSServer(certificates)
            let again = try server.connect(
                ["--inline-commands", "--priority", Self.old], input: "^renegotiate^\nGET / HTTP/1.0\r\n\r\n")
            #expect(again.output.contains("ReHandshake was completed"), "\(again.output)")
            let update = try server.connect(["--inline-commands"], input: "^rekey^\nGET / HTTP/1.0\r\n\r\n")
            #expect(update.output.contains("Rekey was completed"), "\(update.output)")
            let pids = Set([server.pid, Int(again.pid), Int(update.pid)])
            let all = try capture.finish(expecting: 6) { pids.contains($0.pid ?? -1) }
            expectSane(all)
            #expect(all.of(again.pid).count == 2 && all.of(update.pid).count == 1, "\(all)")
            #expect(all.of(server.pid).count == 3 && all.allSatisfy(\.isCompleted), "\(all)")
            for pid in [Int(again.pid), server.pid] {
                let pair = all.of(pid).prefix(2)
                #expect(
                    Set(pair.map { [$0.local, $0.remote] }).count == 1
                        && pair.allSatisfy { $0.socketConfidence == "exact" }, "\(pair)")
                #expect(pair.allSatisfy { ($0.keyExchange ?? .max) < $0.duration ?? 0 }, "\(pair)")
            }
        }

        @Test("wget, which asks until it is done, and a module without a stack protector, agree with their server")
        func programs() throws {
            let folder = try TLSBuild.cache() + "/python-av"
            try #require(FileManager.default.fileExists(atPath: folder), "\(folder): run `make deps`")
            let certificates = try TestCertificates()
            let found = try ChildProcess.run("find", [folder + "/av.libs", "-name", "libgnutls-*"])
            let library = try #require(found.output.split(separator: "\n").first.map(String.init))
            // The module is observed before it is loaded.
            let capture = try Capture([
                "--library", library, "--library", Machine.libgnutls, "--library", Machine.libssl,
            ])
            let server = try OpenSSLServer(certificates)
            let strict = try OpenSSLServer(
                certificates, ["-www", "-tls1_2", "-cipher", "ECDHE-ECDSA-ARIA256-GCM-SHA384"])
            let wget = try ChildProcess.run(
                "wget",
                [
                    "-q", "--no-config", "--no-proxy", "-O", "/dev/null", "--ca-certificate=" + certificates.authority,
                    "https://\(server.address)/",
                ])
            #expect(wget.status == .exited(0), "\(wget.errors)")
            let av = try ChildProcess.run(
                "/usr/bin/env",
                [
                    "PYTHONPATH=\(folder)", "PYTHONDONTWRITEBYTECODE=1", "python3.11", "-c",
                    // The page is no film; the other server has no cipher suite in common with it.
                    """
                    import av, sys
                    av.logging.set_level(av.logging.VERBOSE)
                    for address in sys.argv[1:]:
                        try: av.open(address)
                        except av.error.FFmpegError as error: print(error.log[2].split()[:2])
                    """,
                    "https://\(server.address)/", "https://\(strict.address)/",
                ], within: .seconds(60))
            #expect(av.output == "['Stream', 'ends']\n['A', 'TLS']\n", "\(av.output) \(av.errors)")
            #expect(av.errors.contains("A TLS fatal alert has been received"), "\(av.errors)")
            let pids = Set([server.pid, Int(wget.pid), Int(av.pid)])
            var all = try capture.finish(expecting: 5) { pids.contains($0.pid ?? -1) }
            expectSane(all)
            let refused = try #require(all.firstIndex { !$0.isCompleted }.map { all.remove(at: $0) }, "\(all)")
            #expect(refused.pid == Int(av.pid) && refused.stack == "gnutls" && refused.outcome == "failed")
            #expect(refused.alert == 40 && refused.alertDirection == "received", "\(refused)")
            for pid in [wget.pid, av.pid] {
                let row = try #require(all.of(pid).first, "\(all)")
                #expect(all.of(pid).count == 1 && row.isCompleted && row.stack == "gnutls", "\(all)")
                #expect(row.library == library || pid != av.pid, "\(row)")
                // The peer's library says the same.
                let peer = try #require(otherEnd(of: row, all), "\(row)")
                #expect(peer.stack == "openssl" && peer.tlsVersion == row.tlsVersion && peer.cipher == row.cipher)
                #expect(peer.group == row.group && peer.alpn == row.alpn && peer.sni == row.sni, "\(row) \(peer)")
                #expect(row.socketConfidence == "exact" && row.keyExchange ?? 0 > 0, "\(row)")
            }
        }
    }
}

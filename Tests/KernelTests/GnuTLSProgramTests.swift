import Foundation
import TestSupport
import Testing

extension KernelTests {
    /// Debian's programs that have their TLS from GnuTLS, held against their own words and their peers': each completed and refused.
    @Suite("Programs with GnuTLS") struct GnuTLSProgramTests {
        /// `openssl s_client`'s "New, TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384", its key exchange and its protocol.
        private func expect(
            _ row: SessionRow, asSaid client: Finished, sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let said = try #require(
                client.output.firstMatch(of: /New, (\S+), Cipher is (\S+)/), "\(client.errors)",
                sourceLocation: sourceLocation
            ).output
            let text = Comment(rawValue: "\(row) for \(client.output)")
            #expect(row.isCompleted && row.isServer && row.stack == "gnutls", text, sourceLocation: sourceLocation)
            #expect(row.tlsVersion == String(said.1), text, sourceLocation: sourceLocation)
            if said.1 == "TLSv1.3" { #expect(row.cipher == String(said.2), text, sourceLocation: sourceLocation) }
            #expect(client.output.contains("Server Temp Key: X25519") && row.group == "x25519", text)
            let alpn = client.output.firstMatch(of: /ALPN protocol: (\S+)/).map { String($0.output.1) }
            #expect(row.alpn == alpn, text, sourceLocation: sourceLocation)
            #expect(row.resumed == false && row.socketConfidence == "exact", text, sourceLocation: sourceLocation)
            #expect(row.keyExchange ?? 0 > 0 && row.peer != nil, text, sourceLocation: sourceLocation)
        }

        @Test("lighttpd, which does not block, by what its clients and its log say")
        func lighttpd() throws {
            let certificates = try TestCertificates()
            let capture = try Capture(["--library", Machine.libgnutls])
            let server = try Lighttpd(certificates, module: "mod_gnutls")
            let curl = try ChildProcess.run(
                "curl",
                ["-sSv", "--cacert", certificates.authority, "--resolve", "a.example:\(server.port):127.0.0.1"]
                    + ["--noproxy", "*", "https://a.example:\(server.port)/index.txt"])
            #expect(curl.output == "ok" && curl.errors.contains("ALPN: server accepted h2"), "\(curl.errors)")
            let one = try server.connect(["-alpn", "http/1.1", "-tls1_2"])
            let strange = try server.connect(["-alpn", "strange"])
            let odd = try script("odd_client.py")
            for how in ["pieces", "close", "half", "garbage"] {
                let done = try ChildProcess.run("python3", [odd, "\(server.port)", how])
                try #require(done.output.contains("done"), "\(done.errors)")
            }
            // It sends no alert when it refuses.
            for options in [
                ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], ["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"],
            ] {
                let refused = try server.connect(options)
                #expect(refused.errors.contains("unexpected eof"), "\(refused.errors)")
            }
            let refusing = try server.connect(["-tls1_2", "-verify_return_error"])
            #expect(refusing.errors.contains("certificate verify failed"), "\(refusing.errors)")

            let all = try capture.finish(expecting: 10) { $0.pid == server.pid }.inOrder
            expectSane(all)
            #expect(
                all.map(\.ending) == Array(repeating: ["completed", "-", "none"], count: 4) + [
                    ["failed", "peer_closed", "none"], ["failed", "unexpected_packet_length", "none"],
                    ["failed", "unexpected_packet", "none"], ["failed", "protocol_version", "none"],
                    ["failed", "handshake_failure", "none"], ["failed", "unknown_ca", "48 received"],
                ], "\(all)")
            try #require(all.count == 10)
            // As curl says: "SSL connection using TLSv1.3 / TLS_AES_256_GCM_SHA384".
            #expect(curl.errors.contains("using \(all[0].tlsVersion ?? "-") / \(all[0].cipher ?? "-")"))
            #expect(all[0].alpn == "h2" && all[0].sni == "a.example", "\(all[0])")
            try expect(all[1], asSaid: one)
            try expect(all[2], asSaid: strange)
            #expect(one.output.contains("ALPN protocol: http/1.1") && strange.output.contains("No ALPN negotiated"))
            // It waits for the Finished; for the ClientHello's second half, too.
            #expect(all[1].calls ?? 0 >= 2 && all[3].calls ?? 0 >= 3, "\(all)")
            #expect(all.prefix(4).allSatisfy { $0.alpn == nil || $0.alpnNegotiation ?? 0 > 0 }, "\(all)")
            // What it logs of its failures.
            #expect(all[7].libraryReason == "unsupported_version_packet" && all[8].libraryReason == "no_cipher_suites")
        }

        @Test("exim and rsyslog, as servers and as clients of themselves, by their logs and by openssl's client")
        func daemons() throws {
            let certificates = try TestCertificates()
            let capture = try Capture(["--library", Machine.libgnutls])
            let exim = try Exim(certificates)
            let mail = try exim.connect(["-servername", "a.example"])
            let unlike = ["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"]
            let refused = try exim.connect(unlike)
            #expect(refused.errors.contains("alert number 40"), "\(refused.errors)")
            let refusing = try exim.connect(["-tls1_2", "-verify_return_error"])
            #expect(refusing.errors.contains("certificate verify failed"), "\(refusing.errors)")
            try exim.deliver()

            let receiver = try Rsyslog(certificates)
            let sender = try Rsyslog(certificates, to: receiver.port)
            try sender.send("one message")
            let arrived = eventually { receiver.messages.contains("one message") }
            try #require(arrived, "\(receiver.child.situation) \(sender.child.situation)")
            let direct = try receiver.connect()
            let unable = try receiver.connect(unlike)
            #expect(unable.errors.contains("unexpected eof"), "\(unable.errors)")

            let ports = [exim.port, receiver.port].map { belongs(toPort: $0) }
            let all = try capture.finish(expecting: 9) { row in ports.contains { $0(row) } }.inOrder
            expectSane(all)
            #expect(all.allSatisfy { $0.stack == "gnutls" && $0.socketConfidence == "exact" }, "\(all)")

            let served = all.filter { $0.comm == "exim4" && $0.isServer }
            let delivered = all.filter { $0.comm == "exim4" && $0.isClient }
            try #require(served.count == 4 && delivered.count == 1, "\(all)")
            try expect(served[0], asSaid: mail)
            #expect(served[0].sni == "a.example", "\(served[0])")
            #expect(
                served[1...2].map(\.ending) == [
                    ["failed", "handshake_failure", "40 sent"], ["failed", "unknown_ca", "48 received"],
                ], "\(served)")
            #expect(exim.log.contains("(gnutls_handshake): No supported cipher suites have been found."), "\(exim.log)")
            #expect(served[1].libraryReason == "no_cipher_suites", "\(served[1])")
            // Both ends of the delivery: "X=TLS1.3:ECDHE_SECP256R1__ECDSA_SECP256R1_SHA256__AES_256_GCM:256".
            let words = exim.log.matches(of: /X=TLS(1\.\d):ECDHE_([A-Z0-9]+)__[A-Z0-9_]+__(AES_256_GCM):256/)
            #expect(words.count == 2, "\(exim.log)")
            for (row, said) in zip([delivered[0], served[3]], words) {
                #expect(row.isCompleted && row.tlsVersion == "TLSv" + said.output.1, "\(row)")
                #expect(row.group == said.output.2.lowercased(), "\(row)")
                #expect(row.cipher?.contains(said.output.3) == true, "\(row)")
            }
            #expect(delivered[0].local == served[3].remote && delivered[0].remote == served[3].local, "\(all)")

            let took = all.filter { $0.pid == receiver.pid }
            let sent = all.filter { $0.pid == sender.pid }
            try #require(took.count == 3 && sent.count == 1, "\(all)")
            #expect(sent[0].isCompleted && sent[0].isClient && took[0].isCompleted, "\(all)")
            #expect(sent[0].local == took[0].remote && sent[0].group == took[0].group, "\(all)")
            #expect(sent[0].tlsVersion == took[0].tlsVersion && sent[0].cipher == took[0].cipher, "\(all)")
            // openssl: "Acceptable client certificate CA names"; below TLS 1.3 GnuTLS's server does not tell.
            #expect(direct.output.contains("Acceptable client certificate CA names"), "\(direct.output)")
            #expect(sent[0].clientCertificateRequested == true, "\(sent[0])")
            try expect(took[1], asSaid: direct)
            #expect(took[2].ending == ["failed", "handshake_failure", "none"], "\(took)")
            let hasSaid = eventually {
                receiver.child.errors.text.contains("No supported cipher suites have been found")
            }
            #expect(hasSaid, "\(receiver.child.errors.text)")
        }

        @Test("git, wget and GLib's networking as clients, by what they and openssl's server say")
        func clients() throws {
            let certificates = try TestCertificates(names: ",DNS:localhost")
            let others = try TestCertificates()
            let capture = try Capture(["--library", Machine.libgnutls, "--library", Machine.libssl])
            let server = try OpenSSLServer(certificates, ["-www", "-alpn", "http/1.1"])
            let strict = try OpenSSLServer(certificates, ["-www", "-tls1_3", "-alpn", "strange"])
            func git(_ server: OpenSSLServer, _ authority: String) throws -> Finished {
                try ChildProcess.run(
                    "git", ["ls-remote", "https://localhost:\(server.port)/a.git"],
                    environment: ["GIT_SSL_CAINFO": authority, "GIT_CURL_VERBOSE": "1", "no_proxy": "*"])
            }
            func wget(_ server: OpenSSLServer, _ options: [String]) throws -> Finished {
                try ChildProcess.run(
                    "wget",
                    ["--no-config", "--no-proxy", "-O", "-", "--ca-certificate=" + certificates.authority] + options
                        + ["https://localhost:\(server.port)/"])
            }
            func gio(_ authority: String, _ protocols: [String]) throws -> Finished {
                try ChildProcess.run(
                    "/usr/bin/python3", [script("gio_tls.py"), "\(server.port)", authority] + protocols)
            }
            let cloned = try git(server, certificates.authority)
            #expect(cloned.errors.contains("ALPN: server accepted http/1.1"), "\(cloned.errors)")
            // The certificate is looked at when the handshake is over.
            let distrusting = try git(server, others.authority)
            #expect(distrusting.errors.contains("certificate verification failed"), "\(distrusting.errors)")
            let unserved = try git(strict, certificates.authority)
            #expect(unserved.errors.contains("gnutls_handshake() failed"), "\(unserved.errors)")
            // The page says how it was asked for.
            let page = try wget(server, [])
            #expect(page.output.contains("New, TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384"), "\(page.errors)")
            let old = try wget(strict, ["--ciphers=NORMAL:-VERS-ALL:+VERS-TLS1.2"])
            #expect(old.errors.contains("received alert [70]"), "\(old.errors)")
            let good = try gio(certificates.authority, ["h2", "http/1.1"])
            #expect(good.output == "tls-1-3 TLS_AES_256_GCM_SHA384 http/1.1\n", "\(good.output) \(good.errors)")
            let untrusted = try gio(others.authority, [])
            #expect(untrusted.output == "error: Unacceptable TLS certificate\n", "\(untrusted.output)")
            let alone = try gio(certificates.authority, ["h2"])
            #expect(alone.output.contains("No supported application protocol"), "\(alone.output)")

            let ports = [server.port, strict.port].map { belongs(toPort: $0) }
            let all = try capture.finish(expecting: 16) { row in ports.contains { $0(row) } }.inOrder
            expectSane(all)
            let clients = all.filter(\.isClient)
            let refused = ["failed", "no_application_protocol", "120 received"]
            #expect(
                clients.map(\.ending) == [
                    ["completed", "-", "none"], ["completed", "-", "none"], refused, ["completed", "-", "none"],
                    ["failed", "protocol_version", "70 received"], ["completed", "-", "none"],
                    ["failed", "bad_certificate", "none"], refused,
                ], "\(clients)")
            #expect(clients.map(\.alpn) == ["http/1.1", "http/1.1", nil, nil, nil, "http/1.1", nil, nil], "\(clients)")
            for row in clients {
                #expect(row.stack == "gnutls" && row.sni == "localhost" && row.socketConfidence == "exact", "\(row)")
                let peer = try #require(all.first { $0.isServer && $0.local == row.remote && $0.remote == row.local })
                #expect(peer.stack == "openssl" && peer.alpn == row.alpn && peer.group == row.group, "\(row) \(peer)")
                #expect(peer.cipher == row.cipher && peer.resumed == row.resumed, "\(row) \(peer)")
                // "New, TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384", "SSL connection using TLS1.3".
                guard row.isCompleted else { continue }
                #expect(row.tlsVersion == "TLSv1.3" && row.cipher == "TLS_AES_256_GCM_SHA384", "\(row)")
            }
        }
    }
}

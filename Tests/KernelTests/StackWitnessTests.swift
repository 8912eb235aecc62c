import Foundation
import TestSupport
import Testing

extension KernelTests {
    /// What tshark reads in the packets of each stack's handshakes, against what is told of them.
    @Suite("Every stack against its packets") struct StackWitnessTests {
        /// One connection, by tshark, which has the keys.
        private struct Packets {
            var version: String?
            var cipher: String?
            var alpn: String?
            var sni: String?
            var certificates = 0
            var retries = 0
        }

        private static let ciphers = [
            "0x1301": "TLS_AES_128_GCM_SHA256", "0x1302": "TLS_AES_256_GCM_SHA384",
            "0x1303": "TLS_CHACHA20_POLY1305_SHA256", "0xc02b": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            "0xc02c": "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            "0xcca9": "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        ]
        private static let versions = ["0x0303": "TLSv1.2", "0x0304": "TLSv1.3"]
        /// The random of a ServerHello that is a HelloRetryRequest (RFC 8446 section 4.1.3).
        private static let retry = "cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c"

        private static let fields = [
            "tcp.srcport", "tcp.dstport", "tls.handshake.type", "tls.handshake.random", "tls.handshake.version",
            "tls.handshake.extensions.supported_version", "tls.handshake.ciphersuite",
            "tls.handshake.extensions_alpn_str", "tls.handshake.extensions_server_name",
        ]

        /// By the client's port.
        private func packets(_ file: String, keys: String, servers: Set<Int>) throws -> [Int: Packets] {
            let read = try ChildProcess.run(
                "tshark",
                ["-r", file, "-o", "tls.keylog_file:" + keys, "-T", "fields"] + Self.fields.flatMap { ["-e", $0] }
                    + servers.flatMap { ["-d", "tcp.port==\($0),tls"] })
            try #require(read.status == .exited(0), "\(read.errors)")
            return read.output.split(separator: "\n").reduce(into: [:]) { connections, line in
                let parts = line.split(separator: "\t", omittingEmptySubsequences: false).map { part in
                    part.split(separator: ",").map(String.init)
                }
                guard parts.count == Self.fields.count, let from = parts[0].first.flatMap({ Int($0) }),
                    let to = parts[1].first.flatMap({ Int($0) })
                else { return }
                guard servers.contains(from) else {
                    var client = connections[from] ?? Packets()
                    client.sni = client.sni ?? parts[8].first
                    connections[from] = client
                    return
                }
                var client = connections[to] ?? Packets()
                client.certificates += parts[2].count { $0 == "11" }
                client.retries += parts[3].count { $0.replacing(":", with: "") == Self.retry }
                client.version = parts[5].last ?? client.version ?? parts[4].last
                client.cipher = parts[6].last ?? client.cipher
                client.alpn = parts[7].last ?? client.alpn
                connections[to] = client
            }
        }

        @Test("Version, cipher, server name, ALPN, resumption and HelloRetryRequest are those in the packets")
        func facts() throws {
            let certificates = try TestCertificates()
            let programs = try StackPrograms(certificates)
            let directory = try TemporaryDirectory()
            let keys = directory.file("keys")
            let granian = try Granian(certificates)
            let servers = try StackPrograms.Stack.allCases.map {
                ($0.rawValue, try programs.server($0, connections: 3))
            }
            let named = servers.map { (name: $0.0, port: $0.1.port) } + [(name: "rustls", port: granian.port)]
            let openSSL = try OpenSSLServer(
                certificates, ["-www", "-alpn", "http/1.1", "-groups", "P-384", "-keylogfile", keys])
            let ports = Set(named.map { $0.port } + [openSSL.port])
            let file = directory.file("packets.pcapng")
            let filter = ports.map { "tcp port \($0)" }.joined(separator: " or ")
            let sniffer = try ChildProcess(
                "tshark", ["-i", "lo", "-f", filter, "-w", file, "-q", "--no-promiscuous-mode"])
            try sniffer.waitForLine(in: sniffer.errors) { $0.contains("Capturing on") }
            // Until its filter is in place tshark sees nothing: the first connections show that it does.
            let odd = try script("odd_client.py")
            try #require(
                try eventually {
                    _ = try ChildProcess.run("python3", [odd, "\(openSSL.port)", "close"])
                    return ((try? FileManager.default.attributesOfItem(atPath: file)[.size]) as? Int ?? 0) > 500
                })
            // Packets tell rustls's sockets.
            let capture = try Capture(["--wire", "all"])
            let stacks = Set(named.map { $0.name })

            var count = 0
            for (name, port) in named {
                let options = ["s_client", "-connect", "127.0.0.1:\(port)", "-keylogfile", keys, "-alpn", "http/1.1"]
                let asked = ["-servername", "a.example"]
                let session = directory.file(name)
                let first = try ChildProcess(
                    "openssl", options + asked + ["-sess_out", session, "-ign_eof"],
                    input: Array("GET / HTTP/1.0\r\n\r\n".utf8))
                let ticket = try SessionTicket.copy(of: session, in: directory, from: first)
                first.stop()
                let again = try ChildProcess.run("openssl", options + asked + ["-sess_in", ticket])
                #expect(again.output.contains("Reused"), "\(name): \(again.output) \(again.errors)")
                // Nobody's first choice.
                _ = try ChildProcess.run("openssl", options + ["-noservername", "-groups", "X448:P-256"])
                count += 3
            }
            for stack in StackPrograms.Stack.allCases where stack != .s2n {
                _ = try programs.client(stack, port: openSSL.port).wait()
            }
            // It waits for an answer that this server does not give.
            let last = try programs.client(.s2n, port: openSSL.port)
            count += StackPrograms.Stack.allCases.count

            let all = try capture.finish(expecting: count) {
                stacks.contains($0.stack ?? "-")
                    && ports.contains(SessionRow.port($0.isServer ? $0.local : $0.remote) ?? 0)
            }
            // What it has not written yet when it is stopped is lost; until then its file may end in the middle of a packet.
            let clients = all.compactMap { SessionRow.port($0.isServer ? $0.remote : $0.local) }
            var seen: [Int: Packets] = [:]
            _ = eventually {
                seen = (try? packets(file, keys: keys, servers: ports)) ?? [:]
                return clients.allSatisfy { seen[$0]?.version != nil }
            }
            last.stop(SIGKILL)
            sniffer.stop(SIGINT)
            expectSane(all)
            #expect(all.count == count && all.allSatisfy(\.isCompleted), "\(all)")
            for row in all {
                let truth = try #require(
                    SessionRow.port(row.isServer ? row.remote : row.local).flatMap { seen[$0] }, "\(row)")
                let text = Comment(rawValue: "\(row) \(truth)")
                #expect(row.tlsVersion == truth.version.flatMap { Self.versions[$0] }, text)
                #expect(row.cipher == truth.cipher.flatMap { Self.ciphers[$0] }, text)
                #expect(row.alpn == truth.alpn, text)
                #expect(row.resumed == (truth.certificates == 0), text)
                // What a stack does not tell is absent.
                #expect(row.sni == nil || row.sni == truth.sni, text)
                #expect(row.helloRetryRequest == nil || row.helloRetryRequest == (truth.retries > 0), text)
            }
            #expect(all.count { $0.resumed == true } == 6 && Set(all.map(\.stack)).count == 6, "\(all)")
            #expect(Set(all.filter { $0.helloRetryRequest == true }.map(\.stack)) == ["gnutls", "s2n", "rustls"])
            // No server of NSS's or Mbed TLS's that is here tells the name.
            let unnamed = Set(
                all.filter { $0.isServer && $0.sni == nil && seen[SessionRow.port($0.remote) ?? 0]?.sni != nil }.map(
                    \.stack))
            #expect(unnamed == ["nss", "mbedtls"])
            withExtendedLifetime(servers) {}
        }
    }
}

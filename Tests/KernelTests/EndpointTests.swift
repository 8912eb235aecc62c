import Foundation
import TestSupport
import Testing

extension KernelTests {
    /// What peers of the HTTP endpoint do must not reach the measuring.
    @Suite("Peers of the daemon's endpoint") struct EndpointTests {
        @Test("Under slow senders, silent connections and ten scrapers every handshake is counted and nothing is lost")
        func slowPeersCostNoHandshake() throws {
            let certificates = try TestCertificates()
            let nginx = try Nginx(certificates)
            let daemon = try Daemon()
            let server = ["role": "server", "outcome": "completed"]
            let before = try daemon.metrics()
            let load = try ChildProcess("python3", [script("endpoint-load.py"), "\(daemon.port)"])
            try load.waitForLine(in: load.output) { $0 == "loaded" }
            _ = try Curl.get(count: 100, port: nginx.port, authority: certificates.authority)
            let wanted = before.sum("tlswatch_handshakes_total", server) + 100
            let metrics = try daemon.quietMetrics {
                $0.sum("tlswatch_handshakes_total", server) >= wanted && Books($0).balance
            }
            #expect(metrics.sum("tlswatch_handshakes_total", server) == wanted)
            expectConservation(metrics)
            for reason in ["ring_full", "no_memory"] {
                #expect(metrics.sum("tlswatch_events_dropped_total", ["reason": reason]) == 0, "\(reason)")
            }
            load.signal(SIGTERM)
            let counts = try load.wait().output.split(separator: "\n").last?.split(separator: " ").compactMap {
                Int($0)
            }
            let (served, refused) = (counts?.first ?? 0, counts?.last ?? -1)
            #expect(served >= 10, "\(load.output.text)")
            #expect(refused == 0, "\(load.output.text)")
            #expect(metrics.sum("tlswatch_http_requests_rejected_total", ["reason": "busy"]) == 0)
        }

        @Test("A web configuration that cannot be used ends the daemon with 65, and says where it is wrong")
        func wrongConfiguration() throws {
            let directory = try TemporaryDirectory()
            let file = try directory.write("tls_server_config:\n  cert_filse: a\n", to: "web.yml")
            let result = try Tlswatch.run(["run", "--web.config.file", file])
            #expect(result.status == .exited(65))
            #expect(result.errors.contains("\(file):2: tls_server_config.cert_filse: unknown key"), "\(result.errors)")
        }

        @Test("The log has the address in full, numbers as numbers, and a warning where everybody can read")
        func anExposedAddressIsWarnedOf() throws {
            for (host, isExposed) in [("127.0.0.1", false), ("0.0.0.0", true)] {
                let daemon = try ChildProcess(
                    Tlswatch.binary(), ["run", "--listen", "\(host):0", "--log-format", "json"])
                defer { daemon.stop(SIGTERM) }
                let port = try FreePort.ofDaemon(daemon)
                #expect(FreePort.isListening(port))
                _ = try daemon.waitForLine(in: daemon.errors) { $0.contains("library observed") }
                #expect(daemon.stop() == .exited(0))
                let lines = daemon.errors.lines
                #expect(lines.contains { $0.contains(#""address":"\#(host):\#(port)""#) }, "\(lines)")
                #expect(lines.contains { $0.contains("beyond loopback without TLS or passwords") } == isExposed)
                let attached = try #require(lines.first { $0.contains(#""message":"attached""#) })
                #expect(attached.contains(/"libraries":\d+[,}]/), "\(attached)")
                #expect(lines.contains { $0.contains(/"probes":\d+[,}]/) }, "\(lines)")
            }
        }

        @Test("The daemon serves TLS to those with a password")
        func theDaemonServesTLSWithPasswords() throws {
            let certificates = try TestCertificates()
            let directory = try TemporaryDirectory()
            let file = try directory.write(
                """
                tls_server_config: {cert_file: \(certificates.certificate), key_file: \(certificates.key)}
                basic_auth_users: {scraper: $2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW}
                """, to: "web.yml")
            let daemon = try ChildProcess(
                Tlswatch.binary(), ["run", "--listen", "127.0.0.1:0", "--web.config.file", file])
            defer { daemon.stop(SIGTERM) }
            let port = try FreePort.ofDaemon(daemon)
            func status(_ options: [String]) throws -> String {
                try ChildProcess.run(
                    "curl",
                    ["-q", "--noproxy", "*", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "20"]
                        + ["--cacert", certificates.authority] + options + ["https://127.0.0.1:\(port)/metrics"]
                ).output
            }
            #expect(try status(["-u", "scraper:secret"]) == "200")
            #expect(try status(["-u", "scraper:wrong"]) == "401")
            #expect(try status([]) == "401")
        }
    }
}

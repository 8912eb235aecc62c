import Foundation
import TestSupport
import Testing

extension KernelTests {
    @Suite("Export by OTLP") struct OTLPTests {
        @Test("A collector is told the counts of /metrics, and a span at either end of a handshake that failed")
        func isTold() throws {
            let certificates = try TestCertificates()
            let nginx = try Nginx(certificates)
            let collector = try OTLPCollector()
            let daemon = try Daemon(["--otlp", "http://127.0.0.1:\(collector.port)", "--otlp-interval", "1s"])
            _ = try Curl.get(count: 3, port: nginx.port, authority: certificates.authority)
            let refused = try Curl.get(port: nginx.port, authority: nil)
            #expect(refused.status == .exited(60))

            func ofRefused(_ name: String) -> [[String: String]] {
                collector.requests.flatMap(\.spans).filter { $0["name"] as? String == "tls.handshake" }
                    .map { OTLPCollector.Request.attributes($0) }
                    .filter {
                        "\($0["network.\(name).address"] ?? ""):\($0["network.\(name).port"] ?? "")" == refused.local
                    }
            }
            #expect(eventually { !ofRefused("local").isEmpty && !ofRefused("peer").isEmpty })
            let client = try #require(ofRefused("local").first)
            #expect(client["process.pid"] == "\(refused.pid)" && client["tlswatch.comm"] == "curl")
            let server = try #require(ofRefused("peer").first)
            #expect(server["tlswatch.comm"] == "nginx")
            for side in [client, server] {
                #expect(side["error.type"] == "unknown_ca" && side["tls.established"] == "false")
                #expect(side["server.address"] == "a.example")
            }
            let failed = ["role": "server", "outcome": "failed"]
            let scraped = try daemon.quietMetrics { $0.sum("tlswatch_handshakes_total", failed) >= 1 }
            daemon.child.signal(SIGTERM)
            #expect(try daemon.child.wait().status == .exited(0))

            // The last request is of the end: it has what the last scrape had.
            let requests = collector.requests
            #expect(requests.allSatisfy { $0.error == nil })
            let last = try #require(requests.last { $0.path == "/v1/metrics" })
            let counted = try #require(last.metric("tlswatch_handshakes_total")?["sum"] as? [String: Any])
            let points = try #require(counted["dataPoints"] as? [[String: Any]])
            for outcome in ["completed", "failed"] {
                let sum = points.filter {
                    let labels = OTLPCollector.Request.attributes($0)
                    return labels["role"] == "server" && labels["outcome"] == outcome
                }.reduce(0) { $0 + (Int($1["asInt"] as? String ?? "") ?? 0) }
                #expect(
                    Double(sum) == scraped.sum("tlswatch_handshakes_total", ["role": "server", "outcome": outcome]),
                    "\(outcome)")
            }
            #expect(scraped.sum("tlswatch_otlp_spans_total", ["result": "delivered"]) >= 2)
        }

        @Test("A collector that hangs keeps nobody from measuring, and the daemon from no end") func hangs() throws {
            let certificates = try TestCertificates()
            let nginx = try Nginx(certificates)
            let collector = try OTLPCollector(["hang"])
            let daemon = try Daemon(["--otlp", "http://127.0.0.1:\(collector.port)", "--otlp-interval", "1s"])
            #expect(eventually { !collector.requests.isEmpty })
            _ = try Curl.get(count: 3, port: nginx.port, authority: certificates.authority)
            _ = try daemon.quietMetrics { $0.sum("tlswatch_handshakes_total", ["role": "server"]) >= 3 }
            daemon.child.signal(SIGTERM)
            #expect(try daemon.child.wait().status == .exited(0))
        }
    }
}

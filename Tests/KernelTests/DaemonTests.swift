import Foundation
import HandshakeProbe
import Handshakes
import TestSupport
import Testing

extension KernelTests {
    @Suite("The daemon") struct DaemonTests {
        @Test("After fifty handshakes the daemon's counts are fifty and every hit is accounted for")
        func fiftyHandshakesAreCountedAsFifty() throws {
            let certificates = try TestCertificates()
            let nginx = try Nginx(certificates)
            let daemon = try Daemon()
            let before = try daemon.metrics()
            _ = try Curl.get(count: 50, port: nginx.port, authority: certificates.authority, ["--http2"])
            let server = ["role": "server", "stack": "openssl"]
            let wanted = before.sum("tlswatch_handshakes_total", server) + 50
            let metrics = try daemon.quietMetrics {
                $0.sum("tlswatch_handshakes_total", server) >= wanted && Books($0).balance
            }
            #expect(metrics.sum("tlswatch_handshakes_total", server) == wanted)
            #expect(metrics.sum("tlswatch_handshakes_total", server.merging(["outcome": "completed"]) { $1 }) >= 50)
            #expect(
                metrics.sum("tlswatch_handshakes_total", ["role": "client"])
                    - before.sum("tlswatch_handshakes_total", ["role": "client"]) >= 50)
            expectConservation(metrics)
            expectFigures(metrics)
            expectCatalogue(metrics)
            #expect(try daemon.get("/healthz").status == 200)
            #expect(try daemon.get("/readyz").status == 200)
            #expect(try daemon.get("/").status == 200)
            #expect(try daemon.get("/nothing-there").status == 404)
            daemon.child.signal(SIGINT)
            #expect(try daemon.child.wait().status == .exited(0))
        }

        /// What the catalogue has is served, and nothing else is.
        private func expectCatalogue(_ metrics: Metrics) {
            let told = Set(
                metrics.text.split(separator: "\n").filter { $0.hasPrefix("# TYPE ") }.compactMap {
                    $0.split(separator: " ").dropFirst(2).first.map(String.init)
                })
            // Of packets there is nothing to tell without --wire, of a collector without --otlp.
            let asked = ["tlswatch_wire_", "tlswatch_otlp_"]
            let wanted = Set(
                MetricCatalogue.all.map(\.name).filter { name in !asked.contains { name.hasPrefix($0) } })
            #expect(told == wanted, "\(told.symmetricDifference(wanted).sorted())")
            let began = metrics.sum("process_start_time_seconds")
            #expect(abs(began - Date().timeIntervalSince1970) < 600)
        }

        private func expectFigures(_ metrics: Metrics) {
            for role in ["server", "client"] {
                let quantile = metrics.all("tlswatch_handshake_window_seconds", ["role": role, "quantile": "0.99"])
                #expect(quantile.contains { $0.value > 0 && $0.value < 60 }, "P99 of \(role)")
                #expect(metrics.sum("tlswatch_handshake_window_sessions", ["role": role]) >= 50)
                let share = metrics.all("tlswatch_alpn_share_ratio", ["role": role])
                #expect(share.contains { $0.value > 0 && $0.value <= 1 }, "ALPN share of \(role)")
                let failures = metrics.all("tlswatch_key_exchange_failure_ratio", ["role": role])
                #expect(failures.contains { $0.value == 0 }, "key-exchange failure ratio of \(role)")
                #expect(metrics.sum("tlswatch_key_exchanges_total", ["role": role]) >= 50)
                #expect(metrics.sum("tlswatch_handshake_duration_seconds_count", ["role": role]) >= 50)
            }
            let parameters = ["role": "server", "tls_version": "TLSv1.3", "alpn": "h2", "group": "x25519"]
            #expect(metrics.sum("tlswatch_handshake_parameters_total", parameters) >= 50)
            #expect(!metrics.all("tlswatch_build_info").isEmpty)
        }

        @Test("promtool is content with the metrics before and after traffic")
        func promtoolAcceptsTheMetrics() throws {
            let certificates = try TestCertificates()
            let nginx = try Nginx(certificates)
            let daemon = try Daemon()
            let directory = try TemporaryDirectory()
            for count in [0, 3] {
                _ = try Curl.get(count: count, port: nginx.port, authority: certificates.authority)
                let metrics = try daemon.quietMetrics {
                    $0.sum("tlswatch_handshakes_total", ["role": "server"]) >= Double(count)
                }
                let file = try directory.write(metrics.text, to: "metrics-\(count).txt")
                // promtool reads its standard input only.
                let check = try ChildProcess.run("sh", ["-c", "promtool check metrics <\"$1\"", "sh", file])
                #expect(check.status == .exited(0), "\(check.output)\(check.errors)")
                #expect(check.output.isEmpty, "\(check.output)\(check.errors)")
                #expect(check.errors.isEmpty, "\(check.output)\(check.errors)")
            }
        }

        /// Reads standard input strictly; prints the families with samples.
        private static let strictParser = """
            import sys
            from prometheus_client.openmetrics.parser import text_string_to_metric_families
            for family in text_string_to_metric_families(sys.stdin.read()):
                if family.samples:
                    print(family.name, family.type, family.unit)
            """

        @Test("Each format is what its own strict parser reads; gzip and HEAD are served")
        func everyFormatIsServed() throws {
            let certificates = try TestCertificates()
            let nginx = try Nginx(certificates)
            let daemon = try Daemon()
            _ = try Curl.get(count: 3, port: nginx.port, authority: certificates.authority)
            _ = try daemon.quietMetrics { $0.sum("tlswatch_handshakes_total", ["role": "server"]) >= 3 }
            let url = "http://127.0.0.1:\(daemon.port)/metrics"
            func curl(_ options: [String]) throws -> String {
                let result = try ChildProcess.run(
                    "curl", ["-q", "--noproxy", "*", "-sS", "--max-time", "10"] + options + [url])
                #expect(result.status == .exited(0), "\(result.errors)")
                return result.output
            }
            let directory = try TemporaryDirectory()
            let open = "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
            let text = try directory.write(curl(["-H", open]), to: "open.txt")
            let parsed = try ChildProcess.run(
                "sh",
                [
                    "-c", "PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=\"$1\" python3 -c \"$2\" <\"$3\"", "sh",
                    TLSBuild.cache() + "/python-prometheus", Self.strictParser, text,
                ])
            #expect(parsed.status == .exited(0), "\(parsed.errors.suffix(600))")
            #expect(parsed.output.contains("tlswatch_handshakes counter"), "\(parsed.output.prefix(600))")
            #expect(
                try String(contentsOfFile: text, encoding: .utf8).contains("\ntlswatch_handshakes_created{"),
                "counters tell since when they count")
            #expect(parsed.output.contains("tlswatch_handshake_duration_seconds histogram seconds"))
            for (accept, type) in [
                (open, "application/openmetrics-text; version=1.0.0"), ("Accept: */*", "text/plain; version=0.0.4"),
                ("Accept: text/plain;version=1.0.0", "text/plain; version=1.0.0"),
            ] {
                let head = try curl(["-I", "-H", accept]).lowercased()
                #expect(head.contains("200"), "\(head)")
                #expect(head.contains("content-type: \(type)"), "\(head)")
            }
            #expect(try curl(["-I", "-H", "Accept-Encoding: gzip"]).lowercased().contains("content-encoding: gzip"))
            #expect(!(try curl(["-I", "-H", "Accept-Encoding: gzip;q=0"])).lowercased().contains("content-encoding"))
            // curl unpacks what it asked for; promtool reads it.
            let unpacked = try directory.write(curl(["--compressed"]), to: "plain.txt")
            let check = try ChildProcess.run("sh", ["-c", "promtool check metrics <\"$1\"", "sh", unpacked])
            #expect(check.status == .exited(0), "\(check.output)\(check.errors)")
            #expect(check.errors.isEmpty, "\(check.output)\(check.errors)")
        }

        @Test("The key-exchange failure ratio and the reasons of failures reach the metrics")
        func failuresReachTheMetrics() throws {
            let server = try OpenSSLServer(TestCertificates(), ["-www", "-alpn", "http/1.1"])
            let daemon = try Daemon()
            for _ in 0..<4 { _ = try server.connect(["-alpn", "h2"]) }
            let failed = ["role": "server", "outcome": "failed", "reason": "no_application_protocol"]
            let metrics = try daemon.quietMetrics {
                $0.sum("tlswatch_handshakes_total", failed) >= 4 && Books($0).balance
            }
            #expect(metrics.sum("tlswatch_handshakes_total", failed) == 4)
            // They failed after the server had read the ClientHello: inside its key-exchange phase.
            #expect(metrics.sum("tlswatch_key_exchanges_total", ["role": "server", "result": "failure"]) >= 4)
            let ratio = metrics.all("tlswatch_key_exchange_failure_ratio", ["role": "server"])
            #expect(ratio.contains { $0.value > 0 && $0.value <= 1 }, "\(ratio)")
            expectConservation(metrics)
        }

        @Test("A port in use is a clear message and leaves nothing attached")
        func portTaken() throws {
            let listener = try SilentListener()
            let result = try Tlswatch.run(["run", "--listen", "127.0.0.1:\(listener.port)"])
            guard case .exited(let status) = result.status else {
                Issue.record("ended by a signal: \(result.status)")
                return
            }
            #expect(status != 0)
            #expect(result.errors.contains("\(listener.port)"), "\(result.errors)")
            #expect(result.errors.contains("use"), "\(result.errors)")
        }
    }
}

import Foundation
import TestSupport
import Testing

@testable import HandshakeProbe
@testable import Handshakes

/// How the figures fare in a real Prometheus, which scrapes, stores and evaluates this project's rules.
extension KernelTests {
    @Suite("Prometheus") struct PrometheusTests {
        @Test(
            "Prometheus's P99 of real handshakes is the daemon's own",
            arguments: [Prometheus.Histograms.classic, .native])
        func prometheusReadsTheDaemonsOwnQuantile(_ histograms: Prometheus.Histograms) throws {
            let certificates = try TestCertificates()
            let nginx = try Nginx(certificates)
            // Others on this host make handshakes too.
            let daemon = try Daemon(["--window", "10m", "--label", "local_port"])
            let prometheus = try Prometheus([daemon.port], histograms)
            let mine = #"{role="server",local_port="\#(nginx.port)"}"#
            let count = Self.count(histograms, mine)
            func request(_ number: Int) throws {
                _ = try Curl.get(count: number, port: nginx.port, authority: certificates.authority)
            }
            // The first one makes the series: a rate is of what comes after.
            try request(1)
            #expect(try eventually { try prometheus.value(count) == 1 })
            try request(39)
            #expect(try eventually { try prometheus.value(count) == 40 })

            let window = try daemon.metrics().all(
                "tlswatch_handshake_window_seconds",
                ["role": "server", "local_port": "\(nginx.port)", "quantile": "0.99"])
            let own = try #require(window.first?.value)
            let stored = try #require(try prometheus.value(Self.quantile(histograms, mine)))
            switch histograms {
            case .classic: #expect(Self.bucket(stored) == Self.bucket(own), "\(stored) and \(own)")
            case .native: #expect(abs(stored / own - 1) <= 0.011, "\(stored) and \(own)")
            }
            try expectRules(prometheus)
            try expectPanels(prometheus)

            daemon.child.stop()
            #expect(try eventually { try prometheus.value(#"up{job="tlswatch"}"#) == 0 })
            #expect(
                try eventually { try prometheus.query(#"ALERTS{alertname="TLSWatchDown"}"#).count == 1 },
                "an alert is pending for a daemon that is gone")
        }

        @Test("The first failures of a kind are in rate() and increase(): their series were there before, at 0")
        func firstFailures() throws {
            let certificates = try TestCertificates()
            let directory = try TemporaryDirectory()
            let copy = try LibraryCopy(into: directory.path)
            let server = try AnyServer(certificates)
            // Of this library alone: others on this host make handshakes too.
            let daemon = try Daemon(["--library", copy.libssl])
            let prometheus = try Prometheus([daemon.port])
            let failures = #"tlswatch_handshakes_total{role="client",outcome="failed",reason="unknown_ca"}"#
            try #require(try eventually { try prometheus.value("count_over_time(\(failures)[1m])") ?? 0 >= 2 })
            #expect(try prometheus.value("max_over_time(\(failures)[1m])") == 0)
            for _ in 0..<5 {
                let refused = try ChildProcess.run(
                    "openssl", ["s_client", "-connect", "127.0.0.1:\(server.port)", "-verify_return_error"],
                    environment: copy.environment)
                try #require(refused.errors.contains("verify error"), "\(refused.errors)")
            }
            #expect(
                try eventually { try daemon.metrics().sum("tlswatch_handshakes_total", ["reason": "unknown_ca"]) == 5 })
            // What Prometheus makes of it nears 5 as more samples come: it extrapolates to the ends of the range.
            let increase = "sum(increase(\(failures)[1m]))"
            var last: Double?
            let counted = try eventually {
                last = try prometheus.value(increase)
                return last.map { $0.rounded() == 5 } ?? false
            }
            #expect(counted, "\(last ?? 0)")
            #expect(try prometheus.value("sum(rate(\(failures)[1m]))") ?? 0 > 0)
            let exchanges = #"tlswatch_key_exchanges_total{role="client",result="failure"}"#
            #expect(try prometheus.value("count(\(exchanges))") ?? 0 >= 7)
            server.stop()
        }

        private func expectRules(_ prometheus: Prometheus) throws {
            let rate = try #require(try prometheus.evaluated(#"role:tlswatch_handshakes:rate5m{role="server"}"#))
            #expect(rate > 0)
            let quantile = #"instance_role:tlswatch_handshake_duration_seconds:p99_5m{role="server"}"#
            let host = try #require(try prometheus.evaluated(quantile))
            #expect(host > 0)
            #expect(host < 60)
            let ratio = #"role:tlswatch_handshake_failures:ratio_rate5m{role="server"}"#
            #expect(try prometheus.evaluated(ratio).map { (0...1).contains($0) } == true)
            #expect(try prometheus.query(#"ALERTS{alertname=~"TLSWatchDown|TLSWatchAbsent"}"#).isEmpty)
            let rules = try prometheus.rulesText()
            #expect(rules.contains(#""health":"ok""#), "\(rules)")
            // Prometheus 2.42 holds the sum of a histogram's buckets against its count, both rates, to the last bit.
            let errors = rules.matches(of: /"lastError":"([^"]+)"/).map { String($0.output.1) }
            #expect(
                errors.allSatisfy { $0.contains("observations found in buckets, but the Count field is") }, "\(errors)")
        }

        /// The dashboard's queries are answered, and those that traffic fills are not empty.
        private func expectPanels(_ prometheus: Prometheus) throws {
            struct Dashboard: Decodable {
                struct Panel: Decodable {
                    struct Target: Decodable { var expr: String }
                    var title: String
                    var targets: [Target]?
                }
                var panels: [Panel]
            }
            let file = URL(fileURLWithPath: Prometheus.rules + "/dashboard.json")
            var filled: Set<String> = []
            for panel in try JSONDecoder().decode(Dashboard.self, from: Data(contentsOf: file)).panels {
                for target in panel.targets ?? [] {
                    let expression = target.expr.replacing("$__rate_interval", with: "5m")
                        .replacing(/\$[a-z_]+/, with: ".*")
                    if try !prometheus.query(expression).isEmpty { filled.insert(panel.title) }
                }
            }
            let wanted: Set = [
                "Handshakes per second", "P99, fleet", "Failure ratio", "Hosts down", "Handshakes by outcome",
                "Duration, fleet", "P99 by host", "Durations", "Busy", "Key exchange", "TCP connect",
                "First TLS record", "ALPN negotiation", "ALPN share", "TLS versions", "Cipher suites", "Groups",
                "ALPN", "Post-quantum share", "Resumption", "By TLS stack", "Processes", "CPU of tlswatch",
                "Memory of tlswatch", "Scrape", "Probe hits", "Versions",
            ]
            #expect(filled.isSuperset(of: wanted), "empty: \(wanted.subtracting(filled))")
        }

        @Test(
            "Fifty daemons in two regions: the fleet's P99 is that of all handshakes, the mean of the hosts' P99s is not",
            arguments: [Prometheus.Histograms.classic, .native])
        func aFleetsQuantileIsOfAllHandshakes(_ histograms: Prometheus.Histograms) throws {
            let directory = try TemporaryDirectory()
            let ports = try (0..<50).map { _ in try FreePort() }
            let global = try Prometheus([], histograms)
            // Neither region has the fleet's figure: one has none of the slow hosts.
            let regions = try [ports[..<25], ports[25...]].enumerated().map { number, ports in
                try Prometheus(ports.map(\.number), histograms, region: "\(number)", global: global.port)
            }
            var told: [String: [UInt64]] = [:]
            var daemons: [ReplayDaemon] = []
            for (host, port) in ports.enumerated() {
                let file = directory.file("\(host)")
                let durations = Self.durations(host)
                // Nine seconds for all of them, however many.
                told["127.0.0.1:\(port.number)"] = try SyntheticRecording.write(
                    durations, every: 9_000_000_000 / UInt64(durations.count), to: file)
                daemons.append(try ReplayDaemon(file, on: port))
            }
            let all = told.values.flatMap { $0 }
            let total = "sum(\(Self.count(histograms, #"{role="server"}"#)))"
            func sum(_ query: String) throws -> Double { try regions.reduce(0) { try $0 + ($1.value(query) ?? 0) } }
            let arrived = try eventually(within: .seconds(90)) { try sum(total) == Double(all.count) }
            let running = daemons.filter { $0.child.status == nil }.count
            let seen = try sum(total)
            try #require(arrived && running == 50, "\(running) run; \(seen) of \(all.count)")

            // A region's, since the start: every handshake of its hosts.
            for (region, ports) in zip(regions, [ports[..<25], ports[25...]]) {
                let own = ports.flatMap { told["127.0.0.1:\($0.number)"] ?? [] }
                let truth = try #require(Self.p99(own))
                let since = try #require(try region.value(Self.quantile(histograms, #"{role="server"}"#)))
                #expect(Self.bucket(since) == Self.bucket(truth), "\(since) and \(truth)")
                if histograms == .native { #expect(abs(since / truth - 1) <= 0.011, "\(since) and \(truth)") }
            }

            // The rule's is of what came after each daemon's first scrape, which is stored too.
            var counted: [UInt64] = []
            for (instance, durations) in told {
                let selector = #"{role="server",instance="\#(instance)"}"#
                let found = try regions.compactMap { try $0.value(Self.first(histograms, selector)) }
                counted += durations.dropFirst(Int(try #require(found.first)))
            }
            let rated = try #require(Self.p99(counted))
            let rule = #"role:tlswatch_handshake_duration_seconds:p99_5m{role="server"}"#
            let parts = try regions.map { try #require(try $0.evaluated(rule)) }
            var fleet: Double?
            // Once both regions have written what they have now.
            let isFleets = try eventually {
                fleet = try global.value(rule)
                return fleet.map { Self.bucket($0) == Self.bucket(rated) } ?? false
            }
            #expect(isFleets, "\(fleet ?? 0), not \(rated); the regions': \(parts)")
            #expect(parts.contains { Self.bucket($0) != Self.bucket(rated) })

            let means = try regions.flatMap { region in
                try region.query(#"instance_role:tlswatch_handshake_duration_seconds:p99_5m{role="server"}"#)
            }.map(\.value).filter { !$0.isNaN }
            let mean = means.reduce(0, +) / Double(means.count)
            #expect(mean > 5 * rated, "the mean of the hosts' P99s, \(mean), is not \(rated)")
            // Only sums went to the second tier: no host's series, and few in all.
            #expect(try global.query(#"{instance!=""}"#).isEmpty)
            let series = try #require(try global.value(#"count({__name__=~".+"})"#))
            #expect(series > 20 && series < 500, "\(series)")
        }

        /// Forty busy hosts of 1 to 6 ms, ten of few handshakes that take a third of a second; no two are alike.
        private static func durations(_ host: Int) -> [UInt64] {
            let (count, low, high) =
                host < 40
                ? (300, 1_000_000 + 25_000 * host, 4_000_000 + 50_000 * host)
                : (6, 280_000_000 + 1_000_000 * host, 300_000_000 + 2_000_000 * host)
            // Evenly spread, in an order that mixes them: 7 and 300 have no factor in common, nor 7 and 6.
            return (0..<count).map { UInt64(low + (high - low) * ($0 * 7 % count) / count) }
        }

        private static func count(_ histograms: Prometheus.Histograms, _ selector: String) -> String {
            histograms == .classic
                ? "sum(tlswatch_handshake_duration_seconds_count\(selector))"
                : "histogram_count(sum(tlswatch_handshake_duration_seconds\(selector)))"
        }

        /// Of all handshakes since the daemons' start.
        private static func quantile(_ histograms: Prometheus.Histograms, _ selector: String) -> String {
            histograms == .classic
                ? "histogram_quantile(0.99, sum by (le) (tlswatch_handshake_duration_seconds_bucket\(selector)))"
                : "histogram_quantile(0.99, sum(tlswatch_handshake_duration_seconds\(selector)))"
        }

        /// How many handshakes an instance had told when it was scraped first.
        private static func first(_ histograms: Prometheus.Histograms, _ selector: String) -> String {
            histograms == .classic
                ? "min_over_time(tlswatch_handshake_duration_seconds_count\(selector)[5m])"
                : "min_over_time(histogram_count(tlswatch_handshake_duration_seconds\(selector))[5m:1s])"
        }

        private static func p99(_ durations: [UInt64]) -> Double? {
            guard let rank = nearestRank(0.99, of: UInt64(durations.count)) else { return nil }
            return Double(durations.sorted()[Int(rank) - 1]) / 1e9
        }

        private static func bucket(_ seconds: Double) -> Int {
            DurationBounds.handshake.bucket(of: UInt64(seconds * 1e9))
        }
    }
}

import Foundation
import TestSupport
import Testing

@testable import Handshakes

@Suite("Labels that are asked for") struct ExtraLabelTests {
    private func handshake(_ sni: String?, end: UInt64 = second, outcome: Outcome = .completed) -> Handshake {
        var handshake = completedHandshake(end: end)
        handshake.sni = sni
        handshake.outcome = outcome
        handshake.local = "[::1]:8443"
        handshake.remote = "203.0.113.7:51514"
        handshake.container = "0123456789ab"
        handshake.unit = "nginx.service"
        handshake.pod = "0b54a9e4-1cf6-4a1b-8f6e-aa00bb11cc22"
        return handshake
    }

    @Test("Each label that is asked for is on the counters, the duration histogram and the window gauges")
    func everyLabel() {
        var registry = MetricsRegistry(
            version: "1", options: options(labels: ExtraLabel.allCases.map { ExtraLabelOption($0) }))
        registry.record(handshake("a.example"), now: second)
        var client = handshake("a.example")
        client.role = .client
        registry.record(client, now: second)
        let text = text(registry.snapshot(now: second))
        let extra =
            #"sni="a.example",alpn="h2",comm="nginx",container="0123456789ab",local_port="8443",remote="203.0.113.7","#
            + #"remote_net="203.0.113.0/24",cipher="TLS_AES_256_GCM_SHA384",group="x25519",unit="nginx.service","#
            + #"pod="0b54a9e4-1cf6-4a1b-8f6e-aa00bb11cc22""#
        let base = #"role="server",stack="openssl""#
        for line in [
            #"tlswatch_handshakes_total{\#(base),outcome="completed",reason="none",\#(extra)} 1"#,
            #"tlswatch_handshake_duration_seconds_count{\#(base),tls_version="TLSv1.3",resumed="false",\#(extra)} 1"#,
            #"tlswatch_handshake_window_seconds{\#(base),window="60s",\#(extra),quantile="0.99"} 0.002"#,
            #"tlswatch_handshake_window_sessions{\#(base),window="60s",\#(extra)} 1"#,
            // A client's port is ephemeral.
            #"tlswatch_handshakes_total{role="client",stack="openssl",outcome="completed",reason="none","#
                + extra.replacingOccurrences(of: "8443", with: "none")
                // A server's port is not.
                .replacingOccurrences(of: #""203.0.113.7""#, with: #""203.0.113.7:51514""#) + "} 1",
        ] { #expect(text.contains("\n\(line)\n"), "\(line)") }
        // The others have their own labels only.
        #expect(!lines("tlswatch_handshake_busy_seconds_count", in: text).contains { $0.contains("sni=") })
    }

    @Test("A label that is a field of the session reads that field")
    func fields() {
        let derived: Set<ExtraLabel> = [.localPort, .remote, .remoteNet]
        for label in ExtraLabel.allCases where !derived.contains(label) {
            #expect(HandshakeField.named(label.rawValue) != nil, "\(label)")
        }
    }

    @Test(
        "The network of a peer is /24 of IPv4 and /48 of IPv6",
        arguments: [
            ("203.0.113.7:443", "203.0.113.0/24"), ("127.0.0.1:1", "127.0.0.0/24"),
            ("[2001:db8:7:1::2]:443", "2001:db8:7::/48"), ("[2001:db8::2]:443", "2001:db8::/48"),
            ("[2001:db8:0:1:2:3:4:5]:443", "2001:db8::/48"), ("[::1]:443", "::/48"), ("[::]:443", "::/48"),
            ("[fe80::]:443", "fe80::/48"), ("[1::3:4:5:6:7:8]:443", "1:0:3::/48"),
            ("[::2:3:4:5:6:7:8]:443", "0:2:3::/48"),
            ("nothing", nil), ("", nil), ("x:443", nil), ("1.2:443", nil),
        ] as [(String, String?)])
    func network(_ address: String, _ network: String?) {
        #expect(AddressText(address)?.network == network)
    }

    @Test("A peer that is not known is unknown, and takes no place under the cap")
    func unknownPeer() {
        let labels = [ExtraLabelOption(.remote, cap: 1), ExtraLabelOption(.remoteNet, cap: 1)]
        var registry = MetricsRegistry(version: "1", options: options(labels: labels))
        for remote in [nil, "198.51.100.1:1", nil, "198.51.100.1:2"] as [String?] {
            var handshake = handshake("a.example")
            handshake.remote = remote
            registry.record(handshake, now: second)
        }
        let text = text(registry.snapshot(now: second))
        let found = lines("tlswatch_handshakes_total", in: text)
        #expect(found.count == 2, "\(found)")
        #expect(found.contains { $0.contains(#"remote="unknown",remote_net="unknown"} 2"#) })
        #expect(found.contains { $0.contains(#"remote="198.51.100.1",remote_net="198.51.100.0/24"} 2"#) })
    }

    @Test("Without being asked for, no extra label is told")
    func offByDefault() {
        var registry = MetricsRegistry(version: "1")
        registry.record(handshake("a.example"), now: second)
        let text = text(registry.snapshot(now: second))
        #expect(!text.contains("sni="))
        #expect(!text.contains("a.example"))
        #expect(!text.contains("container="))
    }

    @Test("Past its cap a label's values are other, and every session is still counted once")
    func labelValuesPastTheCapAreOther() {
        var registry = MetricsRegistry(version: "1", options: options(labels: [ExtraLabelOption(.sni, cap: 5)]))
        for number in 0..<100 { registry.record(handshake("host-\(number).example"), now: second) }
        registry.record(handshake(nil), now: second)
        let text = text(registry.snapshot(now: second))
        let counts = lines("tlswatch_handshakes_total", in: text)
        #expect(counts.count == 7)
        #expect(counts.contains { $0.contains(#"sni="other""#) && $0.hasSuffix(" 95") })
        #expect(counts.contains { $0.contains(#"sni="unknown""#) && $0.hasSuffix(" 1") })
        #expect(text.contains("\ntlswatch_series_capped_total 95\n"))
    }

    @Test("Combinations past the cap on series are other in every extra label; nothing is lost")
    func seriesCap() {
        var limits = MetricsRegistry.Limits()
        limits.series = 400
        let labels = [ExtraLabelOption(.sni, cap: 10_000), ExtraLabelOption(.comm, cap: 10_000)]
        var registry = MetricsRegistry(version: "1", options: options(labels: labels, limits: limits))
        for number in 0..<5_000 {
            var handshake = handshake("host-\(number).example")
            handshake.comm = "worker-\(number % 7)"
            registry.record(handshake, now: second)
        }
        let text = text(registry.snapshot(now: second))
        let lines = text.split(separator: "\n").filter { !$0.hasPrefix("#") }
        #expect(lines.count < 400 + 40)
        #expect(Set(lines.map { $0.prefix(upTo: $0.lastIndex(of: " ") ?? $0.endIndex) }).count == lines.count)
        let total = lines.filter { $0.hasPrefix("tlswatch_handshakes_total{") }
            .reduce(0) { $0 + (Int($1.split(separator: " ").last ?? "") ?? 0) }
        #expect(total == 5_000)
        #expect(
            lines.contains { $0.hasPrefix("tlswatch_handshakes_total{") && $0.contains(#"sni="other",comm="other""#) })
    }

    @Test("A window that has been idle makes room for another, and that is told")
    func anIdleWindowMakesRoom() {
        var limits = MetricsRegistry.Limits()
        limits.series = 100
        let labels = [ExtraLabelOption(.sni, cap: 10_000)]
        var registry = MetricsRegistry(version: "1", options: options(windows: [10], labels: labels, limits: limits))
        for number in 0..<10 { registry.record(handshake("host-\(number)", end: 100 * second), now: 100 * second) }
        let crowded = text(registry.snapshot(now: 100 * second))
        #expect(crowded.contains("\ntlswatch_series_evicted_total 0\n"))
        let before = lines("tlswatch_handshake_window_sessions", in: crowded).count
        registry.record(handshake("late", end: 200 * second), now: 200 * second)
        let later = text(registry.snapshot(now: 200 * second))
        #expect(later.contains("\ntlswatch_series_evicted_total 5\n"))
        let sessions = lines("tlswatch_handshake_window_sessions", in: later)
        #expect(sessions.contains { $0.contains(#"sni="late""#) && $0.hasSuffix(" 1") })
        #expect(sessions.count == before)
        let names = later.split(separator: "\n").filter { !$0.hasPrefix("#") }
            .map { $0.prefix(upTo: $0.lastIndex(of: " ") ?? $0.endIndex) }
        #expect(Set(names).count == names.count)
    }

    @Test("Windows of several lengths each tell their own quantiles, ratios and incompleteness")
    func severalWindows() {
        var registry = MetricsRegistry(version: "1", options: options(windows: [10, 60]))
        registry.record(completedHandshake(end: 100 * second, duration: 4 * millisecond), now: 100 * second)
        registry.markLoss(at: 100 * second, now: 100 * second)
        registry.record(completedHandshake(end: 130 * second, duration: 2 * millisecond), now: 130 * second)
        let text = text(registry.snapshot(now: 130 * second))
        let base = #"role="server",stack="openssl""#
        for line in [
            #"tlswatch_handshake_window_seconds{\#(base),window="10s",quantile="0.99"} 0.002"#,
            #"tlswatch_handshake_window_seconds{\#(base),window="60s",quantile="0.99"} 0.004"#,
            #"tlswatch_handshake_window_sessions{\#(base),window="10s"} 1"#,
            #"tlswatch_handshake_window_sessions{\#(base),window="60s"} 2"#,
            #"tlswatch_alpn_share_ratio{role="server",window="10s"} 0.1"#,
            #"tlswatch_key_exchange_failure_ratio{role="server",window="60s"} 0"#,
            #"tlswatch_window_incomplete{window="10s"} 0"#, #"tlswatch_window_incomplete{window="60s"} 1"#,
        ] { #expect(text.contains("\n\(line)\n"), "\(line)") }
    }

    @Test("An exemplar is the newest session of its bucket, only when asked for, within OpenMetrics's length")
    func exemplarsAreTheNewestSessions() throws {
        for asked in [false, true] {
            var registry = MetricsRegistry(version: "1", options: options(exemplars: asked))
            var first = handshake("old.example")
            first.pid = 11
            registry.record(first, now: second)
            var newest = handshake("n\"ew\n" + String(repeating: "é", count: 255))
            newest.wallTime = 1_700_000_000_000_000_000
            registry.record(newest, now: second)
            var bytes: [UInt8] = []
            TextExposition.encode(registry.snapshot(now: second), as: Exposition(.openMetrics), into: &bytes)
            let open = String(decoding: bytes, as: UTF8.self)
            let found = open.split(separator: "\n").filter { $0.contains(" # {") }
            #expect(found.count == (asked ? 1 : 0))
            #expect(!text(registry.snapshot(now: second)).contains(" # {"), "the text format has none")
            guard let line = found.first else { continue }
            #expect(line.hasPrefix("tlswatch_handshake_duration_seconds_bucket{"))
            #expect(
                line.contains(
                    #"le="0.0025"} 2 # {pid="4242",cause="compute",sni="n\u{FFFD}ew\u{FFFD}é"#.replacing(
                        #"\u{FFFD}"#, with: "\u{FFFD}")
                ), "\(line)")
            #expect(line.hasSuffix(" 0.002 1700000000.002"), "\(line)")
            let sni = Exemplar(of: newest).sni ?? ""
            #expect("pid4242causecomputesni".count + sni.unicodeScalars.count == 128)
        }
    }

    /// `make bench` shows the memory of a million.
    @Test("Distinct server names past the cap make no series")
    func manyNames() {
        var registry = MetricsRegistry(version: "1", options: options(labels: [ExtraLabelOption(.sni)]))
        for number in 0..<1_000 { registry.record(handshake("warm-\(number).example"), now: second) }
        let before = text(registry.snapshot(now: second)).split(separator: "\n").count
        for number in 0..<20_000 { registry.record(handshake("attack-\(number).example"), now: second) }
        let text = text(registry.snapshot(now: second))
        #expect(text.split(separator: "\n").count == before)
        #expect(lines("tlswatch_handshakes_total", in: text).count == ExtraLabel.standardCap + 1)
    }
}

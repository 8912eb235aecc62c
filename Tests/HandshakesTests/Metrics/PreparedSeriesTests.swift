import TestSupport
import Testing

@testable import Handshakes

/// Counters that exist before their first sample.
@Suite("Series before their first sample") struct PreparedSeriesTests {
    /// Of the library's own words.
    private let own = ["http_request", "no_shared_cipher", "wrong_version_number"]

    private func told(_ registry: inout MetricsRegistry) -> String { text(registry.snapshot(now: second)) }

    @Test("An observed stack has every outcome and known reason at 0 in both roles, and nothing is counted by that")
    func anObservedStackHasEverySeries() {
        var registry = MetricsRegistry(version: "1")
        registry.observe(stack: "openssl", reasons: own)
        registry.observe(stack: "openssl", reasons: own)
        registry.update(sessions: [])
        let before = told(&registry)
        for role in ["client", "server"] {
            let base = #"role="\#(role)",stack="openssl""#
            for (outcome, reason) in [
                ("completed", "none"), ("timeout", "none"), ("abandoned", "none"), ("abandoned", "events_lost"),
                ("failed", "unknown_ca"), ("failed", "peer_closed"), ("failed", "connection_reset"),
                ("failed", "transport_error"), ("failed", "close_notify"), ("failed", "unknown"),
                ("failed", "http_request"), ("failed", "wrong_version_number"),
            ] {
                let line = #"tlswatch_handshakes_total{\#(base),outcome="\#(outcome)",reason="\#(reason)"} 0"#
                #expect(before.contains("\n\(line)\n"), "\(line)")
            }
            #expect(before.contains("\ntlswatch_sessions_started_total{\(base)} 0\n"))
            #expect(before.contains("\ntlswatch_handshakes_in_flight{\(base)} 0\n"))
            for result in ["success", "failure"] {
                for group in ["x25519", "unknown"] {
                    let labels = #"role="\#(role)",group="\#(group)",result="\#(result)""#
                    #expect(before.contains("\ntlswatch_key_exchanges_total{\(labels)} 0\n"), "\(labels)")
                }
            }
        }
        let quiet = registry.status(now: second)
        #expect(quiet.ended.isEmpty)
        registry.record(unfinishedHandshake(end: second, outcome: .failed, reason: "unknown_ca"), now: second)
        registry.update(sessions: [SessionTally(role: .server, stack: "openssl", started: 3, inFlight: 1)])
        let after = told(&registry)
        #expect(after.contains(#"tlswatch_sessions_started_total{role="server",stack="openssl"} 3"#))
        #expect(after.contains(#"tlswatch_sessions_started_total{role="client",stack="openssl"} 0"#))
        let lines = lines("tlswatch_sessions_started_total", in: after)
        #expect(lines.count == 2, "\(lines)")
        let status = registry.status(now: second)
        #expect(status.ended.map(\.count) == [1])
        #expect(after.contains("\ntlswatch_series_capped_total 0\n"))
    }

    @Test("A group that works has its failures at 0, whatever it is")
    func otherResult() {
        var registry = MetricsRegistry(version: "1")
        var handshake = completedHandshake(end: second)
        handshake.group = "brainpoolP256r1tls13"
        registry.record(handshake, now: second)
        let labels = #"role="server",group="brainpoolP256r1tls13",result="failure""#
        let text = told(&registry)
        #expect(text.contains("\ntlswatch_key_exchanges_total{\(labels)} 0\n"))
    }

    @Test("With extra labels, whose values nobody knows beforehand, handshakes have no series until there is one")
    func extraLabels() {
        var registry = MetricsRegistry(version: "1", options: options(labels: [ExtraLabelOption(.sni)]))
        registry.observe(stack: "openssl", reasons: [])
        registry.update(sessions: [])
        let text = told(&registry)
        #expect(lines("tlswatch_handshakes_total", in: text).isEmpty)
        #expect(text.contains(#"tlswatch_sessions_started_total{role="client",stack="openssl"} 0"#))
    }

    @Test("What is made beforehand keeps to the cap on series and takes no sample's place under other")
    func preparedSeriesKeepToTheCap() {
        var limits = MetricsRegistry.Limits()
        limits.series = 20
        var registry = MetricsRegistry(version: "1", options: options(limits: limits))
        registry.observe(stack: "openssl", reasons: [])
        let before = told(&registry)
        let series = before.split(separator: "\n").filter { !$0.hasPrefix("#") }
        // Besides the 20: build_info, window_incomplete and the two accounts of the caps themselves.
        #expect(series.count == 20 + 4, "\(series.count)")
        #expect(before.contains("\ntlswatch_series_capped_total 0\n"))
        registry.record(unfinishedHandshake(end: second, outcome: .failed, reason: "decode_error"), now: second)
        let after = told(&registry)
        #expect(after.contains(#"outcome="failed",reason="other"} 1"#))
    }

    @Test("Known reasons take no place under the cap of reasons that peers could choose")
    func knownReasons() {
        let known = FailureReasons.common + own
        #expect(Set(known).count == known.count)
        #expect(known.allSatisfy { $0 == Label.safe($0) })
        var limits = MetricsRegistry.Limits()
        limits.labelValues = 2
        var registry = MetricsRegistry(version: "1", options: options(limits: limits))
        registry.observe(stack: "openssl", reasons: own)
        for reason in known + ["library_error_1", "library_error_2", "library_error_3"] {
            var handshake = unfinishedHandshake(end: second, outcome: .failed, reason: reason)
            handshake.stack = "openssl"
            registry.record(handshake, now: second)
        }
        let text = told(&registry)
        let failed = lines("tlswatch_handshakes_total", in: text).filter {
            $0.contains(#"role="client""#) && $0.hasSuffix(" 1")
        }
        #expect(failed.count == known.count + 3)
        #expect(failed.contains { $0.contains(#"reason="other""#) })
        #expect(!text.contains("library_error_3"))
    }
}

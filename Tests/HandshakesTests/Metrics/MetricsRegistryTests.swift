import TestSupport
import Testing

@testable import Handshakes

@Suite("The metrics registry") struct MetricsRegistryTests {
    @Test("Only completed sessions enter the durations") func onlyCompletedSessionsEnterDurations() {
        var registry = MetricsRegistry(version: "1")
        let now = 10 * second
        for outcome in [Outcome.failed, .abandoned, .timeout] {
            var handshake = unfinishedHandshake(end: now, outcome: outcome, reason: nil)
            handshake.alpnNegotiation = 5
            handshake.keyExchange = 5
            registry.record(handshake, now: now)
        }
        let text = text(registry.snapshot(now: now))
        #expect(lines("tlswatch_handshakes_total", in: text).count == 3)
        for absent in ["duration", "busy", "window_seconds", "window_sessions", "parameters", "alpn_negotiation"] {
            #expect(!text.contains("\ntlswatch_handshake_\(absent)"), "\(absent)")
        }
        #expect(!text.contains("tlswatch_alpn"))
        #expect(!text.contains("tlswatch_key_exchange_duration"))
    }

    @Test("A fact that is missing is the label value unknown") func missingFactsAreUnknown() {
        var registry = MetricsRegistry(version: "1")
        registry.record(unfinishedHandshake(end: second, outcome: .completed, reason: nil), now: second)
        let text = text(registry.snapshot(now: second))
        #expect(
            lines("tlswatch_handshake_parameters_total", in: text) == [
                #"tlswatch_handshake_parameters_total{role="client",tls_version="unknown",cipher="unknown","#
                    + #"group="unknown",alpn="unknown",resumed="unknown"} 1"#
            ])
        #expect(text.contains(#"outcome="completed",reason="none""#))
        #expect(!text.contains(#"="""#))
        #expect(!text.contains("tlswatch_tcp_connect"))
    }

    @Test("Where none was negotiated ALPN is none, apart from what could not be read")
    func alpnNone() {
        var registry = MetricsRegistry(version: "1", options: options(labels: [ExtraLabelOption(.alpn)]))
        for wasRead in [true, false, true] {
            var handshake = completedHandshake(end: second)
            handshake.alpn = nil
            handshake.alpnWasRead = wasRead
            registry.record(handshake, now: second)
        }
        let text = text(registry.snapshot(now: second))
        for name in ["tlswatch_handshake_parameters_total", "tlswatch_handshakes_total"] {
            let found = lines(name, in: text)
            #expect(found.contains { $0.contains(#"alpn="none""#) && $0.hasSuffix(" 2") }, "\(found)")
            #expect(found.contains { $0.contains(#"alpn="unknown""#) && $0.hasSuffix(" 1") }, "\(found)")
        }
    }

    @Test("Quantiles of a window expire, and its sessions are then 0") func windowQuantilesExpireAndSessionsSayZero() {
        var registry = MetricsRegistry(version: "1", options: options(windows: [10]))
        registry.record(completedHandshake(end: 100 * second), now: 100 * second)
        let full = text(registry.snapshot(now: 109 * second))
        #expect(lines("tlswatch_handshake_window_seconds", in: full).count == 4)
        let labels = #"role="server",stack="openssl",window="10s",quantile="0.99""#
        #expect(full.contains("tlswatch_handshake_window_seconds{\(labels)} 0.002"))
        let empty = text(registry.snapshot(now: 110 * second))
        #expect(!empty.contains("tlswatch_handshake_window_seconds"))
        #expect(empty.contains(#"tlswatch_handshake_window_sessions{role="server",stack="openssl",window="10s"} 0"#))
        #expect(empty.contains(#"tlswatch_alpn_share_ratio{role="server",window="10s"} NaN"#))
        #expect(empty.contains(#"tlswatch_key_exchange_failure_ratio{role="server",window="10s"} NaN"#))
    }

    @Test("A ratio is that of the sums, not the mean of ratios") func ratiosAreOfSums() {
        var registry = MetricsRegistry(version: "1")
        var handshake = completedHandshake(end: second, duration: 1_000)
        handshake.alpnNegotiation = 500
        registry.record(handshake, now: second)
        handshake.duration = 9_000
        handshake.alpnNegotiation = 0
        handshake.keyExchangeSucceeded = false
        registry.record(handshake, now: second)
        // Without ALPN it is in neither sum.
        handshake.alpnNegotiation = nil
        registry.record(handshake, now: second)
        let text = text(registry.snapshot(now: second))
        #expect(text.contains(#"tlswatch_alpn_share_ratio{role="server",window="60s"} 0.05"#))
        #expect(text.contains(#"tlswatch_key_exchange_failure_ratio{role="server",window="60s"} 0.6666666666666666"#))
        #expect(text.contains(#"tlswatch_key_exchanges_total{role="server",group="x25519",result="failure"} 2"#))
    }

    @Test("A loss that grows makes the window incomplete") func growingLossMakesTheWindowIncomplete() {
        var registry = MetricsRegistry(version: "1", options: options(windows: [10]))
        var kernel = KernelCounters()
        kernel.dropped = [.init(program: "tls_return", reason: "ring_full", count: 0)]
        registry.update(kernel: kernel, now: 100 * second)
        let quiet = text(registry.snapshot(now: 100 * second))
        kernel.dropped[0].count = 1
        registry.update(kernel: kernel, now: 101 * second)
        let lossy = text(registry.snapshot(now: 101 * second))
        registry.update(kernel: kernel, now: 111 * second)
        let healed = text(registry.snapshot(now: 111 * second))
        registry.markLoss(at: 112 * second, now: 112 * second)
        let marked = text(registry.snapshot(now: 112 * second))
        #expect(quiet.contains(#"tlswatch_window_incomplete{window="10s"} 0"#))
        #expect(lossy.contains(#"tlswatch_window_incomplete{window="10s"} 1"#))
        #expect(healed.contains(#"tlswatch_window_incomplete{window="10s"} 0"#))
        #expect(marked.contains(#"tlswatch_window_incomplete{window="10s"} 1"#))
    }

    @Test("Protocols past their cap are counted as other") func protocolsPastTheCapAreOther() {
        var registry = MetricsRegistry(version: "1")
        for number in 0..<1_000 {
            var handshake = completedHandshake(end: second)
            handshake.alpn = "proto-\(number)"
            registry.record(handshake, now: second)
        }
        let text = text(registry.snapshot(now: second))
        let found = lines("tlswatch_handshake_parameters_total", in: text)
        #expect(found.count == 65)
        #expect(found.contains { $0.contains(#"alpn="other""#) && $0.hasSuffix(" 936") })
        #expect(text.contains("tlswatch_series_capped_total 936"))
    }

    @Test("Series past the budget are other, and no session is lost") func seriesPastTheBudgetAreOtherAndNothingIsLost()
    {
        var limits = MetricsRegistry.Limits()
        limits.series = 100
        limits.stacks = .max
        var registry = MetricsRegistry(version: "1", options: options(limits: limits))
        var coverage = CoverageSample()
        coverage.probeHits = (0..<500).map { .init(stack: "openssl", library: "/lib/\($0)", count: 2) }
        registry.update(coverage: coverage)
        for outcome in Outcome.allCases {
            registry.record(unfinishedHandshake(end: second, outcome: outcome, reason: nil), now: second)
        }
        coverage.probeHits[499].count = 5
        registry.update(coverage: coverage)
        let text = text(registry.snapshot(now: second))
        let hits = lines("tlswatch_probe_hits_total", in: text)
        #expect(hits.count == 101)
        #expect(hits.contains(#"tlswatch_probe_hits_total{stack="other",library="other"} 803"#))
        for outcome in Outcome.allCases {
            let label = #"role="client",stack="other",outcome="\#(outcome.rawValue)",reason="other""#
            #expect(text.contains("tlswatch_handshakes_total{\(label)} 1"))
        }
    }

    @Test("Coverage that is gone leaves the answer, and its budget returns")
    func goneCoverageLeavesAndItsBudgetReturns() {
        var limits = MetricsRegistry.Limits()
        limits.series = 3
        var registry = MetricsRegistry(version: "1", options: options(limits: limits))
        var coverage = CoverageSample()
        for generation in 0..<20 {
            coverage.probes = [.init(stack: "openssl", library: "/lib/\(generation)", state: "attached", count: 1)]
            registry.update(coverage: coverage)
        }
        let text = text(registry.snapshot(now: second))
        #expect(
            lines("tlswatch_probes", in: text)
                == [#"tlswatch_probes{stack="openssl",library="/lib/19",state="attached"} 1"#])
    }

    @Test("A snapshot does not change with what is recorded after it") func snapshotsDoNotChange() {
        var registry = MetricsRegistry(version: "1")
        registry.record(completedHandshake(end: second), now: second)
        let snapshot = registry.snapshot(now: second)
        let before = text(snapshot)
        registry.record(completedHandshake(end: second), now: second)
        #expect(text(snapshot) == before)
        let after = text(registry.snapshot(now: second))
        #expect(after != before)
    }
}

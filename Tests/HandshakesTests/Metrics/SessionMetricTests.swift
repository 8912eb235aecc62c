import TestSupport
import Testing

@testable import Handshakes

@Suite struct SessionMetricTests {
    @Test("Every label of a family that sessions are counted in has its value from the session")
    func labels() throws {
        var slow = options()
        slow.slow = millisecond
        var registry = MetricsRegistry(version: "1", options: slow)
        registry.record(completedHandshake(end: second), now: second)
        let families = registry.snapshot(now: second).families
        for metric in SessionMetric.counters(slow: slow.slow) + SessionMetric.histograms {
            let family = try #require(families.first { $0.descriptor.name == metric.metric.name })
            let labels: [LabelSet] =
                switch family.samples {
                case .integers(let series), .nanoseconds(let series): series.labels
                case .histograms(let series, _): series.labels
                default: []
                }
            #expect(
                !labels.isEmpty && labels.allSatisfy { !$0.values.contains(Label.unknown) }, "\(metric.metric.name)")
            #expect(MetricCatalogue.all.contains(metric.metric), "\(metric.metric.name)")
        }
    }

    @Test("A sample that a cap has put under other is counted as such, however often its like comes")
    func capped() {
        var limits = MetricsRegistry.Limits()
        limits.series = 2
        var registry = MetricsRegistry(version: "1", options: options(limits: limits))
        var handshake = unfinishedHandshake(end: second, outcome: .failed, reason: "unknown_ca")
        handshake.keyExchangeSucceeded = false
        // The key exchange takes both places: its own, and that of its success.
        for _ in 0..<3 { registry.record(handshake, now: second) }
        let text = text(registry.snapshot(now: second))
        #expect(lines("tlswatch_key_exchanges_total", in: text).count == 2)
        #expect(text.contains(#"role="client",stack="other",outcome="failed",reason="other"} 3"#))
        #expect(text.contains("\ntlswatch_series_capped_total 3\n"))
    }

    @Test("What others than sessions are counted from is served as it is said, and leaves when it is no longer said")
    func samples() {
        var registry = MetricsRegistry(version: "1")
        registry.update([
            FamilySample(MetricCatalogue.eventsRejected, [(LabelValues("size"), 3), (LabelValues("hook"), 1)]),
            FamilySample(MetricCatalogue.processCPU, 1_500_000_000), FamilySample(MetricCatalogue.processStart, nil),
        ])
        let before = text(registry.snapshot(now: second))
        #expect(before.contains("\ntlswatch_events_rejected_total{reason=\"size\"} 3\n"))
        #expect(before.contains("\nprocess_cpu_seconds_total 1.5\n"))
        #expect(!before.contains("process_start_time_seconds"))
        registry.update([FamilySample(MetricCatalogue.eventsRejected, [(LabelValues("hook"), 2)])])
        let snapshot = registry.snapshot(now: second)
        let after = text(snapshot.adding([FamilySample(MetricCatalogue.processCPU, 2_000_000_000)]))
        #expect(
            lines("tlswatch_events_rejected_total", in: after) == [#"tlswatch_events_rejected_total{reason="hook"} 2"#])
        #expect(after.contains("\nprocess_cpu_seconds_total 2\n"))
    }
}

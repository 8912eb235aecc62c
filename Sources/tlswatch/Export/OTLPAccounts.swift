import Handshakes
import Synchronization

/// The export's account of itself. For any thread.
final class OTLPAccounts: Sendable {
    /// What became of a request, by the label `result` of `tlswatch_otlp_exports_total`.
    enum Result: String, CaseIterable, Sendable {
        case delivered
        /// Not this time: the collector could not be reached, or asked to be left alone.
        case failed
        case refused
    }

    enum Signal: String, CaseIterable, Sendable { case metrics, traces }

    /// What became of a span, by the label `result` of `tlswatch_otlp_spans_total`.
    enum SpanResult: String, CaseIterable, Sendable {
        case delivered
        /// More sessions than wait at most.
        case queueFull = "queue_full"
        /// After as many attempts as are made, or at the daemon's end.
        case undelivered
        case refused
    }

    private struct State {
        var exports: [Signal: [Result: UInt64]] = [:]
        var spans: [SpanResult: UInt64] = [:]
    }

    private let state = Mutex(State())

    func exported(_ signal: Signal, _ result: Result) {
        state.withLock { $0.exports[signal, default: [:]][result, default: 0] += 1 }
    }

    func spans(_ result: SpanResult, _ count: Int) {
        guard count > 0 else { return }
        state.withLock { $0.spans[result, default: 0] += UInt64(count) }
    }

    /// Every series from 0 on, so that `rate()` sees the first loss.
    var samples: [FamilySample] {
        let state = state.withLock { $0 }
        return [
            FamilySample(
                MetricCatalogue.otlpExports,
                Signal.allCases.flatMap { signal in
                    Result.allCases.map {
                        (LabelValues(signal.rawValue, $0.rawValue), state.exports[signal]?[$0] ?? 0)
                    }
                }),
            FamilySample(
                MetricCatalogue.otlpSpans,
                SpanResult.allCases.map { (LabelValues($0.rawValue), state.spans[$0] ?? 0) }),
        ]
    }
}

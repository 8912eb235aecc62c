/// A family that finished sessions go to, and what a session adds to it: the one place where a metric of sessions is
/// counted. Its labels are the catalogue's, their values `SessionLabels`'.
struct SessionMetric: Sendable {
    let metric: MetricDescriptor
    /// Of a histogram.
    var bounds = DurationBounds.Name.handshake
    /// Whether it has the labels that are told only when asked for.
    var takesExtraLabels = false
    var keepsExemplars = false
    /// The value of a label that is this row's own: several rows count in one family.
    var constant: (label: String, value: String)?
    /// What a session adds to a counter, or its duration for a histogram; `nil` if it is not one of the family's.
    let value: @Sendable (Handshake) -> UInt64?

    /// - Parameter slow: from how many nanoseconds on a completed session is slow.
    static func counters(slow: UInt64) -> [SessionMetric] {
        facts
            + HandshakePart.allCases.map { part in
                // Of those whose time is accounted for as a whole: their ratio is to be one of the same sessions.
                SessionMetric(metric: MetricCatalogue.handshakeTime, constant: ("part", part.rawValue)) {
                    $0.outcome == .completed && $0.parts.unread != nil ? $0.parts[part] : nil
                }
            }
            + (HandshakeCause.allCases + [nil]).map { cause in
                SessionMetric(
                    metric: MetricCatalogue.slowHandshakes, constant: ("cause", cause?.rawValue ?? Label.unknown)
                ) { $0.outcome == .completed && $0.duration >= slow && $0.cause == cause ? 1 : nil }
            }
    }

    private static let facts = [
        SessionMetric(metric: MetricCatalogue.keyExchanges) { $0.keyExchangeSucceeded == nil ? nil : 1 },
        SessionMetric(metric: MetricCatalogue.handshakes, takesExtraLabels: true) { _ in 1 },
        SessionMetric(metric: MetricCatalogue.handshakeParameters) { $0.outcome == .completed ? 1 : nil },
        SessionMetric(metric: MetricCatalogue.handshakeRetransmits) { $0.retransmits },
    ]

    /// Of completed sessions alone: the others end at an arbitrary time.
    static let histograms = [
        SessionMetric(metric: MetricCatalogue.handshakeDuration, takesExtraLabels: true, keepsExemplars: true) {
            $0.duration
        },
        SessionMetric(metric: MetricCatalogue.handshakeBusy) { $0.busy },
        SessionMetric(metric: MetricCatalogue.keyExchangeDuration, bounds: .phase) {
            $0.keyExchangeSucceeded == false ? nil : $0.keyExchange
        },
        SessionMetric(metric: MetricCatalogue.alpnNegotiation, bounds: .phase) { $0.alpnNegotiation },
        SessionMetric(metric: MetricCatalogue.tcpConnect, bounds: .phase) { $0.tcpConnect },
        SessionMetric(metric: MetricCatalogue.firstRecordDelay, bounds: .phase) { $0.firstRecordDelay },
    ]
}

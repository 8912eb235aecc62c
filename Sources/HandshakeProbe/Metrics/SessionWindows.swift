/// The sliding windows behind the window gauges: durations by role and stack, and the two ratios by role.
///
/// Owned by the registry's thread.
struct SessionWindows: Sendable {
    static let quantiles: [(value: Double, label: String)] = [
        (0.5, "0.5"), (0.9, "0.9"), (0.99, "0.99"), (0.999, "0.999"),
    ]

    private struct Durations: Sendable {
        var window: SlidingWindow
        let quantileLabels: [LabelSet]
        let label: LabelSet
    }

    private struct Ratio: Sendable {
        var window: RatioWindow
        let label: LabelSet
    }

    private let length: UInt64
    private let label: String
    private var durations: [Durations] = []
    private var index: [LabelValues: Int] = [:]
    /// By role, once something was seen for it.
    private var failures: [Role: Ratio] = [:]
    private var alpnShares: [Role: Ratio] = [:]
    private var loss: LossMark

    /// Seconds: memory grows with the window, and rates are what longer spans are for.
    static let longest: UInt64 = 3_600

    private static let durationSlot: UInt64 = 1_000_000_000
    private static let ratioSlot: UInt64 = 250_000_000

    init(seconds: UInt64) {
        let seconds = min(max(1, seconds), Self.longest)
        length = seconds * Self.durationSlot
        label = "\(seconds)s"
        loss = LossMark(window: length, slotLength: Self.durationSlot)
    }

    mutating func completed(role: Role, stack: String, duration: UInt64, at time: UInt64, now: UInt64) {
        let key = LabelValues(role.rawValue, stack)
        let slot = index[key] ?? addDurations(key, role: role, stack: stack)
        durations[slot].window.insert(duration, at: time, now: now)
    }

    mutating func keyExchange(role: Role, succeeded: Bool, at time: UInt64, now: UInt64) {
        if failures[role] == nil { failures[role] = ratio(MetricCatalogue.keyExchangeFailureRatio, role) }
        failures[role]?.window.add(numerator: succeeded ? 0 : 1, denominator: 1, at: time, now: now)
    }

    mutating func alpn(role: Role, negotiation: UInt64, duration: UInt64, at time: UInt64, now: UInt64) {
        if alpnShares[role] == nil { alpnShares[role] = ratio(MetricCatalogue.alpnShare, role) }
        alpnShares[role]?.window.add(numerator: negotiation, denominator: duration, at: time, now: now)
    }

    mutating func markLoss(at time: UInt64, now: UInt64) {
        loss.mark(at: time, now: now)
    }

    /// The window gauges at `now`. A window without a session has no quantile, but says 0 sessions; a ratio without a
    /// denominator is NaN.
    mutating func families(now: UInt64) -> [MetricFamily] {
        let wanted = Self.quantiles.map(\.value)
        var quantiles = Series<UInt64>()
        var sessions = Series<UInt64>()
        for slot in durations.indices {
            sessions.append(durations[slot].label, durations[slot].window.count(now: now))
            let found = durations[slot].window.quantiles(wanted, now: now)
            for (label, value) in zip(durations[slot].quantileLabels, found) { quantiles.append(label, value) }
        }
        var incomplete = Series<UInt64>()
        incomplete.append(
            LabelSet(names: MetricCatalogue.windowIncomplete.labels, values: [label]),
            loss.isIncomplete(now: now) ? 1 : 0)
        return [
            MetricFamily(MetricCatalogue.handshakeWindow, .nanoseconds(quantiles)),
            MetricFamily(MetricCatalogue.handshakeWindowSessions, .integers(sessions)),
            MetricFamily(MetricCatalogue.keyExchangeFailureRatio, .numbers(Self.values(&failures, now: now))),
            MetricFamily(MetricCatalogue.alpnShare, .numbers(Self.values(&alpnShares, now: now))),
            MetricFamily(MetricCatalogue.windowIncomplete, .integers(incomplete)),
        ]
    }

    private static func values(_ ratios: inout [Role: Ratio], now: UInt64) -> Series<Double> {
        var series = Series<Double>()
        for role in Role.allCases {
            guard let label = ratios[role]?.label else { continue }
            series.append(label, ratios[role]?.window.ratio(now: now) ?? .nan)
        }
        return series
    }

    private func ratio(_ descriptor: MetricDescriptor, _ role: Role) -> Ratio {
        Ratio(
            window: RatioWindow(window: length, slotLength: Self.ratioSlot),
            label: LabelSet(names: descriptor.labels, values: [role.rawValue, label]))
    }

    private mutating func addDurations(_ key: LabelValues, role: Role, stack: String) -> Int {
        durations.append(
            Durations(
                window: SlidingWindow(window: length, slotLength: Self.durationSlot),
                quantileLabels: Self.quantiles.map {
                    LabelSet(
                        names: MetricCatalogue.handshakeWindow.labels, values: [role.rawValue, stack, $0.label, label])
                },
                label: LabelSet(
                    names: MetricCatalogue.handshakeWindowSessions.labels, values: [role.rawValue, stack, label])))
        index[key] = durations.count - 1
        return durations.count - 1
    }
}

/// The sliding windows behind the ratios by role, and the mark of lost events: one of each length asked for.
///
/// Owned by the registry's thread.
struct RatioWindows: Sendable {
    private struct Key: Hashable {
        var role: Role
        var length: Int
    }

    /// Nanoseconds: how stale a ratio's past end may be.
    private static let slotLength: UInt64 = 250_000_000

    private let lengths: [WindowLength]
    /// Once something was seen for the role.
    private var failures: [Key: RatioWindow] = [:]
    private var alpnShares: [Key: RatioWindow] = [:]
    private var losses: [LossMark]

    init(_ lengths: [WindowLength]) {
        self.lengths = lengths
        losses = lengths.map { LossMark(window: $0.nanoseconds, slotLength: $0.slotLength) }
    }

    mutating func keyExchange(role: Role, succeeded: Bool, at time: UInt64, now: UInt64) {
        add(\.failures, role, succeeded ? 0 : 1, of: 1, at: time, now: now)
    }

    mutating func alpn(role: Role, negotiation: UInt64, duration: UInt64, at time: UInt64, now: UInt64) {
        add(\.alpnShares, role, negotiation, of: duration, at: time, now: now)
    }

    mutating func markLoss(at time: UInt64, now: UInt64) {
        for index in losses.indices { losses[index].mark(at: time, now: now) }
    }

    /// Whether the window of `length` that ends at `now` overlaps lost events.
    mutating func isIncomplete(length: Int, now: UInt64) -> Bool {
        losses[length].isIncomplete(now: now)
    }

    /// The gauges at `now`; a ratio without a denominator is NaN.
    mutating func families(now: UInt64) -> [MetricFamily] {
        var incomplete = Series<UInt64>()
        for (index, length) in lengths.enumerated() {
            incomplete.append(
                LabelSet(names: MetricCatalogue.windowIncomplete.labels, values: [length.text]),
                losses[index].isIncomplete(now: now) ? 1 : 0)
        }
        return [
            MetricFamily(
                MetricCatalogue.keyExchangeFailureRatio,
                .numbers(values(\.failures, MetricCatalogue.keyExchangeFailureRatio, now: now))),
            MetricFamily(
                MetricCatalogue.alpnShare, .numbers(values(\.alpnShares, MetricCatalogue.alpnShare, now: now))),
            MetricFamily(MetricCatalogue.windowIncomplete, .integers(incomplete)),
        ]
    }

    private mutating func add(
        _ ratios: WritableKeyPath<RatioWindows, [Key: RatioWindow]>, _ role: Role, _ numerator: UInt64,
        of denominator: UInt64, at time: UInt64, now: UInt64
    ) {
        for (index, length) in lengths.enumerated() {
            let window = RatioWindow(window: length.nanoseconds, slotLength: Self.slotLength)
            self[keyPath: ratios][Key(role: role, length: index), default: window]
                .add(numerator: numerator, denominator: denominator, at: time, now: now)
        }
    }

    private mutating func values(
        _ ratios: WritableKeyPath<RatioWindows, [Key: RatioWindow]>, _ descriptor: MetricDescriptor, now: UInt64
    ) -> Series<Double> {
        var series = Series<Double>()
        for role in Role.allCases {
            for (index, length) in lengths.enumerated() {
                let key = Key(role: role, length: index)
                guard self[keyPath: ratios][key] != nil else { continue }
                series.append(
                    LabelSet(names: descriptor.labels, values: [role.rawValue, length.text]),
                    self[keyPath: ratios][key]?.ratio(now: now) ?? .nan)
            }
        }
        return series
    }
}

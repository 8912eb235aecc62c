/// A family's series, by the kind of number they hold.
package enum MetricSamples: Sendable {
    case integers(Series<UInt64>)
    /// Durations and times in nanoseconds, written in seconds.
    case nanoseconds(Series<UInt64>)
    case numbers(Series<Double>)
    case histograms(Series<DurationHistogram>, DurationBounds)
    /// A window's quantiles, each a line of its own; none for a window without a session.
    case quantiles(Series<WindowQuantiles>)
    /// How many sessions the quantiles stand on.
    case sessions(Series<WindowQuantiles>)

    /// How many label sets; a family without one is not written.
    package var count: Int {
        switch self {
        case .integers(let series), .nanoseconds(let series): series.count
        case .numbers(let series): series.count
        case .histograms(let series, _): series.count
        case .quantiles(let series): series.values.reduce(0) { $0 + ($1.sessions > 0 ? 1 : 0) }
        case .sessions(let series): series.count
        }
    }
}

/// One family at one instant.
public struct MetricFamily: Sendable {
    package let descriptor: MetricDescriptor
    package let samples: MetricSamples

    package init(_ descriptor: MetricDescriptor, _ samples: MetricSamples) {
        self.descriptor = descriptor
        self.samples = samples
    }
}

/// Every family at one instant, sorted by name: immutable, for any thread, and all that an encoder reads.
public struct MetricsSnapshot: Sendable {
    /// When it was taken, monotonic nanoseconds.
    package let time: UInt64
    /// Families with at least one series, by name.
    public private(set) var families: [MetricFamily]

    package init(time: UInt64, families: [MetricFamily]) {
        self.time = time
        self.families = Self.sorted(families)
    }

    /// The same with what is known at scrape time.
    package func adding(_ samples: [FamilySample]) -> MetricsSnapshot {
        let names = Set(samples.map(\.metric.name))
        let kept = families.filter { !names.contains($0.descriptor.name) }
        return MetricsSnapshot(time: time, families: kept + samples.map { MetricFamily($0) })
    }

    private static func sorted(_ families: [MetricFamily]) -> [MetricFamily] {
        families.filter { $0.samples.count > 0 }.sorted { $0.descriptor.name < $1.descriptor.name }
    }
}

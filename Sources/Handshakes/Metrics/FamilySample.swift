/// What the series of one family are now, all of them: how families that are not counted from sessions get their numbers.
///
/// Whoever knows the numbers makes one of these; nothing between that place and the exposition has to know the family.
package struct FamilySample: Sendable {
    /// One series: its label values, in the family's order, and its number.
    package typealias Entry = (labels: LabelValues, value: UInt64)

    package let metric: MetricDescriptor
    /// Counters since the start; nanoseconds where the family's unit is seconds.
    package let series: [Entry]

    package init(_ metric: MetricDescriptor, _ series: [Entry]) {
        self.metric = metric
        self.series = series
    }

    /// A family without labels; without a number it is not served.
    package init(_ metric: MetricDescriptor, _ value: UInt64?) {
        self.init(metric, value.map { [(LabelValues(), $0)] } ?? [])
    }
}

extension MetricFamily {
    /// Outside of the registry's cap on series.
    init(_ sample: FamilySample) {
        let labels = sample.metric.labels
        var series = Series<UInt64>()
        for entry in sample.series {
            series.append(LabelSet(names: labels, values: entry.labels.prefix(labels.count)), entry.value)
        }
        self.init(sample.metric, numbers: series)
    }

    /// Counters and gauges: seconds are counted in nanoseconds.
    init(_ metric: MetricDescriptor, numbers: Series<UInt64>) {
        self.init(metric, metric.unit == "seconds" ? .nanoseconds(numbers) : .integers(numbers))
    }
}

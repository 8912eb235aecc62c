import OTLPProtobuf
import SwiftProtobuf

/// A snapshot as OTLP has it (opentelemetry-proto, metrics/v1): the same names, labels as attributes, counters as cumulative
/// sums, durations as exponential histograms. A window's quantiles are gauges with the attribute `quantile`.
package enum OTLPMetrics {
    /// An ExportMetricsServiceRequest. Any thread.
    ///
    /// - Parameter begun: when the counters began, nanoseconds since 1970.
    /// - Parameter now: when the snapshot was taken, nanoseconds since 1970.
    package static func request(
        _ snapshot: MetricsSnapshot, resource: OTLPResource, begun: UInt64, now: UInt64
    ) -> [UInt8] {
        let points = DataPoints(begun: begun, now: now)
        var scope = Otlp_ScopeMetrics()
        scope.scope = resource.scope
        scope.metrics = snapshot.families.map(points.metric)
        var metrics = Otlp_ResourceMetrics()
        metrics.resource = resource.message
        metrics.scopeMetrics = [scope]
        var request = Otlp_ExportMetricsServiceRequest()
        request.resourceMetrics = [metrics]
        // Can only fail for required fields, which there are none of.
        return (try? request.serializedBytes()) ?? []
    }
}

private struct DataPoints {
    let begun: UInt64
    let now: UInt64

    func metric(_ family: MetricFamily) -> Otlp_Metric {
        let descriptor = family.descriptor
        var metric = Otlp_Metric()
        metric.name = descriptor.name
        metric.description_p = descriptor.help
        metric.unit = Self.unit(of: descriptor)
        switch family.samples {
        case .integers(let series): metric.data = numbers(series, descriptor.type) { .asInt(Int64(clamping: $0)) }
        case .nanoseconds(let series): metric.data = numbers(series, descriptor.type) { .asDouble(Self.seconds($0)) }
        case .numbers(let series): metric.data = numbers(series, descriptor.type) { .asDouble($0) }
        case .sessions(let series):
            metric.data = numbers(series, descriptor.type) { .asInt(Int64(clamping: $0.sessions)) }
        case .quantiles(let series): metric.data = .gauge(quantiles(series))
        case .histograms(let series, _): metric.data = .exponentialHistogram(histograms(series))
        }
        return metric
    }

    /// Of the Unified Code for Units of Measure.
    private static func unit(of descriptor: MetricDescriptor) -> String {
        switch descriptor.unit {
        case "seconds": "s"
        case "bytes": "By"
        default: "1"
        }
    }

    private func numbers<Value>(
        _ series: Series<Value>, _ type: MetricType, number: (Value) -> Otlp_NumberDataPoint.OneOf_Value
    ) -> Otlp_Metric.OneOf_Data {
        let isSum = type == .counter
        let points = series.inOrder.map { labels, value in
            var point = point(labels)
            // A gauge has no beginning.
            if isSum { point.startTimeUnixNano = begun }
            point.value = number(value)
            return point
        }
        if isSum {
            var sum = Otlp_Sum()
            sum.aggregationTemporality = .cumulative
            sum.isMonotonic = true
            sum.dataPoints = points
            return .sum(sum)
        }
        var gauge = Otlp_Gauge()
        gauge.dataPoints = points
        return .gauge(gauge)
    }

    private func quantiles(_ series: Series<WindowQuantiles>) -> Otlp_Gauge {
        var gauge = Otlp_Gauge()
        for (labels, value) in series.inOrder where value.sessions > 0 {
            for (index, wanted) in WindowQuantiles.wanted.enumerated() {
                var point = point(labels)
                point.attributes.append(Otlp_KeyValue("quantile", .stringValue(wanted.text)))
                point.value = .asDouble(Self.seconds(value.values[index]))
                gauge.dataPoints.append(point)
            }
        }
        return gauge
    }

    private func point(_ labels: LabelSet) -> Otlp_NumberDataPoint {
        var point = Otlp_NumberDataPoint()
        point.timeUnixNano = now
        point.attributes = Self.attributes(labels)
        return point
    }

    private func histograms(_ series: Series<DurationHistogram>) -> Otlp_ExponentialHistogram {
        var message = Otlp_ExponentialHistogram()
        message.aggregationTemporality = .cumulative
        message.dataPoints = series.inOrder.map { labels, histogram in
            var point = Otlp_ExponentialHistogramDataPoint()
            point.attributes = Self.attributes(labels)
            point.startTimeUnixNano = begun
            point.timeUnixNano = now
            point.count = histogram.count
            point.sum = Self.seconds(histogram.sum)
            fill(&point, NativeBuckets(histogram).dense)
            point.exemplars = histogram.exemplars.compactMap { $0.map(Self.exemplar) }
            return point
        }
        return message
    }

    private func fill(_ point: inout Otlp_ExponentialHistogramDataPoint, _ native: NativeBuckets) {
        point.scale = Int32(native.schema)
        point.zeroCount = native.zeroCount
        point.zeroThreshold = NativeBuckets.zeroThreshold
        guard let first = native.buckets.first?.index, let last = native.buckets.last?.index else { return }
        // Prometheus names a bucket by its upper bound, OpenTelemetry by its lower one.
        point.positive.offset = Int32(first - 1)
        point.positive.bucketCounts = [UInt64](repeating: 0, count: last - first + 1)
        for bucket in native.buckets { point.positive.bucketCounts[bucket.index - first] = bucket.count }
    }

    private static func exemplar(_ exemplar: Exemplar) -> Otlp_Exemplar {
        var message = Otlp_Exemplar()
        message.timeUnixNano = UInt64(nanosecondsSince1970: exemplar.time)
        message.asDouble = seconds(exemplar.duration)
        message.filteredAttributes = exemplar.labels.map { Otlp_KeyValue($0.name, .stringValue($0.value)) }
        return message
    }

    private static func attributes(_ labels: LabelSet) -> [Otlp_KeyValue] {
        zip(labels.names, labels.values).map { Otlp_KeyValue($0, .stringValue($1)) }
    }

    private static func seconds(_ nanoseconds: UInt64) -> Double { Double(nanoseconds) / 1e9 }
}

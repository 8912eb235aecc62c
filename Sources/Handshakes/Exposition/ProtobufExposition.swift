import PrometheusProtobuf
import SwiftProtobuf

/// Prometheus's exposition in Protocol Buffers: each family a `MetricFamily` message behind its length. The only format
/// with native histograms, told beside the classic buckets.
public enum ProtobufExposition {
    /// Appends `snapshot` to `output`. Any thread.
    ///
    /// - Parameter created: when the counters began, nanoseconds since 1970.
    public static func encode(
        _ snapshot: MetricsSnapshot, as exposition: Exposition = Exposition(.protobuf), created: UInt64? = nil,
        into output: inout [UInt8]
    ) {
        let encoder = FamilyMessage(
            doublesUnderscores: exposition.escaping == .dots, created: created.map { timestamp(Int64(clamping: $0)) })
        for family in snapshot.families {
            // Can only fail for required fields, which there are none of.
            guard let bytes: [UInt8] = try? encoder.message(family).serializedBytes() else { continue }
            var length = UInt64(bytes.count)
            while length >= 0x80 {
                output.append(UInt8(truncatingIfNeeded: length) | 0x80)
                length >>= 7
            }
            output.append(UInt8(truncatingIfNeeded: length))
            output.append(contentsOf: bytes)
        }
    }

    fileprivate static func timestamp(_ nanoseconds: Int64) -> Google_Protobuf_Timestamp {
        Google_Protobuf_Timestamp(
            seconds: nanoseconds / 1_000_000_000, nanos: Int32(truncatingIfNeeded: nanoseconds % 1_000_000_000))
    }
}

private struct FamilyMessage {
    typealias Message = Io_Prometheus_Client_Metric

    let doublesUnderscores: Bool
    let created: Google_Protobuf_Timestamp?

    func message(_ family: MetricFamily) -> Io_Prometheus_Client_MetricFamily {
        let descriptor = family.descriptor
        var message = Io_Prometheus_Client_MetricFamily()
        message.name = escaped(descriptor.name)
        message.help = descriptor.help
        if let unit = descriptor.unit { message.unit = unit }
        switch descriptor.type {
        case .counter: message.type = .counter
        // A summary here has a sum and a count, which a window's quantiles have not: they are gauges.
        case .gauge, .summary: message.type = .gauge
        case .histogram: message.type = .histogram
        }
        switch family.samples {
        case .integers(let series): message.metric = plain(series, descriptor.type) { Double($0) }
        case .nanoseconds(let series): message.metric = plain(series, descriptor.type) { Self.seconds($0) }
        case .numbers(let series): message.metric = plain(series, descriptor.type) { $0 }
        case .sessions(let series): message.metric = plain(series, descriptor.type) { Double($0.sessions) }
        case .quantiles(let series): message.metric = quantiles(series)
        case .histograms(let series, let bounds): message.metric = histograms(series, bounds)
        }
        return message
    }

    private func plain<Value>(
        _ series: Series<Value>, _ type: MetricType, number: (Value) -> Double
    ) -> [Message] {
        (0..<series.count).map { rank in
            let (labels, value) = series.series(atRank: rank)
            var metric = metric(labels)
            if type == .counter {
                metric.counter.value = number(value)
                if let created { metric.counter.createdTimestamp = created }
            } else {
                metric.gauge.value = number(value)
            }
            return metric
        }
    }

    private func quantiles(_ series: Series<WindowQuantiles>) -> [Message] {
        (0..<series.count).flatMap { rank -> [Message] in
            let (labels, value) = series.series(atRank: rank)
            guard value.sessions > 0 else { return [] }
            return WindowQuantiles.wanted.enumerated().map { index, wanted in
                var metric = metric(labels)
                metric.label.append(Self.pair("quantile", wanted.text))
                metric.gauge.value = Self.seconds(value.values[index])
                return metric
            }
        }
    }

    private func histograms(_ series: Series<DurationHistogram>, _ bounds: DurationBounds) -> [Message] {
        (0..<series.count).map { rank in
            let (labels, histogram) = series.series(atRank: rank)
            var metric = metric(labels)
            var message = Io_Prometheus_Client_Histogram()
            message.sampleCount = histogram.count
            message.sampleSum = Self.seconds(histogram.sum)
            if let created { message.createdTimestamp = created }
            fillClassic(&message, histogram, bounds)
            fillNative(&message, NativeBuckets(histogram))
            metric.histogram = message
            return metric
        }
    }

    private func fillClassic(
        _ message: inout Io_Prometheus_Client_Histogram, _ histogram: DurationHistogram, _ bounds: DurationBounds
    ) {
        var cumulative: UInt64 = 0
        // The last bucket, +Inf, goes without saying, unless it has an exemplar to carry.
        for index in 0...DurationBounds.count {
            cumulative &+= histogram.buckets[index]
            let exemplar = histogram.exemplars.isEmpty ? nil : histogram.exemplars[index]
            guard index < DurationBounds.count || exemplar != nil else { continue }
            var bucket = Io_Prometheus_Client_Bucket()
            bucket.cumulativeCount = cumulative
            bucket.upperBound = index < DurationBounds.count ? Self.seconds(bounds.nanoseconds[index]) : .infinity
            if let exemplar {
                bucket.exemplar.label = exemplar.labels.map { Self.pair($0.name, $0.value) }
                bucket.exemplar.value = Self.seconds(exemplar.duration)
                bucket.exemplar.timestamp = ProtobufExposition.timestamp(exemplar.time)
            }
            message.bucket.append(bucket)
        }
    }

    /// Buckets in a row are a span; each count is told by its difference from the one before.
    private func fillNative(_ message: inout Io_Prometheus_Client_Histogram, _ native: NativeBuckets) {
        message.schema = Int32(native.schema)
        message.zeroThreshold = NativeBuckets.zeroThreshold
        message.zeroCount = native.zeroCount
        // A span of nothing tells an empty histogram from one without native buckets.
        if native.buckets.isEmpty { message.positiveSpan = [Self.span(offset: 0, length: 0)] }
        var next = 0
        var last: UInt64 = 0
        for (position, bucket) in native.buckets.enumerated() {
            if position > 0, bucket.index == next {
                message.positiveSpan[message.positiveSpan.count - 1].length += 1
            } else {
                message.positiveSpan.append(Self.span(offset: bucket.index - next, length: 1))
            }
            message.positiveDelta.append(Int64(bitPattern: bucket.count &- last))
            next = bucket.index + 1
            last = bucket.count
        }
    }

    private func metric(_ labels: LabelSet) -> Message {
        var metric = Message()
        metric.label = zip(labels.names, labels.values).map { Self.pair(escaped($0), $1) }
        return metric
    }

    private func escaped(_ name: String) -> String {
        doublesUnderscores ? name.doublingUnderscores : name
    }

    private static func pair(_ name: String, _ value: String) -> Io_Prometheus_Client_LabelPair {
        var pair = Io_Prometheus_Client_LabelPair()
        pair.name = name
        pair.value = value
        return pair
    }

    private static func span(offset: Int, length: UInt32) -> Io_Prometheus_Client_BucketSpan {
        var span = Io_Prometheus_Client_BucketSpan()
        span.offset = Int32(truncatingIfNeeded: offset)
        span.length = length
        return span
    }

    private static func seconds(_ nanoseconds: UInt64) -> Double { Double(nanoseconds) / 1e9 }
}

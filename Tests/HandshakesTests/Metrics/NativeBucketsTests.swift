import Foundation
import PrometheusProtobuf
import SwiftProtobuf
import TestSupport
import Testing

@testable import Handshakes

@Suite("Native histograms") struct NativeBucketsTests {
    private func histogram(_ values: [UInt64]) -> DurationHistogram {
        var histogram = DurationHistogram()
        for value in values { histogram.observe(value) }
        return histogram
    }

    /// By Prometheus's definition, without the scale's tables.
    private func bucket(of nanoseconds: UInt64, schema: Int) -> Int {
        Int((log2(Double(nanoseconds) / 1e9) * exp2(Double(schema))).rounded(.up))
    }

    @Test("Every duration is counted in the bucket of schema 6 that Prometheus would choose")
    func schemaSix() {
        var generator = SplitMix(seed: 31)
        let values = (0..<5_000).map { _ in generator.handshakeNanoseconds() }
        let native = NativeBuckets(histogram(values + [0, 119]))
        #expect(native.schema == 6)
        #expect(native.zeroCount == 2)
        let truth = Dictionary(values.map { (bucket(of: $0, schema: 6), UInt64(1)) }, uniquingKeysWith: +)
        #expect(Dictionary(uniqueKeysWithValues: native.buckets.map { ($0.index, $0.count) }) == truth)
        #expect(native.buckets.map(\.index) == native.buckets.map(\.index).sorted())
    }

    @Test("Past the limit neighbours are merged, and nothing is lost")
    func neighboursAreMergedPastTheLimit() {
        // Fifteen powers of two in full.
        let values = (0..<40_000).map { UInt64(exp2(Double($0) * 15 / 40_000) * 100_000) }
        let native = NativeBuckets(histogram(values))
        #expect(native.schema == 5)
        #expect(native.buckets.count <= NativeBuckets.limit)
        #expect(native.buckets.reduce(0) { $0 + $1.count } == UInt64(values.count))
        let truth = Dictionary(values.map { (bucket(of: $0, schema: 5), UInt64(1)) }, uniquingKeysWith: +)
        #expect(Dictionary(uniqueKeysWithValues: native.buckets.map { ($0.index, $0.count) }) == truth)
    }

    @Test("Classic and native buckets count the same durations")
    func classicAndNativeBucketsAgree() {
        var generator = SplitMix(seed: 3)
        for name in [DurationBounds.Name.handshake, .phase] {
            var histogram = DurationHistogram(name)
            let bounds = name == .handshake ? DurationBounds.handshake : .phase
            let values = (0..<3_000).map { _ in
                UInt64.random(in: 0...UInt64.max >> UInt64.random(in: 20...60, using: &generator))
            }
            var truth = [UInt64](repeating: 0, count: DurationBounds.count + 1)
            for value in values {
                histogram.observe(value)
                truth[bounds.bucket(of: value)] += 1
            }
            #expect(histogram.buckets.indices.map { histogram.buckets[$0] } == truth)
            #expect(histogram.cellCounts.reduce(0, +) == histogram.count)
            #expect(histogram.sum == values.reduce(0, &+))
        }
    }

    /// The messages of a body, each behind its length.
    static func families(_ bytes: [UInt8]) throws -> [Io_Prometheus_Client_MetricFamily] {
        var families: [Io_Prometheus_Client_MetricFamily] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            var length = 0
            var shift = 0
            while let byte = rest.popFirst() {
                length |= Int(byte & 0x7f) << shift
                shift += 7
                if byte & 0x80 == 0 { break }
            }
            families.append(try Io_Prometheus_Client_MetricFamily(serializedBytes: Array(rest.prefix(length))))
            rest = rest.dropFirst(length)
        }
        return families
    }

    @Test("The messages say what the text says, and the native buckets beside it")
    func messagesSayWhatTheTextSays() throws {
        var bytes: [UInt8] = []
        ProtobufExposition.encode(fullSnapshot(), created: 1_500_000_000_250_000_000, into: &bytes)
        let families = try Self.families(bytes)
        #expect(families.map(\.name) == MetricCatalogue.all.map(\.name).sorted())
        let handshakes = try #require(families.first { $0.name == "tlswatch_handshakes_total" })
        #expect(handshakes.type == .counter)
        #expect(handshakes.metric.reduce(0) { $0 + $1.counter.value } == 8)
        #expect(handshakes.metric.allSatisfy { $0.counter.createdTimestamp.seconds == 1_500_000_000 })
        let durations = try #require(families.first { $0.name == "tlswatch_handshake_duration_seconds" })
        #expect(durations.type == .histogram)
        #expect(durations.unit == "seconds")
        let histogram = try #require(durations.metric.first { $0.label.contains { $0.value == "TLSv1.3" } }).histogram
        #expect(histogram.schema == 6)
        #expect(histogram.sampleCount == 4)
        #expect(histogram.bucket.map(\.upperBound).first == 0.0001)
        #expect(histogram.bucket.last?.cumulativeCount == 4)
        // Four durations, 1 to 4 ms, in four buckets of their own: back from spans and deltas.
        var found: [Int] = []
        var index = 0
        for span in histogram.positiveSpan {
            index += Int(span.offset)
            for _ in 0..<span.length {
                found.append(index)
                index += 1
            }
        }
        #expect(found == [1, 2, 3, 4].map { bucket(of: $0 * millisecond, schema: 6) })
        #expect(histogram.positiveDelta == [1, 0, 0, 0])
        let window = try #require(families.first { $0.name == "tlswatch_handshake_window_seconds" })
        #expect(window.type == .gauge)
        #expect(window.metric.contains { $0.label.contains { $0.name == "quantile" && $0.value == "0.99" } })
    }

    @Test("An empty histogram is told from one without native buckets by a span of nothing")
    func anEmptyHistogramHasASpanOfNothing() throws {
        var series = Series<DurationHistogram>()
        series.append(LabelSet(names: ["role"], values: ["client"]), DurationHistogram(.phase))
        let snapshot = MetricsSnapshot(
            time: 0, families: [MetricFamily(MetricCatalogue.tcpConnect, .histograms(series, .phase))])
        var bytes: [UInt8] = []
        ProtobufExposition.encode(snapshot, into: &bytes)
        let histogram = try #require(Self.families(bytes).first?.metric.first).histogram
        #expect(histogram.positiveSpan.count == 1 && histogram.positiveSpan[0].length == 0)
        #expect(histogram.sampleCount == 0)
        #expect(histogram.hasSampleCount)
    }
}

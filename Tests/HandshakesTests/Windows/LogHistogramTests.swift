import TestSupport
import Testing

@testable import Handshakes

/// Streams that break histograms: name, and values in nanoseconds.
private let streams: [(name: String, values: [UInt64])] = {
    var generator = SplitMix(seed: 7)
    return [
        ("one value", [1_834_211]),
        ("all equal", Array(repeating: 1_234_567, count: 5_000)),
        ("two far modes", (0..<4_000).map { $0 % 2 == 0 ? 150_000 : 29_000_000_000 }),
        ("ascending", (1...5_000).map { UInt64($0) * 9_973 }),
        ("descending", (1...5_000).reversed().map { UInt64($0) * 9_973 }),
        ("one outlier", Array(repeating: 400_000, count: 999) + [3_600_000_000_000]),
        ("log-normal", (0..<20_000).map { _ in generator.handshakeNanoseconds() }),
        ("tiny", (0..<300).map { UInt64($0) }),
        ("bucket edges", (7..<46).flatMap { [(1 << $0) - 1, 1 << $0, (1 << $0) + 1] as [UInt64] }),
    ]
}()

@Suite("Logarithmic histograms") struct LogHistogramTests {
    @Test("A quantile is within half a percent of the truth", arguments: streams)
    func staysWithinHalfAPercent(name: String, values: [UInt64]) throws {
        var histogram = LogHistogram()
        for value in values { histogram.insert(value) }
        #expect(histogram.count == UInt64(values.count))
        for quantile in [0, 0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 1] {
            let truth = try #require(oracleQuantile(values, quantile))
            let answer = try #require(histogram.quantile(quantile))
            #expect(isWithinHalfPercent(answer, of: truth), "\(name) q\(quantile): \(answer), not \(truth)")
        }
    }

    @Test("An empty histogram has no quantile") func emptyHasNoQuantile() {
        #expect(LogHistogram().quantile(0.5) == nil)
    }

    @Test("A quantile outside 0 to 1 is refused") func refusesQuantilesOutsideTheUnitInterval() {
        var histogram = LogHistogram()
        histogram.insert(1)
        #expect(histogram.quantile(-0.1) == nil)
        #expect(histogram.quantile(1.1) == nil)
        #expect(histogram.quantile(.nan) == nil)
    }

    @Test("What is larger than the largest cell is in it") func clampsToTheLargestValue() throws {
        var histogram = LogHistogram()
        histogram.insert(.max)
        let answer = try #require(histogram.quantile(1))
        #expect(isWithinHalfPercent(answer, of: LogHistogram.largestValue))
    }

    @Test("The rank is exact where floating point is not") func rankIsExactWhereFloatingPointIsNot() {
        for count in UInt64(1)...20_000 {
            #expect(nearestRank(0.999, of: count) == (count * 999 + 999) / 1_000)
            #expect(nearestRank(0.9, of: count) == (count * 9 + 9) / 10)
        }
    }

    @Test("Subtraction leaves what was merged besides") func subtractionLeavesWhatWasMergedBesides() {
        var generator = SplitMix(seed: 11)
        var kept = LogHistogram()
        var passing = LogHistogram()
        for _ in 0..<3_000 {
            kept.insert(generator.handshakeNanoseconds())
            passing.insert(UInt64.random(in: 1...LogHistogram.largestValue, using: &generator))
        }
        var total = LogHistogram()
        total.merge(passing)
        total.merge(kept)
        total.subtract(passing)
        #expect(total.count == kept.count)
        for rank in 1...kept.count {
            #expect(total.value(atRank: rank) == kept.value(atRank: rank))
        }
    }

    @Test("Memory is bounded, and used again after a reset") func memoryIsBoundedAndReusedAfterReset() {
        var generator = SplitMix(seed: 3)
        var histogram = LogHistogram()
        for _ in 0..<100_000 {
            histogram.insert(UInt64.random(in: 0...UInt64.max >> UInt64.random(in: 0...63, using: &generator)))
        }
        let full = histogram.storageBytes
        #expect(full <= 2 * 48 * 512)
        histogram.reset()
        #expect(histogram.count == 0)
        #expect(histogram.quantile(0.5) == nil)
        histogram.insert(42)
        #expect(histogram.storageBytes == full)
        #expect(histogram.quantile(0.5) == 42)
    }
}

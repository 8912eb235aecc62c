import TestSupport
import Testing

@testable import Handshakes

@Suite("A sample of durations") struct DurationSampleTests {
    @Test("Up to the limit a quantile is one of the values, by nearest rank as a window's is")
    func quantilesAreExactUpToTheLimit() {
        var sample = DurationSample(limit: 200)
        var window = SlidingWindow(window: 60 * second, slotLength: second)
        var scratch: [UInt64] = []
        let none = sample.quantile(0.5)
        #expect(none == nil)
        for index in 0..<200 as Range<UInt64> {
            let value = 4_101_233 + index * 7_919 % 200 * 1_001
            sample.insert(value)
            window.insert(value, at: second, now: second)
            let wanted = [0.5, 0.9, 0.99]
            let found = wanted.map { sample.quantile($0) }
            let windows = window.quantiles(wanted, now: second, scratch: &scratch)
            #expect(found == windows)
        }
        #expect(sample.isExact)
        #expect(sample.count == 200)
        let (least, most) = (sample.quantile(0), sample.quantile(1))
        #expect(least == 4_101_233)
        #expect(most == 4_101_233 + 199 * 1_001)
    }

    @Test("Past the limit every value still counts, in a histogram, and it says so")
    func valuesPastTheLimitStillCount() throws {
        var sample = DurationSample(limit: 100)
        for value in 1...1_000 as ClosedRange<UInt64> { sample.insert(value * millisecond) }
        #expect(!sample.isExact)
        #expect(sample.count == 1_000)
        let found = sample.quantile(0.5)
        let median = try #require(found)
        #expect(abs(Double(median) / Double(500 * millisecond) - 1) < 0.0032)
    }
}

import TestSupport
import Testing

@testable import Handshakes

@Suite("Sliding windows") struct SlidingWindowTests {
    @Test("An empty window has no quantile and no memory") func emptyWindow() {
        let window = SlidingWindowBox()
        #expect(window.quantiles(wantedQuantiles, now: 0).isEmpty)
        #expect(window.count(now: 0) == 0)
    }

    @Test("A value leaves with its second") func aValueLeavesWithItsSecond() {
        let window = SlidingWindowBox()
        window.insert(7, at: 100 * second + 500, now: 100 * second + 500)
        #expect(window.count(now: 160 * second - 1) == 1)
        #expect(window.quantiles([0.5], now: 160 * second - 1) == [7])
        #expect(window.count(now: 160 * second) == 0)
        #expect(window.quantiles([0.5], now: 160 * second).isEmpty)
    }

    @Test("Quantiles are exact up to the limit", arguments: [1, 2, 100, 255, 256])
    func isExactUpToTheLimit(count: UInt64) {
        var generator = SplitMix(seed: count)
        let window = SlidingWindowBox()
        let values = (0..<count).map { _ in generator.handshakeNanoseconds() }
        for value in values { window.insert(value, at: 5 * second, now: 5 * second) }
        let truth = wantedQuantiles.map { oracleQuantile(values, $0) }
        #expect(window.quantiles(wantedQuantiles, now: 5 * second) == truth)
    }

    @Test("They are exact again once the count falls below the limit") func isExactAgainOnceTheCountFallsBack() {
        var generator = SplitMix(seed: 5)
        let window = SlidingWindowBox()
        for _ in 0..<10_000 { window.insert(generator.handshakeNanoseconds(), at: second, now: second) }
        let kept = (0..<256).map { _ in generator.handshakeNanoseconds() }
        for value in kept { window.insert(value, at: 50 * second, now: 50 * second) }
        // Late ones arrive last and expire first: they must not push the kept ones out of the exact values.
        for _ in 0..<300 { window.insert(generator.handshakeNanoseconds(), at: 2 * second, now: 50 * second) }
        #expect(window.count(now: 60 * second) == 10_556)
        #expect(window.count(now: 62 * second) == 256)
        let truth = wantedQuantiles.map { oracleQuantile(kept, $0) }
        #expect(window.quantiles(wantedQuantiles, now: 62 * second) == truth)
    }

    @Test("What is older than the window is refused and counted") func refusesAndCountsWhatIsOlderThanTheWindow() {
        let window = SlidingWindowBox(window: 10 * second)
        #expect(window.insert(1, at: 100 * second, now: 100 * second))
        #expect(window.insert(2, at: 91 * second, now: 100 * second))
        #expect(!window.insert(3, at: 91 * second - 1, now: 100 * second))
        #expect(window.count(now: 100 * second) == 2)
        #expect(window.expiredOnArrival == 1)
        // The late one leaves at its own time.
        #expect(window.count(now: 101 * second) == 1)
    }

    @Test("A jump of the clock empties the window and breaks nothing") func survivesClockJumps() {
        let window = SlidingWindowBox(window: 10 * second)
        window.insert(1, at: 100 * second, now: 100 * second)
        // Back a little: time stands still.
        #expect(window.insert(2, at: 99 * second, now: 98 * second))
        #expect(window.count(now: 97 * second) == 2)
        // A value of the near future belongs to now.
        #expect(window.insert(3, at: 105 * second, now: 100 * second))
        #expect(window.count(now: 109 * second) == 2)
        #expect(window.count(now: 110 * second) == 0)
        window.insert(4, at: 110 * second, now: 110 * second)
        #expect(window.count(now: .max) == 0)
        #expect(window.insert(5, at: .max, now: .max))
        #expect(window.quantiles([1], now: .max) == [5])
    }

    @Test("A loss counts as long as the window overlaps it") func aLossCountsWhileTheWindowOverlapsIt() {
        let mark = LossMarkBox(window: 10 * second)
        #expect(!mark.isIncomplete(now: 50 * second))
        mark.mark(at: 52 * second, now: 53 * second)
        mark.mark(at: 51 * second, now: 53 * second)
        #expect(mark.isIncomplete(now: 53 * second))
        #expect(mark.isIncomplete(now: 62 * second - 1))
        #expect(!mark.isIncomplete(now: 62 * second))
    }

    /// Bursts, lulls, late values, jumps and steps back, against a list and a filter.
    @Test("It agrees with a list that is filtered by second", arguments: [1, 2, 3, 4])
    func agreesWithTheNaiveWindow(seed: UInt64) throws {
        var generator = SplitMix(seed: seed)
        let window = SlidingWindowBox(window: 10 * second)
        var model = NaiveWindow(seconds: 10)
        var now: UInt64 = 1_000 * second
        for step in 0..<1_500 {
            switch Int.random(in: 0..<20, using: &generator) {
            case 0: now += UInt64.random(in: 0..<25 * second, using: &generator)
            case 1: now -= UInt64.random(in: 0..<second / 2, using: &generator)
            default: now += UInt64.random(in: 0..<second / 2, using: &generator)
            }
            let burst = step % 100 < 10 ? 100 : Int.random(in: 0..<8, using: &generator)
            for _ in 0..<burst {
                let value = generator.handshakeNanoseconds()
                let late = Int.random(in: 0..<5, using: &generator) == 0
                let time = now - (late ? UInt64.random(in: 0..<14 * second, using: &generator) : 0)
                let accepted = window.insert(value, at: time, now: now)
                let expected = model.insert(value, at: time, now: now)
                #expect(accepted == expected)
            }
            let truth = model.contents(now: now)
            #expect(window.count(now: now) == UInt64(truth.count))
            let answers = window.quantiles(wantedQuantiles, now: now)
            try #require(answers.count == (truth.isEmpty ? 0 : wantedQuantiles.count))
            for (quantile, answer) in zip(wantedQuantiles, answers) {
                let wanted = try #require(oracleQuantile(truth, quantile))
                if truth.count <= SlidingWindow.exactLimit {
                    #expect(answer == wanted, "step \(step)")
                } else {
                    #expect(isWithinHalfPercent(answer, of: wanted), "step \(step)")
                }
            }
        }
    }

    @Test("Nothing is left over after hours") func leavesNoResidueAfterHours() {
        var generator = SplitMix(seed: 9)
        let window = SlidingWindowBox()
        var now: UInt64 = 0
        for tick in 0..<6 * 3_600 {
            now = UInt64(tick) * second
            for _ in 0..<10 { window.insert(generator.handshakeNanoseconds(), at: now, now: now) }
            if tick % 1_000 == 0 { window.insert(3_600 * second, at: now, now: now) }
        }
        let storage = window.storageBytes
        #expect(window.count(now: now) <= 601)
        #expect(storage <= 61 * 2 * 48 * 512)
        now += 60 * second
        #expect(window.count(now: now) == 0)
        for _ in 0..<300 { window.insert(1_000, at: now, now: now) }
        for answer in window.quantiles(wantedQuantiles, now: now) { #expect(isWithinHalfPercent(answer, of: 1_000)) }
    }
}

@Suite("Ratios in a window") struct RatioWindowTests {
    @Test("A ratio appears at once and leaves by the quarter of a second")
    func ratioAppearsAtOnceAndLeavesByTheQuarterSecond() {
        let window = RatioWindowBox(window: 2 * second)
        #expect(window.ratio(now: 0) == nil)
        window.add(numerator: 1, denominator: 4, at: 0, now: 0)
        #expect(window.ratio(now: 0) == 0.25)
        window.add(numerator: 3, denominator: 4, at: second / 4, now: second / 4)
        #expect(window.ratio(now: 2 * second - 1) == 0.5)
        #expect(window.ratio(now: 2 * second) == 0.75)
        #expect(window.ratio(now: 2 * second + second / 4) == nil)
    }

    @Test("What is late goes into its own slot, what is too old is refused")
    func lateGoesToItsOwnSlotAndOlderIsRefused() {
        let window = RatioWindowBox(window: 2 * second)
        #expect(!window.add(numerator: 0, denominator: 1, at: 0, now: 10 * second))
        #expect(window.expiredOnArrival == 1)
        #expect(window.add(numerator: 1, denominator: 1, at: 9 * second, now: 10 * second))
        #expect(window.ratio(now: 11 * second - 1) == 1)
        #expect(window.ratio(now: 11 * second) == nil)
    }

    @Test("It agrees with a sum over a filtered list") func agreesWithTheNaiveSum() {
        var generator = SplitMix(seed: 21)
        let window = RatioWindowBox(window: 5 * second)
        var values: [(slot: UInt64, numerator: UInt64, denominator: UInt64)] = []
        var now: UInt64 = 77 * second
        for _ in 0..<20_000 {
            now += UInt64.random(in: 0..<second / 3, using: &generator)
            let denominator = UInt64.random(in: 1...1_000_000, using: &generator)
            let numerator = UInt64.random(in: 0...denominator, using: &generator)
            let slot = now / (second / 4)
            values.append((slot, numerator, denominator))
            values.removeAll { slot - $0.slot >= 20 }
            window.add(numerator: numerator, denominator: denominator, at: now, now: now)
            let numerators = values.reduce(0) { $0 + $1.numerator }
            let denominators = values.reduce(0) { $0 + $1.denominator }
            #expect(window.ratio(now: now) == Double(numerators) / Double(denominators))
        }
    }
}

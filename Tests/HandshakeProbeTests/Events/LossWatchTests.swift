import CEvents
import Synchronization
import Testing

@testable import HandshakeProbe

@Suite("When records were lost") struct LossWatchTests {
    /// A kernel and a clock that the test moves.
    private final class Kernel: Sendable {
        let state = Mutex<(now: UInt64, losses: tlswatch_losses)>((100, tlswatch_losses()))

        func set(now: UInt64, count: UInt64, last: UInt64) {
            state.withLock { $0 = (now, tlswatch_losses(count: count, last_ns: last)) }
        }

        var watch: LossWatch {
            LossWatch(now: { self.state.withLock { $0.now } }, read: { self.state.withLock { $0.losses } })
        }

        /// One that finds the clock further on behind each reading of the count, and a loss in between.
        var slowWatch: LossWatch {
            LossWatch(
                now: { self.state.withLock { $0.now } },
                read: {
                    self.state.withLock { state in
                        let losses = state.losses
                        state.losses = tlswatch_losses(count: losses.count + 1, last_ns: state.now + 1)
                        state.now += 10
                        return losses
                    }
                })
        }
    }

    @Test("A loss lies between the last look that did not see it and the time that the kernel noted")
    func aLossLiesBetweenTwoLooks() {
        let kernel = Kernel()
        var watch = kernel.watch
        kernel.set(now: 200, count: 0, last: 0)
        #expect(watch.look() == nil)
        kernel.set(now: 300, count: 4, last: 260)
        #expect(watch.look() == LossSpan(from: 200, to: 260))
        kernel.set(now: 400, count: 4, last: 260)
        #expect(watch.look() == nil, "told once")
        kernel.set(now: 500, count: 5, last: 480)
        #expect(watch.look() == LossSpan(from: 400, to: 480))
    }

    @Test("While records are read it looks again and again, but not for each")
    func looksAreRepeatedWithinARead() {
        let kernel = Kernel()
        var watch = kernel.watch
        #expect(watch.beforeRecord() == nil)
        kernel.set(now: 300, count: 1, last: 250)
        let told = (0..<32).compactMap { _ in watch.beforeRecord() }
        #expect(told == [LossSpan(from: 100, to: 250)])
    }

    @Test("Spans overlap at their edges; the oldest become one, and nothing is forgotten")
    func overlappingSpansBecomeOne() {
        var spans = LossSpans()
        #expect(!spans.overlap(0, .max))
        for index in 0..<200 as Range<UInt64> { spans.add(LossSpan(from: 1000 * index, to: 1000 * index + 10)) }
        for index in 0..<200 as Range<UInt64> {
            #expect(spans.overlap(1000 * index + 10, 1000 * index + 20))
            #expect(spans.overlap(1000 * index - min(index, 5), 1000 * index))
        }
        #expect(!spans.overlap(199_011, 300_000))
        #expect(!spans.overlap(198_011, 198_999), "the newest are kept apart")
    }

    @Test("The count found at the beginning is no loss of the stream")
    func anEarlierCountIsNoLoss() {
        let kernel = Kernel()
        kernel.set(now: 100, count: 7, last: 90)
        var watch = kernel.watch
        kernel.set(now: 200, count: 7, last: 90)
        #expect(watch.look() == nil)
        kernel.set(now: 300, count: 8, last: 250)
        #expect(watch.look() == LossSpan(from: 200, to: 250))
    }

    @Test("A time that was noted before the last look makes the span empty, not reversed")
    func notedEarly() {
        let kernel = Kernel()
        var watch = kernel.watch
        kernel.set(now: 200, count: 0, last: 0)
        #expect(watch.look() == nil)
        kernel.set(now: 300, count: 1, last: 150)
        #expect(watch.look() == LossSpan(from: 200, to: 200))
    }

    @Test("What is lost while a look is on its way lies in the next span: the clock is read before the count")
    func whileLooking() {
        let kernel = Kernel()
        // Reads the count at 100, as does each look 10 later; a loss follows 1 behind each reading.
        var watch = kernel.slowWatch
        #expect(watch.look() == LossSpan(from: 100, to: 101))
        #expect(watch.look() == LossSpan(from: 110, to: 111))
        #expect(watch.look() == LossSpan(from: 120, to: 121))
    }

    @Test("The first record of every 32 is looked before, and no other")
    func everyThirtySecond() {
        let kernel = Kernel()
        var watch = kernel.watch
        let told = (1...100 as ClosedRange<UInt64>).filter { record in
            kernel.set(now: 1000 * record, count: record, last: 1000 * record)
            return watch.beforeRecord() != nil
        }
        #expect(told == [1, 33, 65, 97])
    }

    @Test(
        "A span overlaps what it touches",
        arguments: [
            (0, 99, false), (0, 100, true), (120, 130, true), (0, 900, true), (200, 300, true), (201, 300, false),
        ] as [(UInt64, UInt64, Bool)])
    func aSpanOverlapsWhatItTouches(_ from: UInt64, _ to: UInt64, _ overlaps: Bool) {
        var spans = LossSpans()
        spans.add(LossSpan(from: 100, to: 200))
        #expect(spans.overlap(from, to) == overlaps)
    }

    @Test("Sixty-four spans are kept apart; one more, and the two oldest become one that holds what is between them")
    func spansPastTheLimitAreJoined() {
        func gaps(_ count: UInt64) -> [UInt64] {
            var spans = LossSpans()
            for index in 0..<count { spans.add(LossSpan(from: 1000 * index, to: 1000 * index + 10)) }
            // Which of the gaps behind a span are told as lost.
            return (0..<count).filter { spans.overlap(1000 * $0 + 11, 1000 * $0 + 999) }
        }
        #expect(gaps(64) == [])
        #expect(gaps(65) == [0])
        #expect(gaps(200) == Array(0..<136))
    }

    @Test("The joined span reaches as far as either of the two, in whatever order they came")
    func aJoinedSpanReachesAsFarAsBoth() {
        var spans = LossSpans()
        spans.add(LossSpan(from: 5000, to: 9000))
        spans.add(LossSpan(from: 1000, to: 2000))
        for index in 100..<163 as Range<UInt64> { spans.add(LossSpan(from: 1000 * index, to: 1000 * index + 10)) }
        for time in [1000, 2000, 5000, 9000] as [UInt64] { #expect(spans.overlap(time, time), "\(time)") }
        #expect(!spans.overlap(0, 999))
        #expect(!spans.overlap(9001, 99_999))
    }
}

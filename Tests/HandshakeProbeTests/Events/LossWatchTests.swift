import CBPF
import Synchronization
import Testing

@testable import HandshakeProbe

@Suite struct LossWatchTests {
    /// A kernel and a clock that the test moves.
    private final class Kernel: Sendable {
        let state = Mutex<(now: UInt64, losses: tlswatch_losses)>((100, tlswatch_losses()))

        func set(now: UInt64, count: UInt64, last: UInt64) {
            state.withLock { $0 = (now, tlswatch_losses(count: count, last_ns: last)) }
        }

        var watch: LossWatch {
            LossWatch(now: { self.state.withLock { $0.now } }, read: { self.state.withLock { $0.losses } })
        }
    }

    @Test("A loss lies between the last look that did not see it and the time that the kernel noted")
    func span() {
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
    func stride() {
        let kernel = Kernel()
        var watch = kernel.watch
        #expect(watch.beforeRecord() == nil)
        kernel.set(now: 300, count: 1, last: 250)
        let told = (0..<32).compactMap { _ in watch.beforeRecord() }
        #expect(told == [LossSpan(from: 100, to: 250)])
    }

    @Test("Spans overlap at their edges; the oldest become one, and nothing is forgotten")
    func overlap() {
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
}

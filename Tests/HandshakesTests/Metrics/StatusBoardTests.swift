import TestSupport
import Testing

@testable import Handshakes

@Suite("Figures of the status page") struct StatusBoardTests {
    @Test("The chart has a point for each second of the window, as the window then stood")
    func theChartHasAPointASecond() throws {
        var board = StatusBoard(WindowLength(seconds: 10))
        for step in 0..<30 as Range<UInt64> {
            let now = (100 + step) * second
            if step < 20 { board.completed(completedHandshake(end: now, duration: (step + 1) * millisecond), now: now) }
        }
        var figures = try #require(board.figures(now: 119 * second).first { $0.role == .server })
        #expect(figures.sessions == 10)
        #expect(figures.p50 == 15 * millisecond)
        #expect(figures.p99 == 20 * millisecond)
        #expect(figures.points.count == 10)
        #expect(figures.points.map(\.completed) == [UInt64](repeating: 1, count: 10))
        #expect(figures.points.map(\.p99) == (11...20).map { UInt64($0) * millisecond })
        figures = try #require(board.figures(now: 129 * second + second / 2).first { $0.role == .server })
        #expect(figures.sessions == 0)
        #expect(figures.p50 == nil)
        #expect(figures.points.count == 10)
        #expect(figures.points.allSatisfy { $0.completed == 0 })
        let client = try #require(board.figures(now: 129 * second).first { $0.role == .client })
        #expect(client.sessions == 0)
        #expect(client.p99 == nil)
    }

    @Test("A jump of the clock makes no more points than the chart has")
    func aClockJumpMakesNoMorePoints() throws {
        var board = StatusBoard(WindowLength(seconds: 3_600))
        board.completed(completedHandshake(end: 5 * second), now: 5 * second)
        let figures = board.figures(now: 5_000_000 * second)
        #expect(figures.allSatisfy { $0.points.count == 120 })
    }

    @Test("The slowest of the window, slowest first, at most ten, and no longer than it")
    func theSlowestComeFirst() {
        var generator = SplitMix(seed: 2)
        var slowest = SlowestSessions(window: 60 * second)
        var truth: [(end: UInt64, duration: UInt64)] = []
        for step in 0..<4_000 as Range<UInt64> {
            let end = 100 * second + step * 40 * millisecond
            let duration = generator.handshakeNanoseconds()
            truth.append((end, duration))
            slowest.insert(completedHandshake(end: end, duration: duration), now: end)
        }
        let now = truth.last?.end ?? 0
        let slot = 5 * second
        let wanted = truth.filter { now / slot - $0.end / slot < 12 }.map(\.duration).sorted(by: >).prefix(10)
        let found = slowest.list(now: now).map(\.duration)
        let afterwards = slowest.list(now: now + 60 * second).count
        #expect(found == Array(wanted))
        #expect(afterwards == 0)
    }

    @Test("Counts are summed over stacks and extra labels, the most frequent reason first")
    func endedSessionsAreSummed() {
        var registry = MetricsRegistry(version: "1", options: options(labels: [ExtraLabelOption(.sni)]))
        for (sni, reason, count) in [("a", "unknown_ca", 2), ("b", "unknown_ca", 1), ("a", "peer_closed", 1)] {
            for _ in 0..<count {
                var handshake = unfinishedHandshake(end: second, outcome: .failed, reason: reason)
                handshake.sni = sni
                registry.record(handshake, now: second)
            }
        }
        registry.record(completedHandshake(end: second), now: second)
        let ended = registry.status(now: second).ended
        #expect(
            ended == [
                .init(role: .client, outcome: .failed, reason: "unknown_ca", count: 3),
                .init(role: .client, outcome: .failed, reason: "peer_closed", count: 1),
                .init(role: .server, outcome: .completed, reason: nil, count: 1),
            ])
    }
}

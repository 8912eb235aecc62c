import Logging
import Testing

@testable import tlswatch

@Suite("The budget of log lines") struct LogBudgetTests {
    @Test("A burst is written, the rest is left out and counted, and time brings more")
    func aBurstIsWrittenAndTheRestCounted() {
        let budget = LogBudget(.init(interval: 100, burst: 3), now: 1_000)
        #expect((0..<3).allSatisfy { _ in budget.admit(now: 1_000) == (true, 0) })
        #expect((0..<5).allSatisfy { _ in budget.admit(now: 1_000) == (false, 0) })
        #expect(budget.total == 5)
        #expect(budget.admit(now: 1_100) == (true, 5), "what was left out before it is told once")
        #expect(budget.admit(now: 1_200) == (true, 0))
        #expect(budget.admit(now: 1_250) == (false, 0))
        #expect(budget.total == 6)
    }

    @Test("A line is no longer than it may be, whatever it names")
    func aLogLineIsBounded() {
        let long = String(repeating: "x", count: 100_000)
        #expect(LineLogHandler.oneLine(long).count == 4096)
        let handler = LineLogHandler(shared: SharedLogFormat(.json), journal: false)
        #expect(handler.line(level: .info, message: long, metadata: [:], time: 0).utf8.count < 5_000)
    }
}

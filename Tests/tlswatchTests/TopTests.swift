import Foundation
import Testing

@testable import Handshakes
@testable import tlswatch

@Suite("The live view") struct TopTests {
    private func handshake(_ sni: String?, _ duration: UInt64, outcome: Outcome = .completed, end: UInt64 = 0)
        -> Handshake
    {
        var handshake = Handshake(
            wallTime: 0, start: 0, end: end, pid: 7, tid: 7, comm: "curl", stack: "openssl", library: "/l",
            role: .client,
            outcome: outcome, duration: duration, calls: 1)
        handshake.sni = sni
        return handshake
    }

    private func rows() throws -> (key: HandshakeKey, rows: [HandshakeGroups.Row]) {
        let key = try #require(HandshakeKey.named("sni"))
        var groups = HandshakeGroups(by: [key])
        for _ in 0..<30 { groups.add(handshake("often", 1_000_000)) }
        for _ in 0..<3 { groups.add(handshake("slow", 900_000_000)) }
        for _ in 0..<5 { groups.add(handshake("bad", 1_000, outcome: .failed)) }
        groups.add(handshake(nil, 2_000_000))
        return (key, groups.rows())
    }

    @Test(
        "Rows are sorted by what was asked for; those without a value come last",
        arguments: [
            (.p99, ["slow", nil, "often", "bad"]), (.rate, ["often", "bad", "slow", nil]),
            (.failed, ["bad", "often", "slow", nil]),
        ] as [(TopTable.Order, [String?])])
    func order(_ order: TopTable.Order, _ names: [String?]) throws {
        let (key, rows) = try rows()
        let table = TopTable(key: key, order: order, seconds: 10, columns: 80, lines: 24)
        #expect(table.sorted(rows).map { $0.values[0] } == names)
    }

    @Test(
        "The screen is filled and never exceeded, whatever its size",
        arguments: [(1, 1), (20, 2), (20, 5), (60, 10), (80, 24), (250, 60)])
    func size(_ columns: Int, _ lines: Int) throws {
        let (key, rows) = try rows()
        let table = TopTable(key: key, order: .p99, seconds: 10, columns: columns, lines: lines)
        let screen = table.screen(rows, status: String(repeating: "status ", count: 50), help: "help")
        #expect(screen.count == lines)
        for line in screen { #expect(CellText.width(line) <= columns, "\(line)") }
        if columns >= 60, lines >= 10 {
            let head = "SNI    /S FAILED    P50    P99    MAX MAINLY"
            #expect(screen[1] == head + (columns >= 100 ? " █ cpu ▓ runqueue ▒ unread ░ peer" : ""))
            #expect(screen[2] == "slow  0.3     0%  900ms  900ms  900ms -", "\(screen)")
            #expect(screen[5] == "bad   0.5   100%      -      -      - -", "\(screen)")
            #expect(screen.last == "help")
        }
    }

    @Test("Where there is room, each row's time is a bar") func bar() throws {
        let key = try #require(HandshakeKey.named("sni"))
        var groups = HandshakeGroups(by: [key])
        var timed = handshake("a", 32_000_000)
        timed.parts = HandshakeParts(of: 32_000_000, cpu: 8_000_000, runqueue: 4_000_000, unread: 4_000_000)
        groups.add(timed)
        for (columns, bar) in [(99, ""), (100, " ████████▓▓▓▓▒▒▒▒░░░░░░░░░░░░░░░░")] {
            let table = TopTable(key: key, order: .p99, seconds: 10, columns: columns, lines: 5)
            let row = table.screen(groups.rows(), status: "", help: "")[2]
            #expect(row == "a   0.1     0% 32.0ms 32.0ms 32.0ms peer 50%" + bar)
        }
    }

    @Test("Rows with failures stand out in colour, and nothing does without") func colours() throws {
        let (key, rows) = try rows()
        var table = TopTable(key: key, order: .failed, seconds: 10, columns: 80, lines: 8)
        let plain = table.screen(rows, status: "status", help: "help")
        table.colour = true
        let coloured = table.screen(rows, status: "status", help: "help")
        #expect(plain.allSatisfy { !$0.contains("\u{1b}") })
        let codes = [nil, "1", "31", nil, nil, nil, nil, "2"]
        #expect(
            coloured == zip(plain, codes).map { line, code in code.map { "\u{1b}[\($0)m\(line)\u{1b}[0m" } ?? line })
        var some = HandshakeGroups(by: [key])
        for outcome in [Outcome.completed, .completed, .failed] { some.add(handshake("a", 1_000, outcome: outcome)) }
        #expect(table.screen(some.rows(), status: "", help: "")[2].hasPrefix("\u{1b}[33m"))
    }

    @Test("Sessions go when their time is over, and are bounded")
    func window() {
        var last = LastSessions(window: 10)
        for end in 1...100 as ClosedRange<UInt64> {
            last.add([handshake(nil, 1, end: end)])
            last.advance(to: end)
            #expect(last.all.map(\.end) == (UInt64(max(1, Int(end) - 10))...end).map { $0 })
        }
        last.add((0..<LastSessions.limit + 5).map { _ in handshake(nil, 1, end: 101) })
        last.advance(to: 101)
        #expect(last.all.count == LastSessions.limit)
        // The newest of those that had to make room: rates count from there.
        #expect(last.wholeSince == 101)
        last.advance(to: 1_000)
        #expect(last.all.isEmpty)
    }
}

import ArgumentParser
import Foundation
import HandshakeProbe
import TestSupport
import Testing

@testable import Handshakes
@testable import tlswatch

@Suite("Sessions that are selected and grouped") struct SelectionTests {
    private func handshake(
        _ duration: UInt64, sni: String? = nil, outcome: Outcome = .completed, remote: String? = nil
    ) -> Handshake {
        var handshake = Handshake(
            wallTime: 0, start: 1, end: 1 + duration, pid: 7, tid: 7, comm: "curl", stack: "openssl", library: "/l",
            role: .client, outcome: outcome, duration: duration, calls: 1)
        handshake.sni = sni
        handshake.remote = remote
        return handshake
    }

    private func printed(
        _ selection: SessionSelection, limit: UInt64? = nil, _ handshakes: [Handshake]
    ) throws -> [String] {
        let directory = try TemporaryDirectory()
        let file = try OutputFile(path: directory.file("out"))
        var printer = SessionPrinter(selection, file: file, limit: limit)
        try printer.begin()
        try printer.print(handshakes)
        try printer.finish(inFlight: 0, lost: 0)
        return try directory.text("out").split(separator: "\n").map(String.init)
    }

    @Test(
        "A condition, or a field to group by, that is not understood is bad usage, and its place and what was meant are named",
        arguments: [
            (["capture", "--where", "snl = a"], ["'sni'", "\n  snl = a\n  ^^^\n"]),
            (["replay", "x", "--where", "duration_ns > 5parsecs"], ["5parsecs", "              ^^^^^^^^"]),
            (["replay", "x", "--by", "sni,caus"], ["'cause'"]), (["capture", "--by", "sni,sni"], ["sni twice"]),
            (["capture", "--by", ""], ["expected a field"]),
            (["diff", "a", "b", "--by", "duration"], ["'duration_ns'"]),
            (["replay", "x", "--by", "sni", "--format", "table"], ["--by"]),
            (["replay", "x", "--listen", "127.0.0.1:0", "--where", "pid = 1"], ["--listen cannot be combined"]),
        ])
    func badUsage(_ arguments: [String], _ words: [String]) throws {
        let error = try #require(throws: (any Error).self) { try TLSWatch.parseAsRoot(arguments) }
        #expect(TLSWatch.exitCode(for: error).rawValue == 64)
        let message = TLSWatch.fullMessage(for: error) + "\n"
        for word in words { #expect(message.contains(word), "\(message)") }
    }

    @Test("Only sessions that meet the condition are printed, and count towards the limit")
    func condition() throws {
        let all = (1...10).map { handshake(UInt64($0), sni: $0 % 2 == 0 ? "even" : nil) }
        let selection = SessionSelection(format: .json, filter: try HandshakeFilter("sni = even"))
        #expect(try printed(selection, all).count == 5)
        let some = try printed(selection, limit: 2, all)
        #expect(some.count == 2 && some[1].contains(#""duration_ns":4"#), "\(some)")
        let summary = SessionSelection(format: .summary, filter: try HandshakeFilter("sni = even"))
        let lines = try printed(summary, all)
        #expect(lines[0].hasPrefix("5 sessions: 5 completed"), "\(lines)")
        #expect(lines.contains("5 sessions excluded by --where"), "\(lines)")
    }

    @Test("The groups' figures are those of the sessions, exactly", arguments: [1, 2, 3] as [UInt64])
    func groups(_ seed: UInt64) throws {
        var random = SplitMix(seed: seed)
        var sessions: [Handshake] = []
        for _ in 0..<2_000 {
            let outcome = Outcome.allCases.randomElement(using: &random) ?? .completed
            var handshake = handshake(
                .random(in: 1...1_000_000, using: &random), sni: ["a", "b", nil].randomElement(using: &random) ?? nil,
                outcome: Bool.random(using: &random) ? .completed : outcome)
            if Bool.random(using: &random) {
                handshake.parts = HandshakeParts(of: handshake.duration, cpu: 1, runqueue: 0, unread: 0)
            }
            sessions.append(handshake)
        }
        let keys = try #require(try? HandshakeKey.list("sni,outcome"))
        let lines = try printed(SessionSelection(format: .json, keys: keys), sessions)
        var (seen, last) = (0, Int.max)
        for line in lines {
            let row = try #require(JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
            let own = sessions.filter {
                $0.sni == row["sni"] as? String && $0.outcome.rawValue == row["outcome"] as? String
            }
            #expect(row["sessions"] as? Int == own.count)
            #expect(own.count <= last)
            last = own.count
            seen += own.count
            let sorted = own.filter { $0.outcome == .completed }.map(\.duration).sorted()
            #expect(row["completed"] as? Int == sorted.count)
            #expect(row["failed"] as? Int == own.count { $0.outcome == .failed })
            for (name, percent) in [("p50_ns", 50), ("p90_ns", 90), ("p99_ns", 99), ("max_ns", 100)] {
                // Nearest rank, rounded up, in integers.
                let rank = max(1, (sorted.count * percent + 99) / 100)
                #expect(row[name] as? UInt64 == (sorted.isEmpty ? nil : sorted[rank - 1]), "\(name) \(line)")
            }
            let timed = own.filter { $0.outcome == .completed && $0.parts.cpu != nil }
            #expect(row["timed"] as? Int == (timed.isEmpty ? nil : timed.count))
            #expect(row["peer_total_ns"] as? UInt64 == (timed.isEmpty ? nil : timed.reduce(0) { $0 + $1.duration - 1 }))
        }
        #expect(seen == sessions.count)
    }

    @Test("A row has the share that failed and where the time went; a missing value is a dash")
    func groupTable() throws {
        var sessions = (1...8).map { handshake(UInt64($0) * 1_000_000, sni: "a.example", remote: "192.0.2.1:443") }
        for index in sessions.indices {
            sessions[index].parts = HandshakeParts(
                of: sessions[index].duration, cpu: sessions[index].duration / 4, runqueue: 0, unread: 0)
        }
        sessions += [handshake(1, sni: "a.example", outcome: .failed, remote: "192.0.2.1:443"), handshake(5_000)]
        let keys = try #require(try? HandshakeKey.list("sni,remote_net"))
        let lines = try printed(SessionSelection(format: .summary, keys: keys), sessions)
        #expect(
            lines == [
                "SNI       REMOTE_NET   SESSIONS FAILED    P50    P90    P99    MAX   CPU RUNQ UNREAD  PEER",
                "a.example 192.0.2.0/24        9  11.1% 4.00ms 8.00ms 8.00ms 8.00ms 25.0%   0%     0% 75.0%",
                "-         -                   1     0% 5.00us 5.00us 5.00us 5.00us     -    -      -     -",
            ])
    }

    @Test("What comes after so many groups is in one group together")
    func groupLimit() throws {
        let keys = try #require(try? HandshakeKey.list("sni"))
        var groups = HandshakeGroups(by: keys, limit: 2)
        for name in ["a", "b", "b", "c", "d", "a"] { groups.add(handshake(1, sni: name)) }
        let rows = groups.rows()
        #expect(rows.map(\.sessions) == [2, 2, 2])
        #expect(rows.map(\.isRest) == [false, false, true])
        #expect(GroupTable(keys: keys, width: nil).text(rows).contains("(others)"))
    }

    @Test(
        "A table fits any width: no line is longer, and what may shrink does",
        arguments: [20, 40, 60, 79, 80, 120, 250])
    func widths(_ width: Int) throws {
        let keys = try #require(try? HandshakeKey.list("sni,comm"))
        var groups = HandshakeGroups(by: keys)
        for name in [String(repeating: "long.", count: 40), "日本語.example", "e\u{301}", "短い"] {
            groups.add(handshake(1_000_000, sni: name))
        }
        let text = GroupTable(keys: keys, width: width).text(groups.rows())
        for line in text.split(separator: "\n") { #expect(CellText.width(String(line)) <= width, "\(line)") }
        if width >= 80 { #expect(text.contains(" PEER\n") && text.contains("…")) }
    }

    // MARK: diff

    private func changes(_ before: [Handshake], _ after: [Handshake]) throws -> [GroupChanges.Change] {
        let keys = try #require(try? HandshakeKey.list("sni"))
        func groups(_ sessions: [Handshake]) -> HandshakeGroups {
            var groups = HandshakeGroups(by: keys)
            for session in sessions { groups.add(session) }
            return groups
        }
        return GroupChanges(before: groups(before), after: groups(after)).changes
    }

    @Test("What changed most comes first; chance is told apart from change")
    func mostChangedFirst() throws {
        var random = SplitMix(seed: 7)
        func sessions(_ sni: String, _ count: Int, around middle: UInt64, failing: Int = 0) -> [Handshake] {
            (0..<count).map { index in
                handshake(
                    .random(in: middle / 2...middle * 3 / 2, using: &random), sni: sni,
                    outcome: index < failing ? .failed : .completed)
            }
        }
        let before =
            sessions("same", 1_000, around: 1_000_000) + sessions("slower", 1_000, around: 1_000_000)
            + sessions("little", 1_000, around: 1_000_000) + sessions("failing", 1_000, around: 1_000_000)
            + sessions("few", 4, around: 1_000_000) + sessions("gone", 30, around: 1)
        let after =
            sessions("same", 800, around: 1_000_000) + sessions("slower", 900, around: 3_000_000)
            + sessions("little", 1_000, around: 1_200_000) + sessions("failing", 1_000, around: 1_000_000, failing: 200)
            + sessions("few", 4, around: 1_400_000) + sessions("new", 40, around: 1)
        let found = try changes(before, after)
        #expect(found.map { $0.values[0] } == ["failing", "slower", "little", "new", "gone", "few", "same"])
        #expect(
            found.map(\.kind) == [
                .changed, .changed, .changed, .appeared, .disappeared, .withinChance, .withinChance,
            ])
        // From 1 to 21 %, with the least share: a factor of 21.
        #expect((found[0].size - 4.392).magnitude < 0.001)
        let keys = try #require(try? HandshakeKey.list("sni"))
        let lines = ChangeTable(keys: keys, width: nil).text(found).split(separator: "\n")
        #expect(lines[1].hasPrefix("changed failing 1000 ") && lines[1].contains(" 0% → 20.0% "), "\(lines)")
        #expect(lines[4].hasPrefix("new     new     - → 40 "), "\(lines)")
    }

    @Test("Two halves of one stream have no change, but once in hundreds of times")
    func chance() throws {
        var random = SplitMix(seed: 11)
        func half() -> [Handshake] {
            (0..<200).flatMap { group in
                (0..<200).map { _ in
                    handshake(
                        random.handshakeNanoseconds(), sni: "\(group)",
                        outcome: Int.random(in: 0..<20, using: &random) == 0 ? .failed : .completed)
                }
            }
        }
        let found = try changes(half(), half())
        #expect(found.count == 200)
        #expect(found.count { $0.kind == .changed } <= 6)
    }
}

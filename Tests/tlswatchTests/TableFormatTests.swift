import Handshakes
import Testing

@testable import tlswatch

@Suite("The table of sessions") struct TableFormatTests {
    private func handshake(_ outcome: Outcome, reason: String? = nil) -> Handshake {
        var handshake = Handshake(
            wallTime: 1_234_567_890, start: 0, end: 0, pid: 7, tid: 8, comm: "nginx", stack: "openssl",
            library: "/libssl.so.3", role: .server, outcome: outcome, duration: 1_834_211, calls: 2)
        handshake.reason = reason
        return handshake
    }

    /// The cells of a line, by where the heads stand.
    private func cells(_ line: String, _ table: TableFormat = TableFormat(colour: false)) -> [String: String] {
        let head = Array(table.header())
        let starts = head.indices.filter { head[$0] != " " && ($0 == 0 || head[$0 - 1] == " ") }
        let line = Array(line)
        var cells: [String: String] = [:]
        for (index, start) in starts.enumerated() {
            let end = index + 1 < starts.count ? starts[index + 1] : line.count
            let cell = String(line[min(start, line.count)..<min(max(start, end), line.count)])
            cells[String(head[start...].prefix { $0 != " " })] = String(cell.reversed().drop { $0 == " " }.reversed())
        }
        return cells
    }

    @Test("Each column tells its fields, and a dash where a session has none of them")
    func columnsTellTheirFields() throws {
        let table = TableFormat(colour: false)
        var failed = handshake(.failed, reason: "handshake_failure")
        let plain = cells(table.line(failed))
        let time = try #require(plain["TIME"])
        #expect(time.wholeMatch(of: /\d\d:\d\d:\d\d\.2/) != nil, "\(time)")
        #expect(
            plain == [
                "TIME": time, "PROCESS": "nginx/7", "ROLE": "server", "VERSION": "-", "ALPN": "-", "SNI": "-",
                "PEER": "-",
                "TOTAL": "1.83ms", "MAINLY": "-", "OUTCOME": "failed handshake_f…",
            ])
        (failed.tlsVersion, failed.alpn, failed.sni) = ("TLSv1.3", "h2", "a.example.longer.than.that")
        failed.remote = "192.0.2.7:51514"
        let known = cells(table.line(failed))
        #expect(known["VERSION"] == "TLSv1.3" && known["ALPN"] == "h2" && known["PEER"] == "←192.0.2.7", "\(known)")
        #expect(known["SNI"]?.hasSuffix("…") == true)
        failed.role = .client
        #expect(cells(table.line(failed))["PEER"] == "→192.0.2.7:51514")
        #expect(cells(table.line(handshake(.completed)))["OUTCOME"] == "completed")
        #expect(cells(table.line(handshake(.timeout)))["OUTCOME"] == "timeout")
    }

    private func long() -> Handshake {
        var handshake = handshake(.failed, reason: "unsupported_certificate_and_more")
        handshake.comm = "日本語のプロセス名"
        handshake.tlsVersion = "DTLSv1.2"
        handshake.alpn = "http/1.1-and-a-lot-more"
        handshake.sni = String(repeating: "name.", count: 50)
        handshake.remote = "[2001:db8:1111:2222:3333:4444:5555:6666]:443"
        handshake.parts = HandshakeParts(of: 1_834_211, cpu: 0, runqueue: 1_834_211, unread: 0)
        return handshake
    }

    @Test("No line is wider than its terminal", arguments: [1, 10, 20, 40, 60, 79, 80, 81, 100, 120, 200, 250])
    func widths(_ width: Int) {
        let table = TableFormat(colour: false, width: width)
        let waterfall = WaterfallFormat(colour: false, width: width)
        let lines =
            [table.header(), table.line(long())] + waterfall.text(long()).split(separator: "\n").map(String.init)
        for line in lines { #expect(CellText.width(line) <= width, "\(line)") }
    }

    @Test("80 columns have the peer and where the time went; wider ones give the room to names and addresses")
    func room() {
        var session = long()
        session.comm = "a-process-with-a-name"
        let narrow = cells(TableFormat(colour: false, width: 80).line(session), TableFormat(colour: false, width: 80))
        #expect(Set(narrow.keys) == ["TIME", "PROCESS", "SNI", "PEER", "TOTAL", "MAINLY", "OUTCOME"])
        #expect(narrow["MAINLY"] == "runqueue 100%" || narrow["MAINLY"] == "runqueue 10…", "\(narrow)")
        let wide = TableFormat(colour: false, width: 250).line(long())
        #expect(
            wide.contains("←2001:db8:1111:2222:3333:4444:5555:6666")
                && wide.contains("unsupported_certificate_and_more"))
        #expect(wide.contains(String(repeating: "name.", count: 11)))
    }

    @Test("A waterfall has each phase at its place, and where the time went")
    func waterfall() {
        var handshake = handshake(.completed)
        (handshake.start, handshake.end, handshake.duration) = (3_000_000, 4_000_000, 1_000_000)
        handshake.timeline.clientHello = 3_250_000
        handshake.timeline.keyExchangeBegin = 3_250_000
        handshake.timeline.keyExchangeEnd = 3_500_000
        // Long before: at the edge.
        handshake.timeline.connecting = 1
        handshake.timeline.established = 500
        handshake.parts = HandshakeParts(of: 1_000_000, cpu: 500_000, runqueue: 0, unread: 250_000)
        // 13 for names, 8 for figures, 4 between them.
        let lines = WaterfallFormat(colour: false, width: 65).text(handshake).split(separator: "\n").map(String.init)
        func row(_ name: String) -> String { lines.first { $0.hasPrefix("  " + name) } ?? "" }
        func bar(_ name: String) -> String { String(row(name).dropFirst(15).prefix(40)) }
        #expect(bar("TCP connect").hasPrefix("◀ ") && row("TCP connect").hasSuffix(" 499ns"))
        #expect(bar("ClientHello") == String(repeating: " ", count: 10) + "◆" + String(repeating: " ", count: 29))
        #expect(
            bar("key exchange")
                == String(repeating: " ", count: 10) + String(repeating: "█", count: 10)
                + String(repeating: " ", count: 20))
        #expect(bar("finish") == String(repeating: " ", count: 20) + String(repeating: "█", count: 20))
        #expect(
            bar("time")
                == String(repeating: "█", count: 20) + String(repeating: "▒", count: 10)
                + String(repeating: "░", count: 10))
        #expect(lines.contains { $0.contains("█ cpu 50.0%  ▓ runqueue 0%  ▒ unread 25.0%  ░ pee") }, "\(lines)")
    }
}

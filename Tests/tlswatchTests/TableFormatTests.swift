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

    /// The cells of a line, by the columns' widths.
    private func cells(_ line: String) -> [String] {
        var rest = Substring(line)
        return [10, 12, 6, 7, 8, 12, 6, 12, 19].map { width in
            defer { rest = rest.dropFirst(width + 1) }
            return String(rest.prefix(width).reversed().drop { $0 == " " }.reversed())
        }
    }

    @Test("Each column tells its fields, and a dash where a session has none of them")
    func columnsTellTheirFields() throws {
        let table = TableFormat(colour: false)
        #expect(
            cells(table.header())
                == ["TIME", "PROCESS", "ROLE", "VERSION", "ALPN", "SNI", "TOTAL", "MAINLY", "OUTCOME"])
        var failed = handshake(.failed, reason: "handshake_failure")
        let plain = cells(table.line(failed))
        let time = try #require(plain.first)
        #expect(time.wholeMatch(of: /\d\d:\d\d:\d\d\.2/) != nil, "\(time)")
        #expect(
            plain.dropFirst()
                == ["nginx/7", "server", "-", "-", "-", "1.83ms", "-", "failed handshake_f…"])
        (failed.tlsVersion, failed.alpn, failed.sni) = ("TLSv1.3", "h2", "a.example.longer.than.that")
        #expect(cells(table.line(failed))[3...5] == ["TLSv1.3", "h2", "a.example.l…"])
        #expect(cells(table.line(handshake(.completed))).last == "completed")
        #expect(cells(table.line(handshake(.timeout))).last == "timeout")
    }
}

import Foundation
import Testing

@testable import HandshakeProbe
@testable import Handshakes
@testable import tlswatch

@Suite("The status page") struct StatusPageTests {
    static func page(_ status: StatusSnapshot, version: String = "1.2.3", host: String = "edge-7") throws -> String {
        try #require(String(validating: StatusPage.render(status, version: version, host: host), as: UTF8.self))
    }

    /// What stands between two markers, the first time.
    static func part(_ page: String, from begin: String, to end: String) throws -> String {
        let start = try #require(page.range(of: begin)).upperBound
        let stop = try #require(page.range(of: end, range: start..<page.endIndex)).lowerBound
        return String(page[start..<stop])
    }

    @Test("The figures of both roles are there") func theFiguresOfBothRolesAreThere() throws {
        let page = try Self.page(StatusFixtures.edge)
        let client = try Self.part(page, from: "<h2 id=\"client\">", to: "</section>")
        let server = try Self.part(page, from: "<h2 id=\"server\">", to: "</section>")
        for (value, text) in [(6_420_000, "6.42"), (18_300_000, "18.3"), (41_700_000, "41.7")] {
            #expect(client.contains("<data value=\"\(value)\">\(text)<small> ms</small></data>"))
        }
        #expect(client.contains("214 completed in 60\u{a0}s · 3.57/s"))
        #expect(server.contains("1,482 completed in 60\u{a0}s · 24.7/s"))
        #expect(page.contains("<title>tlswatch · edge-7</title>"))
        #expect(page.contains(">03:04:05</time> UTC"))
        #expect(page.contains("tlswatch 1.2.3"))
    }

    @Test("Outcomes are summed, with their reasons beneath") func outcomesAreSummedWithTheirReasonsBeneath() throws {
        let table = try Self.part(
            try Self.page(StatusFixtures.edge), from: "<table class=\"outcomes\">", to: "</table>")
        let rows = table.components(separatedBy: "<tr>").dropFirst(2).map {
            $0.replacing(/<[^>]*>/, with: " ").split(separator: " ").map(String.init)
        }
        #expect(rows.contains(["completed", "48,211", "6,204,118", "99.6\u{a0}%"]))
        #expect(rows.contains(["failed", "49", "25,468", "0.4\u{a0}%"]))
        // A reason may be broken behind its underscores.
        #expect(rows.contains(["unknown_", "ca", "12", "64", "&lt;0.1\u{a0}%"]))
        #expect(rows.contains(["abandoned", "4", "1,133", "&lt;0.1\u{a0}%"]))
        let failed = try #require(rows.firstIndex { $0.first == "failed" })
        #expect(rows[failed + 1].first == "peer_", "the most frequent reason comes first")
    }

    @Test("Reasons beyond the limit are summed") func reasonsBeyondTheLimitAreSummed() throws {
        var status = StatusFixtures.edge
        status.ended = (1...20).map { StatusFixtures.ended(.server, .failed, "reason\($0)", UInt64($0)) }
        let page = try Self.page(status)
        #expect(page.contains("<code>reason20</code>"))
        #expect(page.contains("<code>reason9</code>"))
        #expect(!page.contains("<code>reason8</code>"))
        #expect(try Self.part(page, from: "8 more reasons", to: "</tr>").contains("<td>36</td>"))
    }

    @Test("Unobserved libraries come first, and those beyond the limit are counted")
    func librariesBeyondTheLimitAreCountedAndUnobservedOnesComeFirst() throws {
        var status = StatusFixtures.edge
        status.libraries = (0..<30).map {
            .init(
                stack: "openssl", path: "/lib/\($0).so", version: nil, processes: 1,
                unobserved: $0 == 29 ? "attach_failed" : nil, detail: nil)
        }
        let list = try Self.part(try Self.page(status), from: "<ul class=\"libraries\">", to: "</section>")
        #expect(list.hasPrefix("<li><b>/lib/29.so</b>"))
        #expect(list.components(separatedBy: "<li>").count - 1 == StatusPage.mostLibraries)
        #expect(list.contains("6 more"))
    }

    @Test("What is missing is a dash and never 0") func whatIsMissingIsADashAndNeverZero() throws {
        var status = StatusFixtures.edge
        status.figures[0].p99 = nil
        var bare = StatusFixtures.slowest[0]
        (bare.keyExchange, bare.alpnNegotiation, bare.tcpConnect, bare.cipher, bare.sni) = (nil, nil, nil, nil, nil)
        bare.timeline = HandshakeTimeline()
        status.slowest = [bare]
        let page = try Self.page(status)
        #expect(
            page.contains("<dt>P99</dt><dd><abbr title=\"no completed session in the window\">–</abbr></dd>"))
        let item = try Self.part(page, from: "<ol class=\"slowest\">", to: "</ol>")
        let dash = "<abbr title=\"not observed\">–</abbr>"
        for name in ["TCP connect", "ALPN negotiation", "key exchange"] {
            #expect(item.contains("<th scope=\"row\">\(name)</th><td></td><td>\(dash)</td>"))
        }
        #expect(item.contains("<dt>cipher<dd>\(dash)"))
        for phase in ["tcp", "kex", "finish", "tickets", "alpn", "hello"] {
            #expect(!item.contains("class=\"\(phase)\""), "no \(phase) was seen")
        }
    }

    @Test("A session's details have every field: those that the page does not name where the session has them")
    func detailsHaveEveryField() throws {
        var handshake = StatusFixtures.slowest[1]
        (handshake.earlyData, handshake.transport) = (nil, .quic)
        let details = String(decoding: StatusPage.details(handshake).bytes, as: UTF8.self)
        let facts = details.matches(of: /<dt>([^<]*)<dd>/).map { String($0.output.1) }
        #expect(
            facts == [
                "process", "program", "library", "stack", "server name", "local", "remote", "socket confidence",
                "TLS version", "cipher", "group", "ALPN", "resumed", "HelloRetryRequest", "client certificate",
                "observed by", "cause", "retransmissions", "transport", "calls", "start",
            ])
        let times = details.matches(of: /<th scope="row">([^<]*)<\/th>/).map { String($0.output.1) }
        #expect(
            times == [
                "TCP connect", "handshake", "busy", "CPU", "run queue", "wait", "unread", "peer", "first-record delay",
                "ALPN negotiation", "key exchange", "key agreement (CPU)", "until Finished verified", "round trip",
            ])
        #expect(details.contains("<dt>process<dd>nginx, pid 812, tid 812<dt>program<dd>/usr/sbin/nginx<dt>"))
        #expect(
            details.contains(
                "<dt>observed by<dd>library<dt>cause<dd>peer<dt>retransmissions<dd>0<dt>transport<dd>quic<dt>calls<dd>2<dt>start<dd>2026-"
            ))
    }

    @Test("An incomplete window is marked") func anIncompleteWindowIsTold() throws {
        #expect(!(try Self.page(StatusFixtures.edge).contains("Incomplete window:")))
        let page = try Self.page(StatusFixtures.incomplete)
        #expect(page.contains("Incomplete window:"))
        #expect(page.contains("1,207 events were lost or rejected since the start"))
        #expect(page.contains("<p class=\"quiet\">No client session on this host yet.</p>"))
        // The rate stands on the time that was watched, not on the whole window.
        #expect(page.contains("1,482 completed in 21\u{a0}s · 70.6/s"))
    }

    @Test("An empty page says what to do and why nothing is seen") func anEmptyPageSaysWhatToDoAndWhyNothingIsSeen()
        throws
    {
        let page = try Self.page(StatusFixtures.empty)
        #expect(page.contains("No handshake has ended yet"))
        #expect(page.contains("curl -sS"))
        #expect(page.contains("Nothing is observed now."))
        #expect(page.contains("14 <code>permission</code> (the kernel refused the probes: CAP_BPF"))
        #expect(!page.contains("<table"))
        var quiet = StatusFixtures.empty
        quiet.unobservedProcesses = [:]
        #expect(try Self.page(quiet).contains("No process uses TLS now."))
    }

    @Test("The page fits one small response") func thePageFitsOneSmallResponse() throws {
        #expect(StatusPage.render(StatusFixtures.edge, version: "1.2.3", host: "edge-7").count < 70_000)
        // An hour is drawn in no more columns than fit.
        var status = StatusFixtures.edge
        status.window = 3_600
        for index in status.figures.indices {
            status.figures[index] = StatusFixtures.figures(
                .server, sessions: 9, p50: 1_000, p90: 2_000, p99: 3_000, rate: 9, seed: 1, seconds: 3_600)
        }
        let page = try Self.page(status)
        #expect(page.contains("viewBox=\"0 0 120 100\""))
        #expect(page.utf8.count < 80_000)
    }

    /// The chart of a daemon that has run for a while, from the board itself.
    private func chart(window: UInt64, uptime: UInt64, rate: UInt64) throws -> String {
        var board = StatusBoard(WindowLength(seconds: window))
        let start: UInt64 = 1_000
        for second in 0..<uptime {
            for number in 0..<rate {
                let now = (start + second) * 1_000_000_000 + number * 1_000_000
                var handshake = StatusFixtures.slowest[0]
                handshake.role = .server
                handshake.end = now
                board.completed(handshake, now: now)
            }
        }
        var status = StatusFixtures.edge
        (status.window, status.uptime) = (window, uptime)
        status.figures = board.figures(now: (start + uptime) * 1_000_000_000 - 1)
        return try Self.part(try Self.page(status), from: "<h2 id=\"server\">", to: "</section>")
    }

    @Test("The bars are handshakes a second, however long the window is", arguments: [UInt64(60), 600, 3_600])
    func theBarsTellHandshakesASecondHoweverLongTheWindowIs(_ window: UInt64) throws {
        let chart = try chart(window: window, uptime: 300, rate: 17)
        #expect(chart.contains(">17/s</text>") || chart.contains(">17.0/s</text>"), "\(chart.prefix(3000))")
    }

    @Test("What is known stands at the right of what is not yet") func whatIsKnownStandsAtTheRightOfWhatIsNotYet()
        throws
    {
        // 25 s of ten minutes, in columns of 5 s: the last five of 120.
        let young = try chart(window: 600, uptime: 25, rate: 2)
        #expect(young.contains("viewBox=\"0 0 120 100\""))
        #expect(young.contains("before the start"))
        #expect(young.contains("M115.12 100"))
        #expect(!young.contains("M114.12 100"))
        #expect(young.contains("class=\"unseen\" width=\"95.8"))
        #expect(try !chart(window: 600, uptime: 700, rate: 2).contains("before the start"))
    }

    @Test("Styles and scripts are those of the policy's hashes") func stylesAndScriptsAreThoseOfTheHashes() throws {
        let page = try Self.page(StatusFixtures.edge)
        let policy = try #require(StatusPage.headers.first { $0.name == "Content-Security-Policy" }?.value)
        for (element, directive) in [("style", "style-src"), ("script", "script-src")] {
            let text = try Self.part(page, from: "<\(element)>", to: "</\(element)>")
            let hash = try Witness.python(
                "import sys,hashlib,base64\nb=sys.stdin.buffer.read()\n"
                    + "print(base64.b64encode(hashlib.sha256(b).digest()).decode(),end='')", input: Array(text.utf8))
            #expect(policy.contains("\(directive) 'sha256-\(hash)';"), "the \(element)'s hash is \(hash)")
            #expect(page.components(separatedBy: "<\(element)").count == 2)
        }
        for directive in [
            "default-src 'none'", "connect-src 'self'", "base-uri 'none'", "form-action 'self'",
            "frame-ancestors 'none'",
        ] {
            #expect(policy.contains(directive))
        }
        #expect(!policy.contains("unsafe"))
        #expect(!page.contains(" style="))
        #expect(!page.contains("src="))
        let names = StatusPage.headers.map(\.name)
        #expect(
            Set(names).isSuperset(of: ["Content-Type", "X-Content-Type-Options", "Referrer-Policy", "Cache-Control"]))
    }
}

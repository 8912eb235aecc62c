import Kernel
import TestSupport
import Testing

@testable import HandshakeProbe
@testable import Handshakes
@testable import tlswatch

@Suite("The page of some sessions") struct PageSelectionTests {
    private static func session(_ sni: String?, _ comm: String, _ stack: String, number: Int) -> Handshake {
        var handshake = Handshake(
            wallTime: Int64(number), start: 1, end: 2_000_001, pid: UInt32(number), tid: 7, comm: comm, stack: stack,
            library: "/l", role: .client, outcome: .failed, duration: 2_000_000, calls: 1)
        handshake.sni = sni
        handshake.reason = "unknown_ca"
        return handshake
    }

    private static let sessions = [
        session("a.example", "curl", "openssl", number: 1), session("b\"\\.example", "curl", "go", number: 2),
        session(nil, "nginx", "openssl", number: 3),
    ]

    private func pids(_ parameters: [(name: String, value: String)]) -> [UInt32] {
        let selection = PageSelection(parameters)
        return Self.sessions.filter(selection.passes).map(\.pid)
    }

    @Test("A server name, a process, a stack and a condition select, and all of them together")
    func selects() {
        #expect(pids([]) == [1, 2, 3])
        #expect(pids([("sni", "a.example")]) == [1])
        #expect(pids([("sni", "b\"\\.example")]) == [2], "quotes and backslashes are text")
        #expect(pids([("comm", "curl")]) == [1, 2])
        #expect(pids([("stack", "openssl")]) == [1, 3])
        #expect(pids([("comm", "curl"), ("stack", "openssl")]) == [1])
        #expect(pids([("where", "pid = 1 or pid = 3"), ("stack", "openssl"), ("comm", "nginx")]) == [3])
        // A form sends its empty fields, too.
        #expect(pids([("sni", ""), ("comm", ""), ("stack", "go"), ("where", "")]) == [2])
        #expect(PageSelection([("sni", ""), ("where", "")]).isEmpty)
    }

    @Test(
        "What cannot be answered shows no session, and says why",
        arguments: [
            ([("where", "snl = a")], "'sni'"), ([("where", "sni = a) or (pid = 1"), ("comm", "curl")], ""),
            ([("snl", "a")], "unknown parameter 'snl'; did you mean 'sni'?"),
            ([("sni", "a"), ("sni", "b")], "sni is given twice"),
        ] as [([(String, String)], String)])
    func faults(_ parameters: [(String, String)], _ words: String) {
        let named = parameters.map { (name: $0.0, value: $0.1) }
        #expect(pids(named).isEmpty)
        let fault = PageSelection(named).fault
        #expect(fault?.contains(words) == true, "\(fault ?? "none")")
    }

    @Test("/sessions is asked the same by the page's link")
    func link() throws {
        let selection = PageSelection([("sni", "b\"\\.example"), ("where", "pid > 1 and not comm ~ 'é&+%'")])
        let query = try #require(selection.sessions.split(separator: "?", maxSplits: 1).last)
        let asked = try SessionsRoute.Query(SessionsRoute.parameters(of: String(query)))
        #expect(asked.filter?.description == selection.filter?.description)
        #expect(Self.sessions.filter { asked.filter?.passes($0) ?? true }.map(\.pid) == [2])
        #expect(PageSelection().sessions == "sessions")
    }

    private static var source: MetricsSource {
        var source = MetricsSource.quiet
        source.snapshot = {
            var registry = MetricsRegistry(version: "test")
            var snapshot = EngineSnapshot.with(registry.snapshot(now: monotonicNow()))
            var recent = RecentSessions(slow: 1)
            for session in sessions { recent.keep(session) }
            snapshot.recent = recent
            return snapshot
        }
        return source
    }

    @Test("The page's lists are limited to the selection; its form has what was asked for, and needs no script")
    func page() async throws {
        try await serving(Self.source) { (server) async throws in
            let all = try await server.get("/")
            #expect(all.status == 200)
            for pid in 1...3 { #expect(all.body.contains("<small>\(pid)</small>")) }
            #expect(!all.body.contains("all sessions</a>"))
            let some = try await server.get("/?comm=curl&stack=openssl&sni=&where=")
            #expect(some.status == 200)
            #expect(some.body.contains("<small>1</small>"))
            for pid in 2...3 { #expect(!some.body.contains("<small>\(pid)</small>")) }
            #expect(some.body.contains("<code>comm = &quot;curl&quot; and stack = &quot;openssl&quot;</code>"))
            #expect(some.body.contains(#"<input name="comm" value="curl""#))
            #expect(some.body.contains("<form class=\"select\" method=\"get\""))
            #expect(some.headers["content-security-policy"]?.contains("form-action 'self'") == true)
            // What is slowest is told of the same sessions only.
            let slowest = StatusFixtures.edge.slowest
            let selected = slowest.count { $0.comm == "curl" && $0.stack == "openssl" }
            #expect(some.body.contains("\(selected) of the \(slowest.count) slowest are selected"))
            let none = try await server.get("/?comm=sshd")
            #expect(none.body.contains("None of those that are kept is selected."))
            let wrong = try await server.get("/?where=snl%20%3D%20a")
            #expect(wrong.status == 400)
            #expect(wrong.body.contains("No session is selected:") && wrong.body.contains("<main id=\"main\""))
            for pid in 1...3 { #expect(!wrong.body.contains("<small>\(pid)</small>")) }
        }
    }

    @Test(
        "What was asked for cannot become markup",
        arguments:  // Past their longest length, conditions have another page.
            HostileTextTests.texts.filter { (1..<1_000).contains($0.utf8.count) })
    func hostile(_ text: String) throws {
        for name in ["sni", "where", "unknown"] {
            let pages = ["plain", text].map { text in
                StatusPage.render(
                    StatusFixtures.edge, version: "1", host: "h", selection: PageSelection([(name, text)]))
            }
            #expect(try HostileTextTests.structure(pages[1]) == HostileTextTests.structure(pages[0]))
            let valid = try #require(String(validating: pages[1], as: UTF8.self))
            #expect(
                valid.unicodeScalars.allSatisfy {
                    $0 == "\n"
                        || ![.control, .format, .lineSeparator, .paragraphSeparator].contains(
                            $0.properties.generalCategory)
                })
        }
    }
}

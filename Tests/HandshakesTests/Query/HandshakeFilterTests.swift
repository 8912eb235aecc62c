import TestSupport
import Testing

@testable import Handshakes

@Suite("Conditions on sessions") struct HandshakeFilterTests {
    /// One with most facts, and without a server name.
    private var session: Handshake {
        var handshake = completedHandshake(end: 3_600 * second, duration: 50 * millisecond)
        handshake.wallTime = 1_767_323_045_678_901_234
        handshake.remote = "192.0.2.7:51514"
        handshake.local = "[::1]:443"
        handshake.exe = "/usr/sbin/nginx"
        return handshake
    }

    @Test(
        "Comparisons by kind",
        arguments: [
            ("comm = nginx", true), ("comm = 'nginx'", true), ("comm=nginx", true), ("comm = Nginx", false),
            ("comm != nginx", false), ("comm ~ ^ng", true), ("comm ~ gin", true), ("comm !~ gin", false),
            ("exe = /usr/sbin/nginx", true), (#"exe ~ "/nginx$""#, true), ("pid = 4242", true), ("pid > 4241", true),
            ("pid >= 4243", false), ("pid<4243", true), ("duration_ns = 50ms", true), ("duration_ns = 50000000", true),
            ("duration_ns > 50ms", false), ("duration_ns >= 0.05s", true), ("duration_ns < 1m30s", true),
            ("duration_ns <= 49.999999ms", false), ("resumed = false", true), ("resumed != true", true),
            ("alpn_share = 0.1", true), ("alpn_share > 9%", true), ("alpn_share < 10%", false),
            ("alpn_share = 10%", true),
            ("outcome = completed", true), ("outcome ~ ^(failed|completed)$", true),
            ("time = 2026-01-02", true), ("time = 2026-01-02T03:04Z", true),
            ("time = 2026-01-02T03:04:05.678901234Z", true),
            ("time = 2026-01-02T03:04:05.678901235Z", false), ("time > 2026-01-02", false),
            ("time >= 2026-01-02", true),
            ("time < 2026-01-03", true), ("remote = 192.0.2.7", true), ("remote = 192.0.2.7:51514", true),
            ("remote = 192.0.2.7:443", false), ("remote = 192.0.2.70", false), ("local = ::1", true),
            ("local = [::1]", true),
            ("local = [::1]:443", true), ("local = [::1]:80", false), (#"local ~ ":443$""#, true),
        ] as [(String, Bool)])
    func comparisons(_ text: String, _ passes: Bool) throws {
        // Unquoted, a parenthesis is the language's.
        let quoted = text.contains("^(") ? text.replacing("^(failed|completed)$", with: "'^(failed|completed)$'") : text
        #expect(try HandshakeFilter(quoted).passes(session) == passes)
    }

    @Test(
        "An absent field is equal to nothing: no comparison with it holds, and those by != and !~ do",
        arguments: [
            ("sni = a", false), ("sni ~ a", false), ("sni ~ ''", false), ("finished_ns < 1h", false),
            ("finished_ns > 0", false),
            ("sni != a", true), ("sni !~ a", true), ("not sni = a", true), ("has sni", false), ("not has sni", true),
            ("has sni and sni != a", false), ("has comm", true),
        ])
    func absence(_ text: String, _ passes: Bool) throws {
        #expect(try HandshakeFilter(text).passes(session) == passes)
    }

    @Test(
        "'and' binds closer than 'or', 'not' closest",
        arguments: [
            ("pid = 1 and pid = 2 or comm = nginx", true), ("comm = nginx or pid = 1 and pid = 2", true),
            ("(comm = nginx or pid = 1) and pid = 2", false), ("not pid = 1 and comm = nginx", true),
            ("not (pid = 1 or comm = nginx)", false), ("not not comm = nginx", true), ("(((comm = nginx)))", true),
            ("comm = nginx\n and\tpid = 4242", true), ("comm = 'and' or comm = \"nginx\"", true),
        ])
    func precedence(_ text: String, _ passes: Bool) throws {
        #expect(try HandshakeFilter(text).passes(session) == passes)
    }

    @Test("Within quotes a backslash is itself, except before the quote and another backslash")
    func quotes() throws {
        var session = session
        session.sni = #"a"b'c\d"#
        for text in [#"sni = "a\"b'c\d""#, #"sni = 'a"b\'c\\d'"#, #"sni ~ 'c\\\d|c\\\\d'"#] {
            #expect(try HandshakeFilter(text).passes(session), "\(text)")
        }
    }

    @Test(
        "What is wrong is said with its place",
        arguments: [
            ("", "", "the expression is empty"), ("snl = a", "snl", "did you mean 'sni'?"),
            ("duration > 5ms", "duration", "did you mean 'duration_ns'?"), ("xyzzy = 1", "xyzzy", "unknown field"),
            ("sni", "sni", "expected an operator"), ("sni =", "", "expected a value"),
            ("sni = and", "and", "expected a value"),
            ("sni ~ (a|b)", "(", "in quotes"), ("sni ~ a|b", "|", "in quotes"), ("sni == a", "==", "write '='"),
            ("sni =~ a", "=~", "write '~'"), ("sni = a && pid = 1", "&&", "write 'and'"),
            ("! sni = a", "!", "write 'not'"),
            ("(sni = a", "(", "not closed"), ("sni = a)", ")", "unmatched ')'"), ("sni = 'a", "'", "not closed"),
            ("sni = a pid = 1", "pid", "expected 'and' or 'or'"), ("sni > a", "a", "cannot be used"),
            ("pid ~ 4", "4", "pid is not text"),
            ("pid = 5ms", "5ms", "whole number"), ("pid = -1", "-1", "whole number"), ("duration_ns > 5", "", ""),
            ("duration_ns > 5 ms", "ms", "expected 'and' or 'or'"),
            ("duration_ns > 5lightyears", "5lightyears", "a duration"),
            ("resumed = yes", "yes", "true or false"),
            ("outcome = fail", "fail", "completed, failed, abandoned or timeout"),
            ("outcome = faild", "faild", "did you mean 'failed'?"), ("alpn_share > big", "big", "a share"),
            ("time > yesterday", "yesterday", "a time in UTC"), ("time > 2026-02-30", "2026-02-30", "a time in UTC"),
            (#"sni ~ "a(b""#, "(", "not closed"), (#"sni ~ a\1"#, #"\1"#, "not supported"),
            ("has", "", "expected a field"),
            ("not", "", "expected a field"), ("has (sni)", "(", "expected a field"),
            ("remote_net = 10.0.0.0/8", "remote_net", "remote"),
        ])
    func errors(_ text: String, _ place: String, _ message: String) throws {
        guard !message.isEmpty else {
            _ = try HandshakeFilter(text)
            return
        }
        let error = try #require(throws: ExpressionError.self) { try HandshakeFilter(text) }
        #expect(error.message.contains(message), "\(error)")
        #expect(String(decoding: Array(text.utf8)[error.place], as: UTF8.self) == place, "\(error)")
    }

    @Test("The message has the expression, and carets below what is meant")
    func carets() throws {
        let error = try #require(throws: ExpressionError.self) { try HandshakeFilter("sni = é and pidd > 1") }
        #expect(
            error.description
                == "unknown field 'pidd'; did you mean 'pid'?\n  sni = é and pidd > 1\n              ^^^^")
        let long = String(repeating: "sni = a or ", count: 50) + "nix = 1" + String(repeating: " or sni = a", count: 50)
        let lines = try #require(throws: ExpressionError.self) { try HandshakeFilter(long) }.description.split(
            separator: "\n")
        #expect(lines.count == 3 && lines.allSatisfy { $0.count <= 80 })
        let marks = lines[2].firstIndex(of: "^").map { lines[2].distance(from: lines[2].startIndex, to: $0) } ?? 0
        #expect(lines[1].dropFirst(marks).hasPrefix("nix = 1"), "\(lines)")
    }

    @Test("An expression is bounded in length and depth")
    func bounds() throws {
        #expect(throws: ExpressionError.self) { try HandshakeFilter(String(repeating: "a", count: 5_000)) }
        #expect(throws: ExpressionError.self) {
            try HandshakeFilter(String(repeating: "(", count: 1_000) + "pid = 1" + String(repeating: ")", count: 1_000))
        }
        #expect(throws: ExpressionError.self) {
            try HandshakeFilter(String(repeating: "not ", count: 1_000) + "pid = 1")
        }
        let wide = try HandshakeFilter(String(repeating: "pid = 1 or ", count: 370) + "comm = nginx")
        #expect(wide.passes(session))
    }

    @Test(
        "Durations are exact, in parts from the largest unit to the smallest",
        arguments: [
            ("250ms", 250_000_000), ("1h30m", 5_400_000_000_000), ("1m30.5s", 90_500_000_000), (".5s", 500_000_000),
            ("1.000000001s", 1_000_000_001), ("0s", 0), ("10us", 10_000), ("10µs", 10_000), ("7ns", 7),
            ("", nil), ("5", nil), ("s", nil), ("5 s", nil), ("1.5ns", nil), ("1.05ns", nil), ("1m1h", nil),
            ("1s1s", nil), ("-1s", nil),
            ("1e3s", nil), ("99999999999999999999h", nil), ("9999999h", nil), ("1.s", nil), ("inf", nil), ("5m3", nil),
        ] as [(String, UInt64?)])
    func durations(_ text: String, _ nanoseconds: UInt64?) {
        #expect(DurationSyntax.nanoseconds(text) == nanoseconds)
    }
}

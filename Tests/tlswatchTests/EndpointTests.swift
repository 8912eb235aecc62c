import Foundation
import HandshakeProbe
import Kernel
import TestSupport
import Testing

@testable import tlswatch

@Suite("Requests to the endpoint") struct EndpointTests {
    @Test("The routes answer GET and HEAD; others are told which methods there are")
    func onlyGetAndHeadAreAnswered() async throws {
        try await serving { (server) async throws in
            for (path, text) in [("/metrics", "tlswatch_build_info"), ("/healthz", "ok\n"), ("/readyz", "ready\n")] {
                let answer = try await server.get(path)
                #expect(answer.status == 200, "\(path): \(answer)")
                #expect(answer.body.contains(text), "\(path): \(answer)")
                let client = try await server.connect()
                try await client.send("HEAD \(path) HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                let head = try await client.answer(hasBody: false)
                #expect(head.status == 200)
                #expect(head.headers["content-type"] == answer.headers["content-type"])
                #expect(try await client.readToEnd().isEmpty)
            }
            #expect(try await server.get("/").status == 200)
            #expect(try await server.get("/debug/pprof/").status == 404)
            #expect(try await server.get("http://localhost/healthz").status == 200)
            for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"] {
                let client = try await server.connect()
                try await client.send("\(method) /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
                let answer = try await client.answer()
                #expect(answer.status == 405, "\(method): \(answer)")
                #expect(answer.headers["allow"] == "GET, HEAD", "\(method): \(answer)")
            }
            #expect(server.rejected(.method) == 6)
        }
    }

    @Test("Whether the last reload of the settings succeeded is told at /metrics")
    func reloads() async throws {
        let outcome = ReloadOutcome()
        var source = MetricsSource.quiet
        source.samples = { outcome.samples }
        try await serving(source) { (server) async throws in
            for (succeeded, number) in [(true, 1), (false, 0), (true, 1)] {
                outcome.set(succeeded: succeeded)
                let line = "\ntlswatch_config_last_reload_successful \(number)\n"
                #expect(try await server.get("/metrics").body.contains(line), "\(succeeded)")
            }
        }
    }

    @Test("HTTP/1.0 closes after its answer unless asked not to; HTTP/1.1 the other way round; pipelined in order")
    func connectionsPersistByTheirVersion() async throws {
        try await serving { (server) async throws in
            let old = try await server.connect()
            try await old.send("GET /healthz HTTP/1.0\r\n\r\n")
            #expect(try await old.readToEnd().hasSuffix("\r\n\r\nok\n"))

            let kept = try await server.connect()
            for _ in 0..<2 {
                try await kept.send("GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
                #expect(try await kept.answer().headers["connection"] == "keep-alive")
            }

            let pipelined = try await server.connect()
            try await pipelined.send(
                "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /nothing HTTP/1.1\r\nHost: a\r\n\r\n"
                    + "GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n")
            #expect(try await pipelined.answer().body == "ok\n")
            #expect(try await pipelined.answer().status == 404)
            let last = try await pipelined.answer()
            #expect(last.body == "ready\n")
            #expect(last.headers["connection"] == "close")
            #expect(try await pipelined.readToEnd().isEmpty)
        }
    }

    @Test("What is no HTTP gets 400 and the end, after the answers before it")
    func malformedRequestsGetAnEnd() async throws {
        try await serving { (server) async throws in
            for text in ["nonsense\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\u{16}\u{3}\u{1}\u{0}hello"] {
                let client = try await server.connect()
                try await client.send(text)
                let answer = try await client.answer()
                #expect(answer.status == 400, "\(text)")
                #expect(answer.headers["connection"] == "close", "\(text)")
                #expect(try await client.readToEnd().isEmpty)
            }
            #expect(server.rejected(.malformed) == 3)
            let client = try await server.connect()
            try await client.send("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nnonsense\r\n\r\n")
            #expect(try await client.answer().status == 200)
            #expect(try await client.answer().status == 400)
        }
    }

    @Test("A peer that ends its side after the request is answered; one that ends without a request is let go")
    func halfClosed() async throws {
        try await serving { (server) async throws in
            let asking = try await server.connect()
            try await asking.send("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            asking.endOutput()
            #expect(try await asking.readToEnd().hasSuffix("ok\n"))
            let silent = try await server.connect()
            silent.endOutput()
            #expect(try await silent.readToEnd().isEmpty)
            let torn = try await server.connect()
            try await torn.send("GET /healthz HT")
            torn.endOutput()
            #expect(try await torn.readToEnd().isEmpty)
        }
    }

    @Test("Not ready says what is missing")
    func notReadySaysWhatIsMissing() async throws {
        let refused = LibraryState.unobserved(reason: .noCheapSite, detail: "")
        let now = monotonicNow()
        let metrics = try #require(MetricsSource.quiet.snapshot()?.metrics)
        let cases: [(MetricsSource, [String])] = [
            (MetricsSource(snapshot: { nil }, libraries: { [.attached] }), ["not been drained yet"]),
            (
                MetricsSource(snapshot: { .with(metrics, drained: now - 6_000_000_000) }, libraries: { [] }),
                ["not being drained"]
            ),
            (MetricsSource(snapshot: { .with(metrics) }, libraries: { [refused] }), ["no probes are attached"]),
            (MetricsSource(snapshot: { nil }, libraries: { [refused] }), ["no probes are attached", "drained yet"]),
            (MetricsSource(snapshot: { .with(metrics) }, libraries: { [refused, .attached] }), []),
            (MetricsSource(snapshot: { .with(metrics) }, libraries: { [] }), []),
        ]
        for (source, parts) in cases {
            try await serving(source) { (server) async throws in
                let answer = try await server.get("/readyz")
                #expect(answer.status == (parts.isEmpty ? 200 : 503))
                for part in parts { #expect(answer.body.contains(part), "\(answer.body)") }
                #expect(try await server.get("/healthz").status == 200)
            }
        }
    }

    @Test("Ten scrapers at a time are all served, and counted; the refused are counted by reason")
    func tenScrapers() async throws {
        try await serving { (server) async throws in
            let answers = try await withThrowingTaskGroup(of: [Int].self) { group in
                for _ in 0..<10 {
                    group.addTask {
                        let client = try await server.connect()
                        var statuses: [Int] = []
                        for _ in 0..<20 {
                            try await client.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
                            statuses.append(try await client.answer().status)
                        }
                        return statuses
                    }
                }
                return try await group.reduce(into: []) { $0 += $1 }
            }
            #expect(answers == Array(repeating: 200, count: 200))
            _ = try await server.get("/metrics", "X: \(String(repeating: "x", count: 20_000))\r\n")
            let metrics = try await server.get("/metrics").body
            #expect(metrics.contains("\ntlswatch_scrapes_total 200\n"))
            for reason in RequestRejection.allCases {
                let count = reason == .headersTooLarge ? 1 : 0
                let line = "tlswatch_http_requests_rejected_total{reason=\"\(reason.rawValue)\"} \(count)\n"
                #expect(metrics.contains(line), "\(line)")
            }
        }
    }

    @Test("A configured header is on every answer, but the page keeps its own policy")
    func ownPolicy() async throws {
        let folder = try TemporaryDirectory()
        let file = try folder.write(
            "http_server_config:\n  headers:\n    Content-Security-Policy: default-src 'self'\n", to: "web.yml")
        try await serving(webConfiguration: file) { (server) async throws in
            let policy = StatusPage.headers.first { $0.name == "Content-Security-Policy" }?.value
            #expect(try await server.get("/").headers["content-security-policy"] == policy)
            #expect(try await server.get("/metrics").headers["content-security-policy"] == "default-src 'self'")
        }
    }
}

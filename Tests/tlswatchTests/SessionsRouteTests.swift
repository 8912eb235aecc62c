import Foundation
import Kernel
import Synchronization
import TestSupport
import Testing

@testable import HandshakeProbe
@testable import Handshakes
@testable import tlswatch

@Suite("The last failed and slow sessions") struct SessionsRouteTests {
    private static let slow: UInt64 = 100_000_000

    private static func session(
        _ number: Int, _ outcome: Outcome = .failed, duration: UInt64 = 1_000, sni: String? = nil
    ) -> Handshake {
        var handshake = Handshake(
            wallTime: Int64(number), start: 1, end: 1 + duration, pid: UInt32(number), tid: 7, comm: "curl",
            stack: "openssl",
            library: "/l", role: .client, outcome: outcome, duration: duration, calls: 1)
        handshake.sni = sni
        if outcome == .failed {
            handshake.reason = "handshake_failure"
            handshake.libraryReason = "no_shared_cipher"
        }
        handshake.remote = "192.0.2.7:443"
        return handshake
    }

    private static func source(_ recent: RecentSessions?) -> MetricsSource {
        var source = MetricsSource.quiet
        source.snapshot = {
            var registry = MetricsRegistry(version: "test")
            var snapshot = EngineSnapshot.with(registry.snapshot(now: monotonicNow()))
            snapshot.recent = recent
            return snapshot
        }
        return source
    }

    private func numbers(_ answer: Answer) throws -> [Int] {
        let rows = try #require(JSONSerialization.jsonObject(with: Data(answer.body.utf8)) as? [[String: Any]])
        return rows.compactMap { $0["pid"] as? Int }
    }

    @Test("Failed, timed out and slow sessions are kept; fast and abandoned ones are not")
    func kinds() {
        var recent = RecentSessions(slow: Self.slow)
        recent.keep(Self.session(1, .completed, duration: Self.slow - 1))
        recent.keep(Self.session(2, .completed, duration: Self.slow))
        recent.keep(Self.session(3, .failed))
        recent.keep(Self.session(4, .timeout))
        recent.keep(Self.session(5, .abandoned))
        #expect(recent.newest(10).map(\.pid) == [4, 3, 2])
    }

    @Test("They are bounded in count and in bytes: the oldest make room; a snapshot stays as it was")
    func bounds() {
        var recent = RecentSessions(slow: Self.slow)
        for number in 1...500 { recent.keep(Self.session(number)) }
        let before = recent
        for number in 501...10_000 { recent.keep(Self.session(number)) }
        #expect((900...RecentSessions.limit).contains(recent.count))
        #expect(recent.newest(.max).map(\.pid) == (0..<recent.count).map { UInt32(10_000 - $0) })
        #expect(before.newest(.max).map(\.pid) == (1...500).reversed().map { UInt32($0) })
        var large = RecentSessions(slow: Self.slow)
        let name = String(repeating: "é", count: 60_000)
        for number in 1...1_000 { large.keep(Self.session(number, sni: name)) }
        #expect(large.newest(.max).reduce(0) { $0 + ($1.sni?.utf8.count ?? 0) } <= RecentSessions.byteLimit)
        #expect(large.newest(1).map(\.pid) == [1_000])
    }

    @Test("/sessions has the newest first, as the JSON output has them; 'where' and 'limit' select")
    func selection() async throws {
        var recent = RecentSessions(slow: Self.slow)
        for number in 1...300 { recent.keep(Self.session(number, sni: number % 2 == 0 ? "even.example" : nil)) }
        try await serving(Self.source(recent)) { (server) async throws in
            let all = try await server.get("/sessions")
            #expect(all.status == 200 && all.headers["content-type"] == "application/json")
            #expect(try numbers(all) == (0..<100).map { 300 - $0 })
            var line: [UInt8] = []
            JSONLine.append(recent.newest(1)[0], to: &line)
            #expect(all.body.hasPrefix("[\n" + String(decoding: line.dropLast(), as: UTF8.self) + ",\n"))
            #expect(try numbers(await server.get("/sessions?limit=3")) == [300, 299, 298])
            let even = try await server.get("/sessions?limit=2&where=sni%20%3D%20even.example+and+pid<200")
            #expect(try numbers(even) == [198, 196], "\(even)")
            #expect(try numbers(await server.get("/sessions?where=sni=none")) == [])
        }
    }

    @Test(
        "A request that is not understood gets 400 and is told why",
        arguments: [
            ("where=snl%20%3D%20a", "'sni'"), ("where=", "empty"), ("limit=0", "from 1 to 1000"),
            ("limit=9999", "from 1 to 1000"),
            ("limit=many", "from 1 to 1000"), ("wher=a", "did you mean 'where'?"), ("x=1", "'where' and 'limit'"),
        ])
    func faults(_ query: String, _ words: String) async throws {
        try await serving(Self.source(RecentSessions(slow: 1))) { (server) async throws in
            let answer = try await server.get("/sessions?" + query)
            #expect(answer.status == 400 && answer.body.contains(words), "\(answer)")
            #expect(answer.headers["content-type"]?.hasPrefix("text/plain") == true)
        }
    }

    @Test("/sessions is within the endpoint's authentication, and says when there is nothing yet")
    func authentication() async throws {
        let directory = try TemporaryDirectory()
        // bcrypt of some password, cost 4.
        let hash = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"
        let file = try directory.write("basic_auth_users:\n  alice: \(hash)\n", to: "web.yml")
        try await serving(Self.source(RecentSessions(slow: 1)), webConfiguration: file) { (server) async throws in
            #expect(try await server.get("/sessions").status == 401)
        }
        try await serving(Self.source(nil)) { (server) async throws in
            #expect(try await server.get("/sessions").status == 503)
        }
    }

    @Test("The page has them with peer, name and reason, what strangers chose made safe")
    func page() {
        var handshakes = [Self.session(1, sni: "<b>\u{202e}name"), Self.session(2, .completed, duration: Self.slow)]
        handshakes[1].cause = .network
        let page = String(
            decoding: StatusPage.render(StatusFixtures.edge, recent: handshakes, version: "1", host: "h"), as: UTF8.self
        )
        for text in ["Failed and slow", "192.0.2.7:443", "no_<wbr>shared_<wbr>cipher", "&lt;b&gt;", "slow: network"] {
            #expect(page.contains(text), "\(text)")
        }
        #expect(!page.contains("<b>\u{202e}"))
        #expect(
            !String(decoding: StatusPage.render(StatusFixtures.edge, version: "1", host: "h"), as: UTF8.self)
                .contains("Failed and slow"))
    }
}

import Foundation
import TestSupport
import Testing

@testable import tlswatch

@Suite("Passwords of the endpoint") struct AuthenticationTests {
    /// Of "secret".
    private static let hash = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"

    private static func header(_ credentials: String) -> String {
        "Authorization: Basic \(Data(credentials.utf8).base64EncodedString())\r\n"
    }

    private static func credentials(_ text: String) throws -> Credentials {
        try #require(Credentials(authorization: "Basic \(Data(text.utf8).base64EncodedString())"))
    }

    @Test("Right, wrong, unknown, missing and malformed credentials, over HTTP; the headers are on every answer")
    func credentialsDecideEveryRequest() async throws {
        let folder = try TemporaryDirectory()
        let file = try folder.write(
            "basic_auth_users: {alice: \(Self.hash)}\nhttp_server_config: {headers: {X-Frame-Options: deny}}\n",
            to: "web.yml")
        try await serving(webConfiguration: file) { (server) async throws in
            let refused = [
                "", Self.header("alice:wrong"), Self.header("alice:"), Self.header("bob:secret"), Self.header(":"),
                Self.header("alice:secret\0"), Self.header("alice:secret\0more"), Self.header("alice"),
                "Authorization: Bearer x\r\n", "Authorization: Basic !!\r\n", "Authorization: Basic\r\n",
            ]
            for headers in refused {
                for path in ["/metrics", "/healthz", "/", "/nothing"] {
                    let answer = try await server.get(path, headers)
                    #expect(answer.status == 401, "\(headers)")
                    #expect(answer.headers["www-authenticate"]?.hasPrefix("Basic") == true)
                    #expect(answer.headers["x-frame-options"] == "deny")
                }
            }
            #expect(server.rejected(.unauthorized) == UInt64(refused.count * 4))
            for path in ["/metrics", "/healthz", "/"] {
                #expect(try await server.get(path, Self.header("alice:secret")).status == 200)
            }
            let missing = try await server.get("/nothing", Self.header("alice:secret"))
            #expect(missing.status == 404)
            #expect(missing.headers["x-frame-options"] == "deny")
            let client = try await server.connect()
            try await client.send("POST / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try await client.answer().headers["x-frame-options"] == "deny")
        }
    }

    @Test("bcrypt as others computed it")
    func hashesAreThoseOfOthers() async throws {
        let users = [
            "empty": "$2a$06$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s.",
            "abc": "$2a$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i", "y": Self.hash,
        ]
        let authentication = BasicAuthentication(waitingLimit: 4)
        for (text, verdict) in [
            ("empty:", BasicAuthentication.Verdict.accepted), ("abc:abc", .accepted), ("y:secret", .accepted),
            ("empty:abc", .refused), ("abc:", .refused), ("abc:abcd", .refused), ("nobody:abc", .refused),
        ] {
            #expect(await authentication.check(try Self.credentials(text), users: users) == verdict, "\(text)")
        }
    }

    @Test("What was asked before is not hashed again, and wrong passwords do not push the right one out")
    func knownPasswordsAreNotHashedAgain() async throws {
        let authentication = BasicAuthentication(waitingLimit: 4)
        let users = ["alice": Self.hash]
        func check(_ text: String, _ users: [String: String]) async throws -> BasicAuthentication.Verdict {
            await authentication.check(try Self.credentials(text), users: users)
        }
        for _ in 0..<5 {
            #expect(try await check("alice:secret", users) == .accepted)
            #expect(try await check("alice:wrong", users) == .refused)
            // As long as for a known name: one hash.
            #expect(try await check("bob:secret", users) == .refused)
        }
        #expect(authentication.hashed == 3)
        for number in 0..<150 { #expect(try await check("alice:\(number)", users) == .refused) }
        #expect(authentication.hashed == 153)
        #expect(authentication.answers == BasicAuthentication.remembered + 1)
        #expect(try await check("alice:secret", users) == .accepted)
        #expect(authentication.hashed == 153)
        // Another hash is another question; a name taken out is out at once.
        let other = "$2y$04$abcdefghijklmnopqrstuu0HtfOlPbTiymk5tcV.3TsFPDd3SYZqu"
        #expect(try await check("alice:secret", ["alice": other]) == .refused)
        #expect(try await check("alice:other", ["alice": other]) == .accepted)
        #expect(try await check("alice:secret", ["bob": Self.hash]) == .refused)
    }

    @Test("Passwords queue up to a limit; who comes later is told to come again")
    func passwordsQueueUpToALimit() async throws {
        let authentication = BasicAuthentication(waitingLimit: 3)
        // Some tenths of a second each.
        let users = ["alice": Self.hash.replacing("$04$", with: "$11$")]
        let verdicts = try await withThrowingTaskGroup(of: BasicAuthentication.Verdict.self) { group in
            for number in 0..<12 {
                let credentials = try Self.credentials("alice:\(number)")
                group.addTask { await authentication.check(credentials, users: users) }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        let busy = verdicts.filter { $0 == .busy }.count
        #expect(busy > 0)
        #expect(verdicts.count - busy >= 3)
        #expect(authentication.hashed == UInt64(verdicts.count - busy))
        #expect(await authentication.check(try Self.credentials("alice:again"), users: users) == .refused)
    }

    @Test("While a password is hashed, others are served")
    func othersAreServed() async throws {
        let folder = try TemporaryDirectory()
        let slow = Self.hash.replacing("$04$", with: "$12$")
        let file = try folder.write("basic_auth_users: {alice: \(Self.hash), slow: \(slow)}\n", to: "web.yml")
        try await serving(webConfiguration: file) { (server) async throws in
            #expect(try await server.get("/healthz", Self.header("alice:secret")).status == 200)
            let client = try await server.connect()
            try await client.send("GET /healthz HTTP/1.1\r\nHost: a\r\n\(Self.header("slow:x"))\r\n")
            var served = 0
            while !client.hasInput, served < 50 {
                #expect(try await server.get("/healthz", Self.header("alice:secret")).status == 200)
                served += 1
            }
            #expect(served > 0)
            #expect(try await client.answer().status == 401)
        }
    }

    @Test("The rate limit lets a burst and then one an interval pass")
    func rateLimit() async throws {
        let limiter = RateLimiter(.init(interval: 1_000, burst: 3), now: 0)
        #expect((0..<5).map { _ in limiter.admits(now: 10) } == [true, true, true, false, false])
        #expect(!limiter.admits(now: 900))
        #expect(limiter.admits(now: 1_100))
        #expect(!limiter.admits(now: 1_100))
        #expect((0..<5).map { _ in limiter.admits(now: 1_000_000) } == [true, true, true, false, false])
        #expect(!limiter.admits(now: 5))
        #expect(!RateLimiter(.init(interval: 1_000, burst: 0), now: 0).admits(now: 9_000_000))

        let folder = try TemporaryDirectory()
        let file = try folder.write("rate_limit: {interval: 1h, burst: 2}\n", to: "web.yml")
        try await serving(webConfiguration: file) { (server) async throws in
            #expect(try await server.get("/metrics").status == 200)
            #expect(try await server.get("/healthz").status == 200)
            #expect(try await server.get("/metrics").status == 429)
            #expect(server.rejected(.rateLimited) == 1)
        }
    }
}

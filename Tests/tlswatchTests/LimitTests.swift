import Foundation
import NIOCore
import TestSupport
import Testing

@testable import tlswatch

@Suite("Limits of the endpoint") struct LimitTests {
    private static let request = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"

    @Test("A head above the limit is 431, whichever part of it is long and however it comes")
    func longHeadsAreRefused() async throws {
        try await serving { (server) async throws in
            let long = String(repeating: "x", count: 17 << 10)
            let many = (0..<120).map { "X-\($0): y\r\n" }.joined()
            let heads = [
                "GET /\(long) HTTP/1.1\r\nHost: a\r\n\r\n", "GET /healthz HTTP/1.1\r\nX: \(long)\r\n\r\n",
                "GET /healthz HTTP/1.1\r\n\(long): y\r\n\r\n", "GET /healthz HTTP/1.1\r\n\(many)\r\n",
            ]
            for head in heads {
                let client = try await server.connect()
                try await client.send(head)
                let answer = try await client.answer()
                #expect(answer.status == 431, "\(head.prefix(40))")
                #expect(answer.headers["connection"] == "close", "\(head.prefix(40))")
                #expect(try await client.readToEnd().isEmpty)
            }
            #expect(server.rejected(.headersTooLarge) == 4)
            // Below it all is well.
            let fields = (0..<90).map { "X-\($0): \(String(repeating: "y", count: 160))\r\n" }.joined()
            #expect(try await server.get("/healthz", fields).status == 200)
        }
    }

    @Test("A head without an end is not gathered", arguments: ["GET /", "GET / HTTP/1.1\r\nX: "])
    func endlessHead(_ beginning: String) async throws {
        try await serving { (server) async throws in
            let client = try await server.connect()
            try await client.send(beginning)
            let piece = String(repeating: "x", count: 1 << 10)
            var sent = 0
            // Piece by piece, each when the one before is gone.
            while sent < 4 << 20, !client.hasInput, try await client.send(piece) { sent += piece.count }
            #expect(client.hasInput)
            #expect(try await client.answer().status == 431)
            #expect(server.rejected(.headersTooLarge) == 1)
        }
    }

    @Test("Small bodies are dropped, larger ones refused, declared or not")
    func largeBodiesAreRefused() async throws {
        try await serving { (server) async throws in
            let client = try await server.connect()
            for body in ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"]
            {
                try await client.send("GET /healthz HTTP/1.1\r\nHost: a\r\n\(body)")
                #expect(try await client.answer().body == "ok\n")
            }
            let chunk = "400\r\n" + String(repeating: "x", count: 0x400) + "\r\n"
            for body in [
                "Content-Length: 5000\r\n\r\n", "Content-Length: 123456789012\r\n\r\n",
                "Transfer-Encoding: chunked\r\n\r\n" + String(repeating: chunk, count: 5),
            ] {
                let client = try await server.connect()
                try await client.send("GET /healthz HTTP/1.1\r\nHost: a\r\n\(body)")
                #expect(try await client.answer().status == 413)
                #expect(try await client.readToEnd().isEmpty)
            }
            #expect(server.rejected(.bodyTooLarge) == 3)
        }
    }

    @Test(
        "A request that comes a little at a time is cut off, in its head and in its body",
        arguments: ["GET /", "GET /healthz HTTP/1.1\r\nContent-Length: 4000\r\n\r\n"])
    func slowRequestsAreCutOff(_ beginning: String) async throws {
        var limits = EndpointLimits()
        limits.readTimeout = .milliseconds(200)
        // Not this one's doing.
        limits.idleTimeout = .seconds(60)
        try await serving(limits: limits) { (server) async throws in
            let client = try await server.connect()
            try await client.send(beginning)
            let end = ContinuousClock.now.advanced(by: .seconds(30))
            while ContinuousClock.now < end, !client.hasInput {
                guard try await client.send("x") else { break }
                try await Task.sleep(for: .milliseconds(5))
            }
            #expect(ContinuousClock.now < end)
            #expect(try await client.readToEnd().isEmpty)
            #expect(server.rejected(.readTimeout) == 1)
            // The next request has its own time.
            #expect(try await server.get("/healthz").status == 200)
        }
    }

    @Test("A connection that sends nothing is closed, at its beginning and after a request, and is no refusal")
    func idleConnectionsAreClosed() async throws {
        var limits = EndpointLimits()
        limits.idleTimeout = .milliseconds(300)
        try await serving(limits: limits) { (server) async throws in
            #expect(try await server.connect().readToEnd().isEmpty)
            // A machine that is slower than the idle time has its connection closed before the request: again, then.
            #expect(
                try await becomesTrue {
                    let client = try await server.connect()
                    try await client.send(Self.request)
                    return try await client.readToEnd().hasSuffix("ok\n")
                })
            #expect(RequestRejection.allCases.allSatisfy { server.rejected($0) == 0 })
        }
    }

    @Test("A peer that does not take its answer is cut off")
    func writeTimeout() async throws {
        var limits = EndpointLimits()
        limits.writeTimeout = .milliseconds(200)
        limits.sendBufferBytes = 64 << 10
        try await serving(.large(kibibytes: 2048), limits: limits) { (server) async throws in
            let client = try await server.connect(receiveBuffer: 4096)
            try await client.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(await becomesTrue { server.rejected(.writeTimeout) == 1 })
            let received = try await client.readToEnd()
            #expect(received.hasPrefix("HTTP/1.1 200"))
            #expect(received.utf8.count < 2 << 20)
        }
    }

    @Test("A peer that stays after its last answer does not keep the connection")
    func lingeringPeersAreLetGo() async throws {
        var limits = EndpointLimits()
        limits.lingerTimeout = .milliseconds(200)
        limits.openConnections = 1
        try await serving(limits: limits) { (server) async throws in
            let staying = try await server.connect()
            try await staying.send("GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            #expect(try await staying.readToEnd().hasSuffix("ok\n"))
            // It has read the end, and keeps its own side open; the only place is free all the same.
            #expect(try await server.get("/healthz").status == 200)
        }
    }

    @Test("Scrapes beyond the cap are told to come again, until an answer is taken or its peer is gone")
    func concurrentScrapes() async throws {
        var limits = EndpointLimits()
        limits.concurrentScrapes = 2
        limits.sendBufferBytes = 64 << 10
        try await serving(.large(kibibytes: 2048), limits: limits) { (server) async throws in
            var readers: [RawClient] = []
            for _ in 0..<2 {
                let reader = try await server.connect(receiveBuffer: 4096)
                try await reader.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
                #expect(try await reader.read(atMost: 12) == Array("HTTP/1.1 200".utf8))
                readers.append(reader)
            }
            let refused = try await server.get("/metrics")
            #expect(refused.status == 503)
            #expect(refused.headers["retry-after"] == "1")
            #expect(refused.body.contains("Too many scrapes"))
            #expect(try await server.get("/healthz").status == 200)
            #expect(server.rejected(.busy) == 1)
            readers.forEach { $0.disconnect() }
            var more: UInt64 = 0
            let served = try await becomesTrue {
                let status = try await server.get("/metrics").status
                if status == 503 { more += 1 }
                return status == 200
            }
            #expect(served)
            #expect(server.rejected(.busy) == 1 + more)
        }
    }

    @Test("Peers that say nothing, or say it slowly, keep nobody out", arguments: ["", "GET /heal"])
    func silentPeers(_ beginning: String) async throws {
        var limits = EndpointLimits()
        limits.openConnections = 4
        try await serving(limits: limits) { (server) async throws in
            var silent: [RawClient] = []
            for _ in 0..<8 {
                let client = try await server.connect()
                if !beginning.isEmpty { try await client.send(beginning) }
                silent.append(client)
                #expect(try await server.get("/healthz").status == 200)
            }
            // The first ones have made room.
            for client in silent.prefix(4) { #expect(try await client.readToEnd().isEmpty) }
            #expect(server.rejected(.evicted) >= 4)
        }
    }

    @Test("An answer that is being taken is not cut off, for others or because it is the last")
    func answersAreKept() async throws {
        var limits = EndpointLimits()
        limits.openConnections = 1
        limits.lingerTimeout = .milliseconds(50)
        limits.writeTimeout = .hours(1)
        limits.sendBufferBytes = 64 << 10
        try await serving(.large(kibibytes: 2048), limits: limits) { (server) async throws in
            let reader = try await server.connect(receiveBuffer: 64 << 10)
            try await reader.send("GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            #expect(try await reader.read(atMost: 12) == Array("HTTP/1.1 200".utf8))
            for _ in 0..<3 { #expect(try await server.get("/healthz").status == 200) }
            // Longer than it may linger once the answer is out.
            try await Task.sleep(for: .milliseconds(300))
            #expect(try await reader.readToEnd().utf8.count > 2 << 20)
        }
    }

    @Test("Stopping waits for no peer")
    func stoppingWaitsForNoPeer() async throws {
        var limits = EndpointLimits()
        limits.lingerTimeout = .milliseconds(100)
        limits.sendBufferBytes = 64 << 10
        limits.writeTimeout = .hours(1)
        limits.readTimeout = .hours(1)
        let clients = try await serving(.large(kibibytes: 2048), limits: limits) { (server) async throws in
            let reader = try await server.connect(receiveBuffer: 4096)
            try await reader.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try await reader.read(atMost: 12) == Array("HTTP/1.1 200".utf8))
            let sender = try await server.connect()
            try await sender.send("GET /metr")
            let bodySender = try await server.connect()
            try await bodySender.send("GET /healthz HTTP/1.1\r\nContent-Length: 9\r\n\r\nx")
            // Both have been read when a later one is answered.
            #expect(try await server.get("/healthz").status == 200)
            return [reader, sender, bodySender]
        }
        // serving returned: the server has ended although they hold on.
        #expect(clients.count == 3)
    }
}

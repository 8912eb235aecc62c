import Foundation
import TestSupport
import Testing

extension KernelTests {
    @Suite("Handshakes that fail") struct FailureTests {
        private func expectFailure(
            _ row: SessionRow?, _ reason: String, alert: Int, _ direction: String,
            sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let row = try #require(row, sourceLocation: sourceLocation)
            #expect(row.outcome == "failed", "\(row)", sourceLocation: sourceLocation)
            #expect(row.reason == reason, sourceLocation: sourceLocation)
            #expect(row.alert == alert, sourceLocation: sourceLocation)
            #expect(row.alertDirection == direction, sourceLocation: sourceLocation)
        }

        @Test("A client that does not trust the authority sends unknown_ca and the server receives it")
        func anUntrustedAuthorityIsSentAndReceived() throws {
            let certificates = try TestCertificates()
            let nginx = try Nginx(certificates)
            let capture = try Capture()
            let curl = try Curl.get(port: nginx.port, authority: nil)
            try #require(curl.status == .exited(60), "curl refuses the certificate")
            let pids = Set([curl.pid]).union(nginx.workers)
            let rows = try capture.finish(expecting: 2) { pids.contains($0.pid ?? 0) }
            #expect(rows.count == 2)
            expectSane(rows)
            try expectFailure(rows.first(where: \.isClient), "unknown_ca", alert: 48, "sent")
            try expectFailure(rows.first(where: \.isServer), "unknown_ca", alert: 48, "received")
        }

        @Test("Peers without a common protocol fail with no_application_protocol on both sides")
        func noCommonProtocol() throws {
            try expectRefusal(
                server: ["-alpn", "http/1.1"], client: ["-alpn", "h2"], "no_application_protocol", alert: 120)
        }

        @Test("Peers without a common version fail with protocol_version on both sides")
        func noCommonVersion() throws {
            try expectRefusal(server: ["-tls1_3"], client: ["-tls1_2"], "protocol_version", alert: 70)
        }

        private func expectRefusal(server options: [String], client: [String], _ reason: String, alert: Int) throws {
            let server = try OpenSSLServer(TestCertificates(), ["-www"] + options)
            let capture = try Capture()
            let client = try server.connect(client)
            try #require(client.errors.contains("alert number \(alert)"), "as openssl says: \(client.errors)")
            let pids = Set([Int(client.pid), server.pid])
            let rows = try capture.finish(expecting: 2) { pids.contains($0.pid ?? 0) }
            #expect(rows.count == 2)
            expectSane(rows)
            try expectFailure(rows.first(where: \.isServer), reason, alert: alert, "sent")
            try expectFailure(rows.first(where: \.isClient), reason, alert: alert, "received")
            #expect(rows.allSatisfy { $0.alpn == nil && $0.cipher == nil }, "nothing was negotiated")
        }

        @Test(
            "A client that closes, talks nonsense or dies is one server session that did not complete",
            arguments: ["close", "garbage", "hello"])
        func oddClient(_ how: String) throws {
            let server = try OpenSSLServer(TestCertificates())
            let capture = try Capture()
            let client = try ChildProcess("/usr/bin/env", ["python3", script("odd_client.py"), "\(server.port)", how])
            try client.waitForLine(in: client.output) { $0 == "done" }
            client.stop(SIGKILL)
            let rows = try capture.finish(expecting: 1) { $0.pid == server.pid }
            #expect(rows.count == 1)
            expectSane(rows)
            let row = try #require(rows.first)
            #expect(row.isServer)
            #expect(row.outcome == "failed" || row.outcome == "abandoned", "\(row)")
            #expect(row.local == server.address)
            #expect(row.socketConfidence == "exact")
            #expect(row.cipher == nil, "nothing was negotiated")
            #expect(row.resumed == nil, "nothing was negotiated")
            #expect(row.alpn == nil, "nothing was negotiated")
            if how == "close" { #expect(row.reason == "peer_closed") }
        }

        @Test("A session idle longer than --handshake-timeout is a timeout, once")
        func anIdleSessionTimesOutOnce() throws {
            let server = try OpenSSLServer(TestCertificates())
            let capture = try Capture(["--handshake-timeout", "1s"])
            let client = try ChildProcess(
                "/usr/bin/env", ["python3", script("odd_client.py"), "\(server.port)", "hold"])
            try client.waitForLine(in: client.output) { $0 == "done" }
            try capture.await(1) { $0.pid == server.pid }
            // Its late end is no second session: the next one, a good one, shows that the end was seen.
            client.stop(SIGKILL)
            let good = try server.connect()
            let rows = try capture.finish(expecting: 2) { $0.pid == server.pid }
            try #require(good.status == .exited(0))
            #expect(rows.map { $0.outcome ?? "" } == ["timeout", "completed"])
            #expect((rows.first?.duration ?? 0) >= 1_000_000_000)
            expectSane(rows)
        }

        @Test("A process killed in its handshake leaves an abandoned session")
        func aKilledProcessLeavesAnAbandonedSession() throws {
            let listener = try SilentListener()
            let capture = try Capture()
            let client = try ChildProcess(
                "/usr/bin/env", ["python3", script("blocked_client.py"), "\(listener.port)"])
            let connection = try listener.acceptAndAwaitBytes()
            defer { close(connection) }
            client.stop(SIGKILL)
            let rows = try capture.finish(expecting: 1) { $0.pid == Int(client.pid) }
            #expect(rows.count == 1)
            let row = try #require(rows.first)
            #expect(row.isClient, "\(row)")
            #expect(row.outcome == "abandoned", "\(row)")
            #expect(row.remote == "127.0.0.1:\(listener.port)")
            expectSane(rows)
        }
    }
}

import Foundation
import TestSupport
import Testing

extension KernelTests {
    /// Each socket has one place in the table of sockets; two may want the same.
    @Suite("The table of sockets") struct SocketTableTests {
        @Test(
            "Among thousands of new connections some find their place taken: that is counted, and TLS sockets are known all the same"
        )
        func takenPlaces() throws {
            // 6,000 sockets in 65,536 places: some 250 pairs want the same one.
            let connections = 3_000
            let pairs = 40
            let daemon = try Daemon()
            let before = try daemon.metrics()
            let crowd = try ChildProcess("python3", [script("many_connections.py"), "\(connections)"])
            try crowd.waitForLine(in: crowd.output) { $0 == "open" }
            let runs = try Handshaker.observe(.distribution, [["--count", "\(pairs)", "--alpn", "h2"]]).runs
            // What a scrape tells may be half a second old: books that balance can be those of before.
            let metrics = try daemon.quietMetrics {
                Books($0).ended >= Double(2 * pairs) && Books($0).balance
            }
            crowd.stop(SIGTERM)
            let lost = ["program": "socket_state", "reason": "collision"]
            let collisions =
                metrics.sum("tlswatch_events_skipped_total", lost) - before.sum("tlswatch_events_skipped_total", lost)
            #expect(collisions > 0)
            #expect(collisions < Double(4 * connections) / 10, "\(collisions): few of them want the same place")
            expectConservation(metrics)
            let run = try #require(runs.first)
            #expect(run.rows.count == 2 * pairs)
            expectSane(run.rows)
            for row in run.rows {
                // Without its connect time a session is whole: its addresses are its socket's own.
                #expect(row.isCompleted, "\(row)")
                #expect(row.socketConfidence == "exact", "\(row)")
                #expect(row.local != nil, "\(row)")
                #expect(row.remote != nil, "\(row)")
            }
            let unseen = run.rows.count { $0.tcpConnect == nil }
            #expect(unseen < pairs, "\(unseen) of \(2 * pairs) have no connect time")
        }

        @Test(
            "That a socket is closed is told where its handshake may be in progress, and not behind one that is surely done",
            arguments: ["1.3", "1.2"])
        func closes(version: String) throws {
            let pairs = 20
            let daemon = try Daemon()
            _ = try Handshaker.observe(.distribution, [["--count", "\(pairs)", "--tls", version]])
            let metrics = try daemon.quietMetrics { Books($0).ended >= Double(2 * pairs) && Books($0).balance }
            expectConservation(metrics)
            // Below 1.3 there may be a renegotiation.
            let told = metrics.sum("tlswatch_events_total", ["program": "socket_state"])
            #expect(told == (version == "1.3" ? 0 : Double(2 * pairs)))
        }
    }
}

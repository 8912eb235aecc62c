import Foundation
import TestSupport
import Testing

extension KernelTests {
    /// Where a handshake's time went, against programs that know: what they slept, computed, and waited for a processor by the
    /// kernel's own account.
    @Suite("The parts of a handshake's time") struct PartsTests {
        /// A client and a server of one handshake.
        private struct Pair {
            var client, server: SessionRow
            var clientWitness, serverWitness: Witness
        }

        /// Runs one handshake after another, each command line's first.
        private func observe(
            _ lines: [[String]], build: TLSBuild = .distribution, before: [String] = []
        ) throws -> [Pair] {
            let runs = try Handshaker.observe(build, lines, before: before).runs
            return try runs.map { run in
                try #require(run.status == 0, "\(run.arguments)")
                expectSane(run.rows)
                func one<Value>(_ values: [Value], _ role: (Value) -> String?, _ wanted: String) throws -> Value {
                    try #require(values.first { role($0) == wanted }, "\(run.arguments)")
                }
                return Pair(
                    client: try one(run.rows, \.role, "client"), server: try one(run.rows, \.role, "server"),
                    clientWitness: try one(run.witnesses, \.role, "client"),
                    serverWitness: try one(run.witnesses, \.role, "server"))
            }
        }

        /// On a machine that is busy with other things the run queue may be the largest part of anything.
        private func expect(
            _ row: SessionRow, _ cause: String, _ witness: Witness, sourceLocation: SourceLocation = #_sourceLocation
        ) {
            let isStarved = row.cause == "cpu_starved" && witness.waited ?? 0 >= (row.duration ?? 0) / 4
            #expect(row.cause == cause || isStarved, "\(row) against \(witness)", sourceLocation: sourceLocation)
        }

        private func observe(_ line: [String], before: [String] = []) throws -> Pair {
            try #require(try observe([line], before: before).first)
        }

        /// A handshake whose client slept between its calls, and how long. A client that loses its processor behind its send
        /// may find the answer in the same call, and then sleeps only before its first: so there are several.
        private func observeLateClient(_ line: [String], milliseconds: Int) throws -> (pair: Pair, slept: Int) {
            let line = line + ["--delay-client-ms", String(milliseconds)]
            let pairs = try observe(Array(repeating: line, count: 5)).map { pair in
                (pair: pair, slept: (pair.clientWitness.delays ?? []).reduce(0, +))
            }
            return try #require(
                pairs.first { $0.slept >= milliseconds * 1_000_000 },
                "none of five clients had to wait for its answer: \(pairs)")
        }

        /// Runs what follows it in a network of its own, with a packet filter.
        private static func network(_ rules: String, in directory: TemporaryDirectory) throws -> [String] {
            let file = try directory.write(
                """
                table ip lossy {
                    chain arriving {
                        type filter hook input priority 0;
                        \(rules)
                    }
                }
                """, to: "rules.nft")
            return ["unshare", "-n", "sh", "-c", "ip link set lo up && nft -f \(file) && exec \"$@\"", "sh"]
        }

        // MARK: whose the time is

        @Test("What every completed session over TCP has", arguments: ["1.2", "1.3"])
        func everyPartIsThere(_ version: String) throws {
            let lines = [["--blocking"], ["--nonblocking"], ["--implicit"], ["--io", "tcp6"]].map {
                ["--tls", version] + $0
            }
            for pair in try observe(lines) {
                for (row, witness) in [(pair.client, pair.clientWitness), (pair.server, pair.serverWitness)] {
                    let text = Comment(rawValue: "\(row) against \(witness)")
                    #expect(row.peer != nil, text)
                    #expect(try #require(row.cpu, text) > 0, text)
                    #expect(row.cause != nil, text)
                    // The kernel's own account, around the calls.
                    #expect(try #require(row.runqueue, text) <= (witness.waited ?? 0), text)
                    #expect(row.retransmits == witness.retransmits, text)
                    // The library's own packets may have moved it since.
                    let rtt = try #require(row.rtt, text)
                    let known = try #require(witness.rtt, text)
                    #expect(rtt > 0, text)
                    #expect(rtt <= 4 * known + 1_000_000, text)
                }
            }
        }

        @Test("A client that sleeps between its calls leaves the server's flight unread", arguments: ["1.2", "1.3"])
        func aLateClientLeavesBytesUnread(_ version: String) throws {
            let (pair, slept) = try observeLateClient(["--tls", version], milliseconds: 100)
            let text = Comment(rawValue: "\(pair.client) against \(pair.clientWitness)")
            // It sleeps once the bytes are there.
            #expect(try #require(pair.client.unread) >= slept, text)
            expect(pair.client, "program_late", pair.clientWitness)
            #expect((pair.client.busy ?? .max) <= (pair.client.duration ?? 0) - slept, text)
        }

        @Test("A server that sleeps before it reads leaves the client's flight unread", arguments: ["1.2", "1.3"])
        func aLateServerLeavesBytesUnread(_ version: String) throws {
            let line = ["--tls", version, "--delay-server-ms", "200", "--count", "3"]
            let run = try #require(try Handshaker.observe(.distribution, [line]).runs.first)
            try #require(run.status == 0)
            expectSane(run.rows)
            let rows = run.rows.filter(\.isServer).inOrder
            let witnesses = run.witnesses.filter { $0.role == "server" }.sorted { $0.start < $1.start }
            let clients = run.witnesses.filter { $0.role == "client" }.sorted { $0.start < $1.start }
            try #require(rows.count == 3 && witnesses.count == 3 && clients.count == 3)
            var late = 0
            for ((row, witness), client) in zip(zip(rows, witnesses), clients) {
                let text = Comment(rawValue: "\(row) against \(witness)")
                let slept = (witness.delays ?? []).reduce(0, +)
                // A server that gets no processor finds all its input in one call; what it sleeps before it is no session's.
                #expect(try #require(row.unread, text) <= (witness.outer ?? 0), text)
                guard slept > 0 else { continue }
                late += 1
                // Behind its Finished the client sends a first byte of data, and the newest packet counts; the acknowledgement
                // that the kernel sends after 40 ms does not.
                #expect(try #require(row.unread, text) >= slept - 30_000_000 - (client.waited ?? 0), text)
                expect(row, "program_late", witness)
            }
            #expect(late > 0, "\(witnesses)")
        }

        @Test("A callback that sleeps while the peer's bytes wait leaves them unread, inside the call")
        func aLateCallbackLeavesBytesUnread() throws {
            let pair = try observe(["--scenario", "verifies-late", "--hold-ms", "100", "--blocking"])
            let text = Comment(rawValue: "\(pair.client) against \(pair.clientWitness)")
            let held = try #require(pair.clientWitness.held)
            try #require(held >= 100_000_000)
            #expect(pair.client.calls == 1, text)
            // To the thread's being taken off its processor, and its being called back.
            let waited = try #require(pair.clientWitness.waited)
            #expect(try #require(pair.client.unread) >= held * 9 / 10 - waited, text)
            #expect((pair.client.busy ?? .max) <= (pair.client.duration ?? 0) - held * 9 / 10 + waited, text)
            expect(pair.client, "program_late", pair.clientWitness)
            // The server waits for as long, and nothing lies in its socket.
            #expect(
                try #require(pair.server.peer) >= held * 9 / 10 - (pair.serverWitness.waited ?? 0), "\(pair.server)")
        }

        @Test("A blocking server that waits for its client is not busy", arguments: ["1.2", "1.3"])
        func aBlockingServerWaits(_ version: String) throws {
            let (pair, slept) = try observeLateClient(["--tls", version, "--blocking"], milliseconds: 100)
            let text = Comment(rawValue: "\(pair.server) against \(pair.clientWitness)")
            // It is in its call all the time.
            #expect(pair.server.calls == 1, text)
            // While the client sleeps the server also computes its answers.
            let waited = try #require(pair.serverWitness.waited) + slept / 10
            #expect(try #require(pair.server.peer) >= slept - waited, text)
            #expect(try #require(pair.server.wait) >= slept - waited, text)
            #expect((pair.server.busy ?? .max) <= (pair.server.duration ?? 0) - slept + waited, text)
            expect(pair.server, "peer", pair.serverWitness)
        }

        @Test("A callback that computes is CPU time")
        func aComputingCallbackComputes() throws {
            let pair = try observe(["--scenario", "callback-computes", "--hold-ms", "50"])
            let text = Comment(rawValue: "\(pair.server) against \(pair.serverWitness)")
            let computed = try #require(pair.serverWitness.computed)
            try #require(computed >= 50_000_000)
            #expect(try #require(pair.server.cpu) >= computed, text)
            // The kernel's own account of the callback; the rest of the call may have waited too.
            #expect(try #require(pair.server.runqueue) >= pair.serverWitness.runDelay ?? 0, text)
            // What it neither computed nor waited for a processor is at most what the program saw beside it.
            let outer = try #require(pair.serverWitness.outer)
            #expect(try #require(pair.server.cpu) <= outer, text)
            #expect(
                try #require(pair.client.peer) >= computed / 2 - (pair.clientWitness.waited ?? 0),
                "the client waits for it: \(pair.client)")
        }

        @Test("A server that shares its processor with a spinner waits for it")
        func aStarvedServerWaitsForItsProcessor() throws {
            let spinner = try ChildProcess("taskset", ["-c", "0", "sh", "-c", "while :; do :; done"])
            defer { spinner.signal(SIGKILL) }
            let pair = try observe(
                ["--scenario", "callback-computes", "--hold-ms", "60"], before: ["taskset", "-c", "0"])
            let text = Comment(rawValue: "\(pair.server) against \(pair.serverWitness)")
            let computed = try #require(pair.serverWitness.computed)
            let waited = try #require(pair.serverWitness.runDelay, "the kernel's own account")
            try #require(waited > 10_000_000, "the spinner runs: \(text)")
            #expect(try #require(pair.server.runqueue) >= waited, text)
            #expect(try #require(pair.server.cpu) >= computed, text)
            let outer = try #require(pair.serverWitness.outer)
            #expect(try #require(pair.server.runqueue) <= outer - computed, text)
            #expect(try #require(pair.server.busy) >= computed + waited, text)
        }

        // MARK: what is sent again

        @Test(
            "A SYN that was lost is a retransmission of the client's; its second is in the connect, not in the handshake"
        )
        func aLostSYN() throws {
            let directory = try TemporaryDirectory()
            let rules = "tcp flags & (syn | ack) == syn numgen inc mod 1000000 0 drop"
            let pair = try observe([], before: Self.network(rules, in: directory))
            let text = Comment(rawValue: "\(pair.client) against \(pair.clientWitness)")
            try #require(pair.clientWitness.retransmits ?? 0 >= 1, text)
            #expect(pair.client.retransmits == pair.clientWitness.retransmits, text)
            #expect(pair.server.retransmits == 0, "\(pair.server)")
            #expect(try #require(pair.client.tcpConnect) >= 900_000_000, text)
        }

        @Test(
            "A flight that was lost is a retransmission of its sender's, and the cause of its wait",
            arguments: ["1.2", "1.3"])
        func aLostFlight(_ version: String) throws {
            let directory = try TemporaryDirectory()
            // The server's first flight, with the certificate, is the first that is so long.
            let rules = "meta length > 500 numgen inc mod 1000000 0 drop"
            let pair = try observe(["--tls", version], before: Self.network(rules, in: directory))
            let text = Comment(rawValue: "\(pair.server) against \(pair.serverWitness)")
            try #require(pair.serverWitness.retransmits ?? 0 >= 1, text)
            #expect(pair.server.retransmits == pair.serverWitness.retransmits, text)
            expect(pair.server, "loss", pair.serverWitness)
            #expect(try #require(pair.server.peer) >= 200_000_000 - (pair.serverWitness.waited ?? 0), text)
            // The client only sees that its peer is silent.
            #expect(pair.client.retransmits == 0, "\(pair.client)")
            expect(pair.client, "peer", pair.clientWitness)
            #expect(
                try #require(pair.client.peer) >= 190_000_000 - (pair.clientWitness.waited ?? 0), "\(pair.client)")
        }

        @Test("A server whose queue of connections is full has its clients send their SYNs again")
        func aFullQueue() throws {
            let pair = try observe(["--scenario", "full-queue"])
            let text = Comment(rawValue: "\(pair.client) against \(pair.clientWitness)")
            try #require(pair.clientWitness.retransmits ?? 0 >= 1, text)
            #expect(pair.client.retransmits == pair.clientWitness.retransmits, text)
            #expect(pair.server.retransmits == 0, "\(pair.server)")
            #expect(try #require(pair.client.tcpConnect) >= 900_000_000, text)
        }

        // MARK: what is not known

        @Test("Without a socket in the calls the wait is known, and not whose it was")
        func memory() throws {
            let (pair, slept) = try observeLateClient(["--io", "memory"], milliseconds: 20)
            for row in [pair.client, pair.server] {
                #expect(try #require(row.cpu) > 0, "\(row)")
                #expect(row.busy != nil, "\(row)")
                #expect(row.wait != nil, "\(row)")
                #expect(row.unread == nil, "\(row)")
                #expect(row.peer == nil, "\(row)")
                #expect(row.cause == nil, "\(row)")
                #expect(row.retransmits == nil, "\(row)")
            }
            #expect(try #require(pair.client.wait) >= slept)
        }

        @Test("A job that stops in the middle leaves no part known")
        func jobs() throws {
            let pair = try observe(["--scenario", "async"])
            for value in [pair.server.cpu, pair.server.busy, pair.server.wait, pair.server.peer] {
                #expect(value == nil, "\(pair.server)")
            }
            #expect(pair.client.peer != nil, "\(pair.client)")
        }

        @Test("In QUIC whose the wait was is not known")
        func quic() throws {
            let pair = try #require(
                try observe([["--scenario", "quic"]], build: .fetched("openssl-3.5.4")).first)
            for row in [pair.client, pair.server] {
                #expect(row.unread == nil, "\(row)")
                #expect(row.peer == nil, "\(row)")
                #expect(row.cause == nil, "\(row)")
            }
        }
    }
}

import Foundation
import TestSupport
import Testing

extension KernelTests {
    /// Every session against a program that stamps its own handshakes with the same clock and asks its own library
    /// for the facts: nothing missing, nothing too much, nothing that contradicts.
    @Suite("Every session against a program's own stamps") struct OracleTests {
        private static let offers = ["--alpn", "h2,http/1.1", "--sni", "a.example"]

        /// On every build: what differs between versions.
        private static let everywhere: [[String]] =
            ["1.2", "1.3"].flatMap { version in
                [["--blocking"], ["--nonblocking"], ["--nonblocking", "--resume"], ["--implicit"]].map {
                    ["--tls", version, "--count", "3"] + $0 + offers
                }
            }
            + [
                "no-alpn", "unknown-ca", "expired", "version", "no-shared-cipher", "client-cert-missing",
                "client-cert-bad", "client-cert-good", "peer-closes-after-hello", "reset", "garbage", "plain-http",
                "free-mid-handshake", "clear-reuse", "up-ref", "early-data", "early-data-rejected", "hrr", "dtls",
                "async-interleaved", "renegotiate", "post-handshake-auth", "key-update", "refused-renegotiation",
                "hello-refused", "close-notify",
            ].map { ["--scenario", $0, "--count", "2"] + offers }
            + ["callback-asks", "callback-asks-first", "callback-sleeps", "callback-suspends"].flatMap { scenario in
                ["1.2", "1.3"].map {
                    ["--scenario", scenario, "--hold-ms", "5", "--tls", $0, "--count", "2"] + offers
                }
            }
            + [["--tls", "1.2", "--scenario", "client-cert-missing", "--count", "2"] + offers]

        /// What is one library's business no more than another's.
        private static let once: [[String]] =
            ["tcp6", "mapped", "unix", "pipe", "memory"].map { ["--io", $0, "--count", "3"] + offers }
            + ["P-256", "P-384", "P-521", "X448"].flatMap { group in
                ["1.2", "1.3"].map { ["--group", group, "--tls", $0, "--count", "2"] }
            }
            + [
                "wrong-host", "silent-client", "close-fd-mid-handshake", "exec-mid", "address-reuse",
                "fork-after-new", "thread-handoff", "async", "nested", "reset-in-call",
            ].map { ["--scenario", $0, "--count", "3"] + offers }
            + [
                ["--alpn", "h2", "--server-alpn", "none", "--count", "2"],
                ["--scenario", "callback-asks", "--hold-ms", "5", "--io", "memory", "--count", "2"] + offers,
                ["--scenario", "callback-asks-first", "--hold-ms", "5", "--io", "unix", "--count", "2"] + offers,
                ["--io", "custom", "--count", "3"] + offers,
                ["--io", "custom", "--nonblocking", "--count", "3"] + offers,
                ["--scenario", "callback-asks", "--hold-ms", "5", "--io", "custom", "--count", "3"] + offers,
                ["--delay-client-ms", "20", "--count", "2"] + offers,
                ["--delay-server-ms", "20", "--tls", "1.2", "--count", "2"] + offers,
            ]

        @Test("The distribution's OpenSSL")
        func theDistributionsOpenSSL() throws { try compare(.distribution, Self.everywhere + Self.once) }

        @Test("OpenSSL 1.1.1")
        func theOldestOpenSSL() throws { try compare(.fetched("openssl-1.1.1w", suffix: "1.1"), Self.everywhere) }

        @Test("OpenSSL 3.3")
        func anOpenSSLAfterTheSplit() throws { try compare(.fetched("openssl-3.3.1"), Self.everywhere) }

        @Test("OpenSSL 3.5, with a hybrid group and QUIC")
        func theNewestOpenSSL() throws {
            let more = [["--group", "X25519MLKEM768", "--count", "3"], ["--scenario", "quic"] + Self.offers]
            try compare(.fetched("openssl-3.5.4"), Self.everywhere + more)
        }

        /// Its servers ask for no renegotiation and for no certificate behind the handshake, it has no jobs, early data is what a call
        /// writes or reads, and Debian's build counts no references.
        private static let onlyOpenSSLs: Set<String> = [
            "up-ref", "early-data", "early-data-rejected", "async-interleaved", "renegotiate", "post-handshake-auth",
            "refused-renegotiation",
        ]

        /// What BoringSSL alone has, and what differs in it.
        private static let onlyBoringSSLs: [[String]] =
            ["early-data", "early-data-rejected", "false-start"].map {
                ["--scenario", $0, "--implicit", "--count", "3"] + offers
            }
            + ["key-suspends", "verify-suspends"].flatMap { scenario in
                ["1.2", "1.3"].map {
                    ["--scenario", scenario, "--hold-ms", "5", "--tls", $0, "--count", "2"] + offers
                }
            } + ["ech", "ech-rejected", "quic"].map { ["--scenario", $0, "--count", "2"] + offers }
            + ["memory", "unix", "pipe", "custom", "tcp6"].map { ["--io", $0, "--count", "3"] + offers }
            + ["P-256", "P-384"].flatMap { group in
                ["1.2", "1.3"].map { ["--group", group, "--tls", $0, "--count", "2"] }
            }
            + [
                "silent-client", "address-reuse", "thread-handoff", "reset-in-call", "nested", "close-fd-mid-handshake",
            ].map { ["--scenario", $0, "--count", "2"] + offers }
            + [
                ["--alpn", "h2", "--server-alpn", "none", "--count", "2"],
                ["--scenario", "callback-asks", "--hold-ms", "5", "--io", "memory", "--count", "2"] + offers,
                ["--scenario", "callback-asks-first", "--hold-ms", "5", "--io", "unix", "--count", "2"] + offers,
                ["--scenario", "callback-asks", "--hold-ms", "5", "--io", "custom", "--count", "3"] + offers,
                // In memory, where a look at a ClientHello would be: a refusal all the same.
                ["--scenario", "hello-refused", "--io", "memory", "--count", "2"] + offers,
            ]

        @Test("BoringSSL")
        func boringSSL() throws {
            let lines = Self.everywhere.filter { Self.onlyOpenSSLs.isDisjoint(with: $0) }
            try compare(.boringSSL, lines + Self.onlyBoringSSLs)
        }

        /// AWS-LC is in no package that these machines can be given: who has a build of it names its directory.
        @Test("AWS-LC", .enabled(if: TLSBuild.awsLC != nil))
        func awsLC() throws {
            let lines = Self.everywhere.filter { Self.onlyOpenSSLs.isDisjoint(with: $0) }
            try compare(#require(TLSBuild.awsLC), lines + Self.onlyBoringSSLs)
        }

        // MARK: the comparison

        private func compare(_ build: TLSBuild, _ lines: [[String]]) throws {
            let (runs, strangers) = try Handshaker.observe(build, lines, within: .seconds(180))
            #expect(strangers.isEmpty, "sessions of no handshake that was made")
            // Every build has what every scenario needs that is asked of it.
            #expect(runs.filter(\.isUnsupported).map(\.arguments) == [], "\(build)")
            for run in runs where !run.isUnsupported {
                try compare(run)
            }
        }

        private func compare(_ run: Handshaker.Run) throws {
            #expect(run.status == 0, "\(run.arguments)")
            // A renegotiation is a handshake of its own; the other events are none.
            let witnesses = run.witnesses.filter { $0.event == nil || $0.event == "renegotiate" }
            #expect(!witnesses.isEmpty, "\(run.arguments)")
            expectSane(run.rows)
            for role in ["client", "server"] {
                let wanted = witnesses.filter { $0.role == role }.sorted { $0.start < $1.start }
                let told = run.rows.filter { $0.role == role }.inOrder
                #expect(told.count == wanted.count, "\(run.arguments) \(role): \(told) for \(wanted)")
                for (row, witness) in zip(told, wanted) where told.count == wanted.count {
                    compareFacts(row, witness)
                    compareTimes(row, witness)
                }
            }
        }

        private func compareFacts(_ row: SessionRow, _ witness: Witness) {
            let isQUIC = witness.transport == "quic"
            let failed = witness.outcome != "completed" && witness.event == nil
            let facts: [(name: String, told: String?, known: String?, mayBeTold: Bool)] = [
                ("pid", row.pid.map(String.init), String(witness.pid), true),
                ("outcome", row.outcome, witness.outcome ?? "completed", true),
                ("reason", row.reason, witness.reason, false),
                ("alert", row.alert.map(String.init), witness.alert.map(String.init), false),
                ("alert_direction", row.alertDirection, witness.alertDirection, false),
                // A failed one's version is settled with its keys; the program only asks completed ones.
                ("tls_version", row.tlsVersion, witness.tlsVersion, failed),
                ("cipher", row.cipher, witness.cipher, false),
                ("group", row.group, witness.group, false),
                ("alpn", row.alpn, witness.alpn, false),
                // A ClientHello that is refused early names a server that the library never stores.
                ("sni", row.sni, witness.sni, failed && row.isServer),
                ("resumed", row.resumed.map(String.init), witness.resumed.map(String.init), false),
                ("early_data", row.earlyData, witness.earlyData, false),
                (
                    "hello_retry_request", row.helloRetryRequest.map(String.init),
                    witness.helloRetryRequest.map(String.init), isQUIC
                ),
                (
                    "client_certificate_requested", row.clientCertificateRequested.map(String.init),
                    witness.clientCertificateRequested.map(String.init), isQUIC
                ),
                (
                    "client_certificate_given", row.clientCertificateGiven.map(String.init),
                    witness.clientCertificateGiven.map(String.init), false
                ),
                ("local", row.local, witness.local, true),
                ("remote", row.remote, witness.remote, true),
                ("comm", row.comm, witness.comm, false),
                ("thread", row.thread, witness.thread, true),
            ]
            for fact in facts where witness.event == nil {
                if let told = fact.told {
                    #expect(
                        told == fact.known || (fact.known == nil && fact.mayBeTold),
                        "\(fact.name): \(row) against \(witness)")
                } else if ["outcome", "cipher", "alpn", "alert", "reason"].contains(fact.name) {
                    // An alert raised at a peer that is gone is not told: nobody knows that it got out.
                    if fact.name == "alert", witness.reason == "peer_closed" { continue }
                    #expect(fact.known == nil, "\(fact.name) is missing: \(row) against \(witness)")
                }
            }
            #expect((row.transport == "quic") == isQUIC)
            if let calls = witness.calls { #expect(row.calls == calls, "\(row) against \(witness)") }
            if ["memory", "unix", "pipe", "quic"].contains(witness.transport) {
                #expect(row.tcpConnect == nil, "there was no TCP: \(row)")
                #expect(row.firstRecordDelay == nil, "there was no TCP: \(row)")
            }
        }

        private func compareTimes(_ row: SessionRow, _ witness: Witness) {
            guard let duration = row.duration, let outer = witness.outer, row.outcome != "abandoned" else { return }
            #expect(duration <= outer + max(20_000, outer / 100), "\(row) against \(witness)")
            // The library's last callback comes behind the instruction that ends the call: a scheduler may come
            // between the two, for as long as the kernel says that the thread waited. How close they are is for the
            // distributions.
            if let inner = witness.inner {
                #expect(
                    duration >= inner - (witness.waited ?? 0) - max(1_000_000, inner / 10), "\(row) against \(witness)")
            }
        }

        // MARK: figures with a known answer

        @Test(
            "A peer that holds each flight back by a known time: every figure has it in or leaves it out",
            arguments: ["1.2", "1.3"], ["client", "server"])
        func delayedFlightsAreInTheirFigures(_ version: String, _ slow: String) throws {
            for phases in ["on", "full"] { try compareDelayed(version, slow, phases) }
        }

        private func compareDelayed(_ version: String, _ slow: String, _ phases: String) throws {
            let delay = 40_000_000
            let line = ["--tls", version, "--count", "2", "--delay-\(slow)-ms", "40", "--alpn", "h2"]
            let run = try #require(
                try Handshaker.observe(.distribution, [line], options: ["--phases", phases]).runs.first)
            try #require(run.status == 0)
            for role in ["client", "server"] {
                let known = run.witnesses.filter { $0.role == role }.sorted { $0.start < $1.start }
                let told = run.rows.filter { $0.role == role }.inOrder
                try #require(known.count == 2 && told.count == 2)
                for (row, witness) in zip(told, known) {
                    try compareFigures(row, witness, isSlow: role == slow, delay: delay, version, phases)
                }
            }
        }

        private func compareFigures(
            _ row: SessionRow, _ witness: Witness, isSlow: Bool, delay: Int, _ version: String, _ phases: String
        ) throws {
            let text = Comment(rawValue: "\(row) against \(witness)")
            let clientHello = try #require(witness.clientHello)
            let serverHello = try #require(witness.serverHello)
            let finishedRead = try #require(witness.finishedRead)
            // The slow side sleeps between its calls: that is waiting.
            if isSlow {
                let slept = (witness.delays ?? []).reduce(0, +)
                #expect((row.wait ?? 0) >= slept, text)
                #expect((row.busy ?? 0) < (row.duration ?? 0) - slept + 1, text)
            }
            // From the peer's share to the keys nobody sleeps.
            let exchange = try #require(row.keyExchange, text)
            if phases == "full" {
                let compute = try #require(row.keyExchangeCompute, text)
                #expect(compute > 0, text)
                #expect(compute <= exchange, text)
            } else {
                #expect(row.keyExchangeCompute == nil, text)
            }
            #expect(exchange < delay / 2, text)
            let alpn = try #require(row.alpnNegotiation, text)
            let slack = 2_000_000
            if row.isServer {
                #expect(alpn < delay / 2, "it reads and decides at once: \(text)")
                if isSlow { #expect((row.firstRecordDelay ?? 0) >= witness.delayBeforeStart ?? .max, text) }
                if version == "1.3", phases == "full" {
                    let finished = try #require(row.finished, text)
                    #expect(abs(finished - (finishedRead - witness.start)) <= slack, text)
                } else {
                    #expect(row.finished == nil, text)
                }
            } else {
                // Sent to decided: EncryptedExtensions stand between ServerHello and Finished; below 1.3 it is ServerHello.
                let last = version == "1.3" ? finishedRead : serverHello
                #expect(alpn >= serverHello - clientHello - slack, text)
                #expect(alpn <= last - clientHello + slack, text)
                // A server sleeps before its first flight. A client need not sleep at all where the answer is there before
                // it has gone to sleep.
                if !isSlow { #expect(alpn >= delay - slack, "the peer slept before its flight: \(text)") }
            }
        }

        // MARK: distributions and load

        @Test(
            "P50 and P99 of 2,000 handshakes are the program's own, within 1 % or 20 µs",
            arguments: ["1.2", "1.3"], [["--blocking"], ["--nonblocking"], ["--nonblocking", "--resume"]])
        func quantilesAreTheProgramsOwn(_ version: String, _ options: [String]) throws {
            let observed = try Handshaker.observe(.distribution, [["--tls", version, "--count", "2000"] + options])
            let run = try #require(observed.runs.first)
            try #require(run.status == 0)
            for role in ["client", "server"] {
                let own = run.witnesses.filter { $0.role == role }
                // In the middle nobody is taken off a processor between the end and the callback behind it; in the tail some are.
                try expectQuantiles(
                    role, of: run.rows.filter { $0.role == role }.compactMap(\.duration), most: own.compactMap(\.outer),
                    least: own.compactMap(\.inner), leastInTail: own.compactMap(\.certain))
            }
        }

        @Test("20,000 handshakes by 64 threads: every one is told, or is in the drop counters")
        func everyHandshakeUnderLoadIsCounted() throws {
            let daemon = try Daemon()
            let count = 20_032  // a multiple of the threads
            let run = try ChildProcess.run(
                "env",
                Handshaker.command(.distribution, ["--scenario", "many", "--threads", "64", "--count", "\(count)"]),
                within: .seconds(240))
            try #require(run.status == .exited(0), "\(run.errors.suffix(500))")
            let made = try Handshaker.witnesses(run.output).filter { $0.outcome == "completed" }.count
            try #require(made == 2 * count, "\(made) ends of \(count) handshakes")
            let metrics = try daemon.quietMetrics {
                $0.sum("tlswatch_handshakes_total", ["outcome": "completed"]) >= Double(made) && Books($0).balance
            }
            let lost = ["ring_full", "no_memory"].map { metrics.sum("tlswatch_events_dropped_total", ["reason": $0]) }
                .reduce(0, +)
            let told = metrics.sum("tlswatch_handshakes_total", ["outcome": "completed"])
            if lost == 0 {
                #expect(told == Double(made))
            } else {
                #expect(told <= Double(made), "\(told) told, \(lost) lost, \(made) made")
                #expect(told + lost >= Double(made), "\(told) told, \(lost) lost, \(made) made")
            }
            expectConservation(metrics)
        }

        @Test("A stopped consumer loses records and says so: no session is told that did not take place so")
        func aStoppedConsumerReportsItsLosses() throws {
            let daemon = try Daemon(["--ring-size", "1"])
            daemon.child.signal(SIGSTOP)
            let stalled = try ChildProcess.run(
                "env", Handshaker.command(.distribution, ["--nonblocking", "--count", "3000"]), within: .seconds(60))
            daemon.child.signal(SIGCONT)
            try #require(stalled.status == .exited(0), "\(stalled.errors.suffix(500))")
            let after = try ChildProcess.run(
                "env", Handshaker.command(.distribution, ["--nonblocking", "--count", "50"]), within: .seconds(60))
            try #require(after.status == .exited(0))
            let metrics = try daemon.quietMetrics {
                $0.sum("tlswatch_handshakes_total", ["outcome": "completed"]) >= 100 && Books($0).balance
            }
            #expect(metrics.sum("tlswatch_events_dropped_total", ["reason": "ring_full"]) > 0, "the ring overflowed")
            #expect(metrics.sum("tlswatch_window_incomplete") == 1)
            let completed = metrics.sum("tlswatch_handshakes_total", ["outcome": "completed"])
            #expect(completed >= 100, "\(completed) of 6,100 are known to have completed")
            #expect(completed < 6100, "\(completed) of 6,100 are known to have completed")
            // Every one completed: what is not told so can only have been lost sight of.
            let others = metrics.sum("tlswatch_handshakes_total") - completed
            #expect(metrics.sum("tlswatch_handshakes_total", ["reason": "events_lost"]) == others)
            #expect(others > 0, "the loss itself is seen, not only counted")
            expectConservation(metrics)
        }
    }
}

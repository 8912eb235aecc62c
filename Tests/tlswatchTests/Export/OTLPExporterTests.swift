import Foundation
import NIOPosix
import ServiceLifecycle
import Synchronization
import TestSupport
import Testing

@testable import Handshakes
@testable import tlswatch

/// Longer than all tests take together.
private let atMost: Duration = .seconds(1_200)

/// An exporter that looks every few milliseconds, while `body` runs; then it is ended.
private struct Export {
    let accounts = OTLPAccounts()
    let queue: SpanQueue
    let log = LogLines()
    private let exporter: OTLPExporter
    private let group: ServiceGroup

    init(
        to url: String, headers: [String] = [], certificate: String? = nil, interval: UInt64 = 3_600_000_000_000,
        metrics: MetricsSnapshot? = nil, configure: (inout OTLPExporter.Limits) -> Void = { _ in }
    ) throws {
        let address = try #require(CollectorAddress(argument: url))
        var settings = OTLPSettings()
        settings.headers = headers.compactMap { CollectorHeader(argument: $0) }
        settings.certificateFile = certificate
        queue = SpanQueue(slow: 100_000_000, share: 0, accounts: accounts)
        var limits = OTLPExporter.Limits()
        // Beside all other tests a task may have to wait for its turn for minutes.
        (limits.request, limits.end) = (atMost, atMost)
        limits.batch = 2
        limits.tick = .milliseconds(5)
        limits.firstPause = .milliseconds(5)
        configure(&limits)
        exporter = OTLPExporter(
            address: address, interval: interval,
            client: try CollectorClient(settings, address: address, group: MultiThreadedEventLoopGroup.singleton),
            queue: queue, accounts: accounts,
            resource: OTLPResource(version: "1.2.3", host: "web1", instance: "web1:9899"), metrics: { metrics },
            logger: log.logger, limits: limits)
        group = ServiceGroup(services: [exporter], logger: log.logger)
    }

    func run(_ body: () async throws -> Void) async throws {
        let running = Task { try await group.run() }
        var failure: (any Error)?
        do { try await body() } catch { failure = error }
        await group.triggerGracefulShutdown()
        try await running.value
        if let failure { throw failure }
    }
}

@Suite("Export by OTLP") struct OTLPExporterTests {
    private func full(_ outcome: Outcome = .failed) -> Handshake {
        var session = endedSession(outcome, duration: 200_000_000)
        session.reason = "unknown_ca"
        session.sni = "a.example"
        session.tlsVersion = "TLSv1.3"
        session.cipher = "TLS_AES_256_GCM_SHA384"
        session.alpn = "h2"
        session.local = "127.0.0.1:443"
        session.remote = "[2001:db8::7]:51514"
        session.resumed = false
        session.rtt = 410_000
        session.timeline.connecting = session.start - 3_000_000
        session.timeline.established = session.start - 1_000_000
        session.timeline.keyExchangeBegin = session.start + 5_000_000
        session.timeline.keyExchangeEnd = session.start + 7_000_000
        return session
    }

    @Test("A span says what the session says, with its parts below it, to OpenTelemetry's own parser")
    func span() async throws {
        let collector = try OTLPCollector()
        let export = try Export(to: "http://127.0.0.1:\(collector.port)/base", headers: ["api-key=0123"])
        try await export.run {
            export.queue.offer([full(), full(.completed)])
            try #require(await becomesTrue(within: atMost) { !collector.requests.isEmpty })
        }
        let request = try #require(collector.requests.first)
        #expect(request.path == "/base/v1/traces" && request.error == nil)
        #expect(request.headers["api-key"] == "0123" && request.headers["content-type"] == "application/x-protobuf")
        #expect(request.headers["host"] == "127.0.0.1:\(collector.port)")
        #expect(request.resource["service.name"] == "tlswatch" && request.resource["host.name"] == "web1")
        #expect(
            request.resource["service.version"] == "1.2.3" && request.resource["service.instance.id"] == "web1:9899")

        let spans = request.spans
        #expect(
            spans.map { $0["name"] as? String } == [
                "tls.handshake", "tcp.connect", "tls.key_exchange",
                "tls.handshake", "tcp.connect", "tls.key_exchange", "tls.finish",
            ])
        let own = spans[0]
        #expect(own["kind"] as? String == "SPAN_KIND_SERVER")
        #expect(own["startTimeUnixNano"] as? String == "1767323045000000000")
        #expect(own["endTimeUnixNano"] as? String == "1767323045200000000")
        #expect(spans[1]["startTimeUnixNano"] as? String == "1767323044997000000")
        #expect(spans[2]["startTimeUnixNano"] as? String == "1767323045005000000")
        #expect(spans[2]["endTimeUnixNano"] as? String == "1767323045007000000")
        #expect(spans[6]["endTimeUnixNano"] as? String == "1767323045200000000")
        let status = try #require(own["status"] as? [String: String])
        #expect(status == ["code": "STATUS_CODE_ERROR", "message": "unknown_ca"])
        #expect((spans[3]["status"] as? [String: String])?["code"] == nil)

        let attributes = OTLPCollector.Request.attributes(own)
        let expected = [
            "process.pid": "4242", "thread.id": "4243", "tls.cipher": "TLS_AES_256_GCM_SHA384",
            "tls.next_protocol": "h2",
            "tls.protocol.name": "tls", "tls.protocol.version": "1.3", "tls.resumed": "false",
            "tls.established": "false",
            "server.address": "a.example", "network.local.address": "127.0.0.1", "network.local.port": "443",
            "network.peer.address": "2001:db8::7", "network.peer.port": "51514", "error.type": "unknown_ca",
            "tlswatch.comm": "nginx", "tlswatch.stack": "openssl", "tlswatch.rtt_ns": "410000",
            "tlswatch.outcome": "failed",
        ]
        for (name, value) in expected { #expect(attributes[name] == value, "\(name)") }
        // What is not known is absent.
        #expect(
            attributes["tls.curve"] == nil && attributes["k8s.pod.uid"] == nil && attributes["network.transport"] == nil
        )
        #expect(OTLPCollector.Request.attributes(spans[3])["tls.established"] == "true")

        let trace = spans.compactMap { ($0["traceId"] as? String).flatMap { Data(base64Encoded: $0) } }
        let identifiers = spans.compactMap { ($0["spanId"] as? String).flatMap { Data(base64Encoded: $0) } }
        #expect(trace.count == 7 && trace.allSatisfy { $0.count == 16 } && Set(trace).count == 2)
        #expect(identifiers.count == 7 && identifiers.allSatisfy { $0.count == 8 } && Set(identifiers).count == 7)
        #expect(spans[0]["parentSpanId"] == nil)
        #expect(spans[1...2].allSatisfy { $0["parentSpanId"] as? String == spans[0]["spanId"] as? String })
        #expect(spans[4...6].allSatisfy { $0["parentSpanId"] as? String == spans[3]["spanId"] as? String })
        #expect(export.accounts.count(.delivered) == 2 && export.accounts.count(.traces, .delivered) == 1)
    }

    @Test("Metrics are those of /metrics, their histograms exponential, to OpenTelemetry's own parser")
    func metrics() async throws {
        let durations: [UInt64] = [60, 900_000, 1_000_000, 1_834_211, 40_000_000, 3_000_000_000]
        var options = MetricsRegistry.Options()
        options.exemplars = true
        var registry = MetricsRegistry(version: "1.2.3", options: options)
        for duration in durations {
            let session = endedSession(.completed, duration: duration)
            registry.record(session, now: session.end)
        }
        registry.record(endedSession(.failed), now: 5_000_000_000)
        let snapshot = registry.snapshot(now: 5_000_000_000)
        let collector = try OTLPCollector()
        let export = try Export(
            to: "http://127.0.0.1:\(collector.port)", interval: 20_000_000, metrics: snapshot)
        try await export.run { try #require(await becomesTrue(within: atMost) { collector.requests.count > 1 }) }
        let request = try #require(collector.requests.first)
        #expect(request.path == "/v1/metrics" && request.error == nil)
        // A request that is worth it is compressed.
        #expect(request.headers["content-encoding"] == "gzip")
        #expect(
            Set(request.metrics.compactMap { $0["name"] as? String }) == Set(snapshot.families.map(\.descriptor.name)))

        let counted = try #require(request.metric("tlswatch_handshakes_total")?["sum"] as? [String: Any])
        #expect(counted["isMonotonic"] as? Bool == true)
        #expect(counted["aggregationTemporality"] as? String == "AGGREGATION_TEMPORALITY_CUMULATIVE")
        let points = try #require(counted["dataPoints"] as? [[String: Any]])
        let completed = points.first { OTLPCollector.Request.attributes($0)["outcome"] == "completed" }
        #expect(completed?["asInt"] as? String == "\(durations.count)")
        #expect((completed?["startTimeUnixNano"] as? String).flatMap { UInt64($0) } == ProcessSample.began)

        let metric = try #require(request.metric("tlswatch_handshake_duration_seconds"))
        #expect(metric["unit"] as? String == "s")
        let histogram = try #require(metric["exponentialHistogram"] as? [String: Any])
        let point = try #require((histogram["dataPoints"] as? [[String: Any]])?.first)
        #expect(point["count"] as? String == "\(durations.count)")
        #expect(abs((point["sum"] as? Double ?? 0) - Double(durations.reduce(0, +)) / 1e9) < 1e-9)
        #expect(point["zeroCount"] as? String == "1")
        try expectBuckets(point, hold: durations.dropFirst().map { Double($0) / 1e9 })
        let exemplars = try #require(point["exemplars"] as? [[String: Any]])
        #expect(exemplars.allSatisfy { OTLPCollector.Request.attributes($0, "filteredAttributes")["pid"] == "4242" })

        // A window's quantiles are gauges.
        let window = try #require(request.metric("tlswatch_handshake_window_seconds")?["gauge"] as? [String: Any])
        let quantiles = try #require(window["dataPoints"] as? [[String: Any]])
        #expect(quantiles.contains { OTLPCollector.Request.attributes($0)["quantile"] == "0.99" })
        #expect(export.accounts.count(.metrics, .delivered) >= 2)
    }

    /// By the definition in opentelemetry-proto: bucket i holds (base^i, base^(i+1)], base = 2^(2^-scale).
    private func expectBuckets(_ point: [String: Any], hold values: [Double]) throws {
        let scale = point["scale"] as? Int ?? 0
        let positive = try #require(point["positive"] as? [String: Any])
        let offset = positive["offset"] as? Int ?? 0
        let counts = try #require(positive["bucketCounts"] as? [String]).compactMap { Int($0) }
        #expect(counts.count <= NativeBuckets.limit && counts.reduce(0, +) == values.count)
        #expect(counts.first != 0 && counts.last != 0)
        var expected = [Int](repeating: 0, count: counts.count)
        for value in values {
            let index = Int((log2(value) * exp2(Double(scale))).rounded(.up)) - 1 - offset
            try #require(expected.indices.contains(index), "\(value) lies outside of all buckets")
            expected[index] += 1
        }
        // The cells that durations are counted in are narrower than a bucket, but not by much: one may lie on the border.
        for (index, count) in counts.enumerated() where count != expected[index] {
            let around = max(0, index - 1)...min(counts.count - 1, index + 1)
            #expect(counts[around].reduce(0, +) == expected[around].reduce(0, +), "bucket \(index)")
        }
    }

    // MARK: collectors that do not take it

    @Test("What may be sent again is sent again, the same bytes, and delivered once")
    func again() async throws {
        let collector = try OTLPCollector(["503:0", "429", "drop", "200"])
        let export = try Export(to: "http://127.0.0.1:\(collector.port)")
        try await export.run {
            export.queue.offer([full(), full()])
            try #require(await becomesTrue(within: atMost) { export.accounts.count(.delivered) == 2 })
        }
        let requests = collector.requests
        #expect(requests.count == 4)
        let identifiers = requests.map { $0.spans.map { $0["spanId"] as? String } }
        #expect(Set(identifiers).count == 1)
        #expect(export.accounts.count(.traces, .failed) == 3 && export.accounts.count(.traces, .delivered) == 1)
        // Each turn of events is told once.
        #expect(export.log.all.count { $0.contains("cannot deliver by OTLP: HTTP status 503") } == 1)
        #expect(export.log.all.count { $0.contains("cannot deliver") } == 1)
        #expect(export.log.all.contains { $0.contains("delivering again") })
    }

    @Test("What was refused is not sent again", arguments: ["400", "401", "404", "500"]) func refused(answer: String)
        async throws
    {
        let collector = try OTLPCollector([answer, "200"])
        let export = try Export(to: "http://127.0.0.1:\(collector.port)")
        try await export.run {
            export.queue.offer([full(), full()])
            try #require(await becomesTrue(within: atMost) { export.accounts.count(.refused) == 2 })
        }
        #expect(collector.requests.count == 1 && export.accounts.count(.traces, .refused) == 1)
    }

    @Test("After the last attempt it is counted and let go, and what comes next is tried") func attempts() async throws
    {
        let collector = try OTLPCollector(["503", "503", "503", "200"])
        let export = try Export(to: "http://127.0.0.1:\(collector.port)") { $0.attempts = 3 }
        try await export.run {
            export.queue.offer([full(), full()])
            try #require(await becomesTrue(within: atMost) { export.accounts.count(.undelivered) == 2 })
            export.queue.offer([full(), full()])
            try #require(await becomesTrue(within: atMost) { export.accounts.count(.delivered) == 2 })
        }
        #expect(collector.requests.count == 4)
    }

    @Test(
        "Of a partial success the rest is delivered", arguments: [("partial:1", 1), ("partial:99", 2), ("garbage", 0)])
    func partial(answer: String, rejected: UInt64) async throws {
        let collector = try OTLPCollector([answer])
        let export = try Export(to: "http://127.0.0.1:\(collector.port)")
        try await export.run {
            export.queue.offer([full(), full()])
            try #require(
                await becomesTrue(within: atMost) {
                    export.accounts.count(.delivered) + export.accounts.count(.refused) == 2
                })
        }
        #expect(export.accounts.count(.refused) == rejected)
    }

    @Test("While a collector hangs, a bounded number of sessions waits, and the end comes soon") func hangs()
        async throws
    {
        let collector = try OTLPCollector(["hang"])
        let export = try Export(to: "http://127.0.0.1:\(collector.port)") {
            $0.request = .milliseconds(50)
            $0.end = .milliseconds(100)
            $0.attempts = 1_000
        }
        let sessions = (0..<2_000).map { _ in full() }
        try await export.run {
            for _ in 0..<8 { export.queue.offer(sessions) }
            try #require(await becomesTrue(within: atMost) { export.accounts.count(.traces, .failed) > 1 })
            #expect(export.accounts.count(.queueFull) > 0)
        }
        // Each is accounted for.
        let accounts = export.accounts
        #expect(accounts.count(.queueFull) + accounts.count(.undelivered) == 16_000)
        #expect(export.log.all.contains { $0.contains("no answer within") })
    }

    @Test("Nobody listens there: that is told, counted, and ends nothing") func nobody() async throws {
        let collector = try OTLPCollector()
        collector.stop()
        let export = try Export(to: "http://127.0.0.1:\(collector.port)") { $0.end = .milliseconds(100) }
        try await export.run {
            export.queue.offer([full(), full()])
            try #require(await becomesTrue(within: atMost) { export.accounts.count(.traces, .failed) > 0 })
        }
        #expect(export.log.all.contains { $0.contains("cannot deliver by OTLP: Connection refused") })
        #expect(export.accounts.count(.undelivered) == 2)
    }

    @Test("What is left at the end is delivered then") func leftOver() async throws {
        let collector = try OTLPCollector()
        var registry = MetricsRegistry(version: "1.2.3")
        let export = try Export(
            to: "http://127.0.0.1:\(collector.port)", metrics: registry.snapshot(now: 1)
        ) {
            $0.batch = 100
        }
        try await export.run { export.queue.offer([full()]) }
        #expect(collector.requests.map(\.path) == ["/v1/traces", "/v1/metrics"])
        #expect(export.accounts.count(.delivered) == 1)
    }

    // MARK: TLS

    @Test("By TLS, to a collector whose authority is trusted, and to no other") func tls() async throws {
        let directory = try TemporaryDirectory()
        let authority = try CertificateAuthority("authority", in: directory)
        try await authority.issue("collector", names: "IP:127.0.0.1")
        let collector = try OTLPCollector(
            tls: (directory.file("collector.pem"), directory.file("collector.key")))
        let url = "https://127.0.0.1:\(collector.port)"
        let trusting = try Export(to: url, certificate: authority.certificate)
        try await trusting.run {
            trusting.queue.offer([full(), full()])
            try #require(await becomesTrue(within: atMost) { trusting.accounts.count(.delivered) == 2 })
        }
        let other = try Export(to: url) { $0.end = .milliseconds(100) }
        try await other.run {
            other.queue.offer([full(), full()])
            try #require(await becomesTrue(within: atMost) { other.accounts.count(.traces, .failed) > 0 })
        }
        #expect(collector.requests.count == 1)
        #expect(other.accounts.count(.delivered) == 0)
    }

    @Test("A file of authorities that cannot be used is told with its name") func badCertificate() throws {
        let directory = try TemporaryDirectory()
        try directory.write("no certificate", to: "bad.pem")
        for file in [directory.file("bad.pem"), directory.file("missing.pem")] {
            let error = #expect(throws: CommandFailure.self) {
                _ = try Export(to: "https://127.0.0.1:1", certificate: file)
            }
            #expect(error?.message.contains(file) == true && error?.status == .input)
        }
    }
}

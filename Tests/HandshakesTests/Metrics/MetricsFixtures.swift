import TestSupport

@testable import Handshakes

/// A completed server handshake of 2 ms that ended at `end`, every fact known.
func completedHandshake(end: UInt64, duration: UInt64 = 2 * millisecond) -> Handshake {
    var handshake = Handshake(
        wallTime: 0, start: end - duration, end: end, pid: 4_242, tid: 4_242, comm: "nginx", stack: "openssl",
        library: "/usr/lib/libssl.so.3", role: .server, outcome: .completed, duration: duration, calls: 2)
    handshake.parts = HandshakeParts(
        of: duration, cpu: duration / 16 * 7, runqueue: duration / 2 - duration / 16 * 7, unread: duration / 8)
    handshake.cause = .compute
    handshake.rtt = 410_000
    handshake.retransmits = 0
    handshake.tlsVersion = "TLSv1.3"
    handshake.cipher = "TLS_AES_256_GCM_SHA384"
    handshake.group = "x25519"
    handshake.alpn = "h2"
    handshake.resumed = false
    handshake.tcpConnect = 41_200
    handshake.firstRecordDelay = 512_000
    handshake.keyExchange = 230_111
    handshake.keyExchangeSucceeded = true
    handshake.alpnNegotiation = duration / 10
    return handshake
}

/// A client's session of one hour that did not complete.
func unfinishedHandshake(end: UInt64, outcome: Outcome, reason: String?) -> Handshake {
    var handshake = Handshake(
        wallTime: 0, start: end, end: end, pid: 7, tid: 7, comm: "curl", stack: "gnutls", library: "/usr/lib/libgnutls",
        role: .client, outcome: outcome, duration: 3_600 * second, calls: 1)
    handshake.reason = reason
    return handshake
}

/// Options with windows of so many seconds.
func options(
    windows: [UInt64] = [60], labels: [ExtraLabelOption] = [], exemplars: Bool = false,
    limits: MetricsRegistry.Limits = .init()
) -> MetricsRegistry.Options {
    var options = MetricsRegistry.Options()
    options.windows = windows.map(WindowLength.init(seconds:))
    options.labels = labels
    options.exemplars = exemplars
    options.limits = limits
    return options
}

/// A registry that has seen something for every family.
func fullSnapshot() -> MetricsSnapshot {
    var registry = MetricsRegistry(version: "0.1.0")
    let now = 100 * second
    for step in 1...4 { registry.record(completedHandshake(end: now, duration: UInt64(step) * millisecond), now: now) }
    var bare = unfinishedHandshake(end: now, outcome: .completed, reason: nil)
    bare.duration = 1_834_211
    bare.parts = HandshakeParts(of: bare.duration, cpu: 870_002, runqueue: 41_000, unread: 21_000)
    bare.cause = .peer
    bare.retransmits = 3
    registry.record(bare, now: now)
    var failed = unfinishedHandshake(end: now, outcome: .failed, reason: "unknown_ca")
    failed.keyExchangeSucceeded = false
    failed.group = "secp256r1"
    registry.record(failed, now: now)
    registry.record(unfinishedHandshake(end: now, outcome: .abandoned, reason: nil), now: now)
    registry.record(unfinishedHandshake(end: now, outcome: .timeout, reason: nil), now: now)
    registry.update(sessions: [
        SessionTally(role: .server, stack: "openssl", started: 5, inFlight: 1),
        SessionTally(role: .client, stack: "gnutls", started: 4, inFlight: 0),
    ])
    var kernel = KernelCounters()
    kernel.submitted = [.init(program: "tls_return", count: 40), .init(program: "socket_state", count: 12)]
    kernel.dropped = [.init(program: "tls_return", reason: "ring_full", count: 0)]
    kernel.skipped = [.init(program: "tls_return", reason: "noted", count: 3)]
    kernel.rejected = [.init(reason: "wrong_size", count: 1)]
    kernel.decoded = 51
    registry.update(kernel: kernel, now: now)
    var coverage = CoverageSample()
    coverage.probeHits = [.init(stack: "openssl", library: "/usr/lib/libssl.so.3", count: 40)]
    coverage.probes = [.init(stack: "openssl", library: "/usr/lib/libssl.so.3", state: "emulated", count: 6)]
    coverage.processes = [
        .init(state: .observed, reason: nil, count: 2),
        .init(state: .unobserved, reason: "unsupported_stack", count: 1),
    ]
    registry.update(coverage: coverage)
    var process = ProcessSample()
    process.cpuTime = 1_250_000_000
    process.residentBytes = 33_554_432
    process.virtualBytes = 268_435_456
    process.openDescriptors = 31
    process.descriptorLimit = 1_024
    process.startTime = 1_767_323_045_678_901_234
    var scrape = ScrapeSample(served: 9, lastDuration: 1_500_000)
    scrape.rejected = [.init(reason: "unauthorized", count: 3)]
    let snapshot = registry.snapshot(now: now).adding(process.samples + scrape.samples)
    return snapshot.adding(samples(ofAllBut: Set(snapshot.families.map(\.descriptor.name))))
}

/// A series for each family of the catalogue that has none yet: what is known to others than the registry.
private func samples(ofAllBut known: Set<String>) -> [FamilySample] {
    MetricCatalogue.all.filter { !known.contains($0.name) }.map { metric in
        FamilySample(metric, [(LabelValues(metric.labels.map { "some \($0)" }), 1)])
    }
}

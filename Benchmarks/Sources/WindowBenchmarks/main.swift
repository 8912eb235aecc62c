import HandshakeProbe

// Windows and metrics: `swift run -c release WindowBenchmarks`. One thread, the clock simulated; real time measured.

/// Nanoseconds of one of `count` runs: the best of five rounds, since others share the machine.
func measure(_ name: String, count: Int, _ round: (Int) -> Void) {
    var best = Duration.seconds(3_600)
    for _ in 0..<5 {
        best = min(best, ContinuousClock().measure { for index in 0..<count { round(index) } })
    }
    let attoseconds = best.components.attoseconds + best.components.seconds * 1_000_000_000_000_000_000
    print("\(name): \(attoseconds / Int64(count) / 1_000_000_000) ns")
}

/// Durations around 2 ms, the same in every run.
let durations: [UInt64] = (0..<4_096).map { index in
    var generator = UInt64(index) &* 0x9E37_79B9_7F4A_7C15
    generator ^= generator >> 29
    return 300_000 + generator % 4_000_000
}
let second: UInt64 = 1_000_000_000
var now: UInt64 = 100 * second
/// Keeps results alive.
var sink: UInt64 = 0

var histogram = LogHistogram()
measure("LogHistogram.insert", count: 1_000_000) { histogram.insert(durations[$0 & 4_095]) }
measure("LogHistogram.quantile", count: 10_000) { _ in sink &+= histogram.quantile(0.99) ?? 0 }

var window = SlidingWindow()
measure("SlidingWindow.insert, 10,000/s", count: 1_000_000) { index in
    now += 100_000
    window.insert(durations[index & 4_095], at: now, now: now)
}
let wanted = [0.5, 0.9, 0.99, 0.999]
print("SlidingWindow holds \(window.count(now: now)) in \(window.storageBytes) bytes")
measure("SlidingWindow.quantiles ×4, buckets", count: 10_000) { _ in
    sink &+= window.quantiles(wanted, now: now).first ?? 0
}
measure("SlidingWindow advance by 1 s, 100 inserts", count: 1_000) { index in
    now += second
    for extra in 0..<100 { window.insert(durations[(index + extra) & 4_095], at: now, now: now) }
}
var small = SlidingWindow()
for index in 0..<SlidingWindow.exactLimit { small.insert(durations[index], at: now, now: now) }
measure("SlidingWindow.quantiles ×4, exact at 256", count: 10_000) { _ in
    sink &+= small.quantiles(wanted, now: now).first ?? 0
}
var ratio = RatioWindow()
measure("RatioWindow.add", count: 1_000_000) { index in
    now += 100_000
    ratio.add(numerator: 1, denominator: 10, at: now, now: now)
}

var handshake = Handshake(
    wallTime: 0, start: 0, end: now, pid: 1, tid: 1, comm: "nginx", stack: "openssl", library: "libssl.so.3",
    role: .server, outcome: .completed, duration: 2_000_000, busy: 900_000, calls: 2)
handshake.tlsVersion = "TLSv1.3"
handshake.cipher = "TLS_AES_256_GCM_SHA384"
handshake.group = "x25519"
handshake.alpn = "h2"
handshake.resumed = false
handshake.tcpConnect = 41_200
handshake.keyExchange = 230_111
handshake.keyExchangeSucceeded = true
handshake.alpnNegotiation = 204_000

var registry = MetricsRegistry(version: "bench")
measure("MetricsRegistry.record", count: 200_000) { index in
    now += 100_000
    handshake.end = now
    handshake.duration = durations[index & 4_095]
    registry.record(handshake, now: now)
}
var output: [UInt8] = []
measure("MetricsRegistry.snapshot", count: 2_000) { _ in sink &+= UInt64(registry.snapshot(now: now).families.count) }

let reasons = (0..<60).map { "reason_\($0)" }
handshake.outcome = .failed
handshake.keyExchangeSucceeded = nil
for stack in 0..<12 {
    handshake.stack = "stack-\(stack)"
    for reason in reasons {
        handshake.reason = reason
        registry.record(handshake, now: now)
    }
}
let large = registry.snapshot(now: now)
measure("snapshot and copy on the next record, \(12 * 60) series more", count: 2_000) { _ in
    sink &+= UInt64(registry.snapshot(now: now).families.count)
    registry.record(handshake, now: now)
}
measure("TextExposition.encode, the same", count: 500) { _ in
    output.removeAll(keepingCapacity: true)
    TextExposition.encode(large, into: &output)
}
let series = large.families.reduce(0) { $0 + $1.samples.count }
print("TextExposition: \(output.count) bytes, \(series) label sets, \(output.count / series) bytes a label set")
print("sink \(sink)")

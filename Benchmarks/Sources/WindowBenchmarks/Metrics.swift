import Handshakes
import SyntheticHandshakes

private func registry(names: Int, series: Int = 1_000_000) -> MetricsRegistry {
    var options = MetricsRegistry.Options()
    options.labels = [ExtraLabelOption(.sni, cap: names)]
    options.limits.series = series
    return MetricsRegistry(version: "bench", options: options)
}

/// What a window, a histogram and the counters for each of thousands of server names cost.
@MainActor func measureLabelSets() {
    print("\n10,000 label sets, each of 100 sessions in the window")
    let sets = 10_000
    let names = (0..<sets).map { "host-\($0).example" }
    let before = residentBytes()
    var registry = registry(names: sets)
    var now: UInt64 = 1_000 * second
    for round in 0..<100 {
        now += 500_000_000
        for (index, name) in names.enumerated() {
            registry.record(completed(in: durations[(index &* 31 &+ round) & 4_095], sni: name, end: now), now: now)
        }
    }
    tell("memory of windows, histograms and counters", megabytes(residentBytes() - before), "64 MB")
    var best = Duration.seconds(3_600)
    for round in 0..<5 {
        for (index, name) in names.enumerated() {
            registry.record(completed(in: durations[(index &* 17 &+ round) & 4_095], sni: name, end: now), now: now)
        }
        // Past the age at which many windows are worked out again.
        now += second
        best = min(best, ContinuousClock().measure { sink &+= UInt64(registry.snapshot(now: now).families.count) })
    }
    tell("refresh of all of them", "\((best / .microseconds(100)).rounded() / 10) ms", "50 ms")
    measure("record, one of them", count: 100_000) { index in
        registry.record(completed(in: durations[index & 4_095], sni: names[index % sets], end: now), now: now)
    }

    var bounded = MetricsRegistry(version: "bench", options: registryOptions())
    for index in 0..<100_000 {
        bounded.record(completed(in: durations[index & 4_095], sni: "warm-\(index).example", end: now), now: now)
    }
    let bound = residentBytes()
    for index in 0..<1_000_000 {
        bounded.record(completed(in: durations[index & 4_095], sni: "attack-\(index).example", end: now), now: now)
    }
    tell("a million distinct server names more, cap 100", megabytes(residentBytes() - bound))
    var plain = MetricsRegistry(version: "bench")
    measure("record, no extra label", count: 200_000) { index in
        now += 100_000
        plain.record(completed(in: durations[index & 4_095], sni: "a.example", end: now), now: now)
    }
}

private func registryOptions() -> MetricsRegistry.Options {
    var options = MetricsRegistry.Options()
    options.labels = [ExtraLabelOption(.sni)]
    return options
}

/// What a line of `--format json` costs.
@MainActor func measureLine() {
    print("\nA session as a line of JSON")
    var handshake = completed(in: durations[0], sni: "a.example", end: second)
    handshake.duration = 2_000_000
    handshake.exe = "/usr/sbin/nginx"
    handshake.local = "127.0.0.1:443"
    handshake.remote = "127.0.0.1:51514"
    var output: [UInt8] = []
    measure("append", count: 20_000) { _ in
        output.removeAll(keepingCapacity: true)
        JSONLine.append(handshake, to: &output)
    }
    tell("  bytes", "\(output.count)")
}

/// What a scrape costs.
@MainActor func measureExposition() {
    print("\nA scrape of about 100,000 series")
    var registry = registry(names: 4_000)
    let now = 1_000 * second
    for index in 0..<4_000 * 20 {
        registry.record(
            completed(in: durations[index & 4_095], sni: "host-\(index % 4_000).example", end: now), now: now)
    }
    let snapshot = registry.snapshot(now: now)
    var output: [UInt8] = []
    let text = measure("text 0.0.4", count: 20, goal: "10 ms for 100,000") { _ in
        output.removeAll(keepingCapacity: true)
        TextExposition.encode(snapshot, into: &output)
    }
    let lines = output.split(separator: UInt8(ascii: "\n")).filter { $0.first != UInt8(ascii: "#") }.count
    tell("  lines, bytes", "\(lines), \(output.count)")
    tell("  a line", "\((text / Double(lines) * 10).rounded() / 10) ns", "100 ns")
    measure("OpenMetrics", count: 20) { _ in
        output.removeAll(keepingCapacity: true)
        TextExposition.encode(snapshot, as: Exposition(.openMetrics), created: second, into: &output)
    }
    measure("Protocol Buffers, with native histograms", count: 5) { _ in
        output.removeAll(keepingCapacity: true)
        ProtobufExposition.encode(snapshot, into: &output)
    }
    tell("  bytes", "\(output.count)")
}

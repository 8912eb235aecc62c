import Handshakes
import Histogram

private let wanted = [0.5, 0.9, 0.99, 0.999]

/// What a finished handshake costs the windows.
@MainActor func measureWindows() {
    print("\nOne window")
    var now: UInt64 = 100 * second
    var scratch: [UInt64] = []
    var window = SlidingWindow()
    measure("insert, 10,000 a second, 60 s", count: 1_000_000, goal: "25 ns") { index in
        now += 100_000
        window.insert(durations[index & 4_095], at: now, now: now)
    }
    tell("  it then holds \(window.count(now: now)) values in", megabytes(window.storageBytes))
    measure("four quantiles of those", count: 10_000) { _ in
        sink &+= window.quantiles(wanted, now: now, scratch: &scratch).first ?? 0
    }
    var small = SlidingWindow()
    measure("insert, 3 a second: exact", count: 100_000, goal: "25 ns") { index in
        now += second / 3
        small.insert(durations[index & 4_095], at: now, now: now)
    }
    measure("four quantiles of 180 values, exact", count: 10_000) { _ in
        sink &+= small.quantiles(wanted, now: now, scratch: &scratch).first ?? 0
    }
    var ratio = RatioWindow()
    measure("RatioWindow.add", count: 1_000_000) { index in
        now += 100_000
        ratio.add(numerator: 1, denominator: 10, at: now, now: now)
    }
}

/// The same stream through what others use. None of them slides: the figures are without a window.
@MainActor func measureComparison() {
    print("\nThe same million durations, without a window")
    let stream = durations
    let sorted = stream.sorted()
    func error(_ answer: UInt64, _ quantile: Double) -> String {
        let truth = Double(sorted[max(0, Int((quantile * Double(sorted.count)).rounded(.up)) - 1)])
        return "\((abs(Double(answer) - truth) / truth * 10_000).rounded() / 100) %"
    }

    var ours = LogHistogram()
    measure("ours, cells of 0.54 %: insert", count: 1_000_000) { ours.insert(stream[$0 & 4_095]) }
    measure("ours: P99", count: 10_000) { _ in sink &+= ours.quantile(0.99) ?? 0 }
    tell("ours: memory, error of P50 and P99", "\(ours.storageBytes) B", "")
    tell("", error(ours.quantile(0.5) ?? 0, 0.5) + ", " + error(ours.quantile(0.99) ?? 0, 0.99))

    var high = Histogram<UInt64>(highestTrackableValue: 65_536_000_000_000, numberOfSignificantValueDigits: .two)
    measure("HdrHistogram, two digits: insert", count: 1_000_000) { sink &+= high.record(stream[$0 & 4_095]) ? 1 : 0 }
    measure("HdrHistogram: P99", count: 10_000) { _ in sink &+= high.valueAtPercentile(99) }
    tell("HdrHistogram: memory, error of P50 and P99", "\(high.estimatedFootprintInBytes) B")
    tell("", error(high.valueAtPercentile(50), 0.5) + ", " + error(high.valueAtPercentile(99), 0.99))

    var summary = CKMS([(0.5, 0.005), (0.9, 0.001), (0.99, 0.0005), (0.999, 0.0001)])
    measure("CKMS summary: insert", count: 1_000_000) { summary.insert(Double(stream[$0 & 4_095])) }
    measure("CKMS summary: P99", count: 10_000) { _ in sink &+= UInt64(summary.quantile(0.99)) }
    tell("CKMS summary: memory, error of P50 and P99", "\(summary.storageBytes) B")
    tell("", error(UInt64(summary.quantile(0.5)), 0.5) + ", " + error(UInt64(summary.quantile(0.99)), 0.99))
}

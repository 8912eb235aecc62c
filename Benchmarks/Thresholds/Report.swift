import CAllocations

/// Figures with a limit each; what is past its limit fails the run.
struct Report {
    private(set) var failures = 0
    /// Keeps results alive.
    private(set) var sink: UInt64 = 0

    /// Prints a figure beside its limit.
    mutating func expect(_ name: String, _ value: Double, atMost limit: Double) {
        let isFine = value <= limit
        if !isFine { failures += 1 }
        print(
            "\(padded(name, 62)) \(padded(rounded(value), 12)) at most \(rounded(limit))\(isFine ? "" : "  EXCEEDED")")
    }

    /// How many times longer `work` takes than `baseline`: the best round of each, taken in turn, so that what disturbs one
    /// disturbs the other. What they return is used, so that it has to be worked out.
    mutating func ratio(of work: () -> UInt64, to baseline: () -> UInt64) -> Double {
        let clock = ContinuousClock()
        var best = (work: Duration.seconds(3_600), baseline: Duration.seconds(3_600))
        for _ in 0..<40 {
            best.baseline = min(best.baseline, clock.measure { sink &+= baseline() })
            best.work = min(best.work, clock.measure { sink &+= work() })
        }
        return best.work / best.baseline
    }

    /// Keeps a result alive.
    mutating func use(_ value: UInt64) { sink &+= value }

    private func padded(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.unicodeScalars.count))
    }

    private func rounded(_ value: Double) -> String { "\((value * 1_000).rounded() / 1_000)" }
}

/// How often `body` asks for memory, on this thread: the same on every machine, however busy.
func allocations(_ body: () -> Void) -> Double {
    let before = tlswatch_allocations()
    body()
    return Double(tlswatch_allocations() - before)
}

/// A biased-quantile summary (Cormode, Korn, Muthukrishnan, Srivastava, "Effective Computation of Biased Quantiles over
/// Data Streams", 2005), with targeted quantiles and a buffer of 500, as Prometheus's client libraries have it: only to
/// be measured beside our windows.
struct CKMS {
    private struct Sample {
        var value: Double
        var width: Double
        var delta: Double
    }

    private static let bufferSize = 500

    private let targets: [(quantile: Double, error: Double)]
    private var samples: [Sample] = []
    private var buffer: [Double] = []
    private var count = 0.0

    init(_ targets: [(quantile: Double, error: Double)]) {
        self.targets = targets
        buffer.reserveCapacity(Self.bufferSize)
    }

    var storageBytes: Int { samples.capacity * MemoryLayout<Sample>.stride + buffer.capacity * 8 }

    mutating func insert(_ value: Double) {
        buffer.append(value)
        if buffer.count == Self.bufferSize { flush() }
    }

    mutating func quantile(_ quantile: Double) -> Double {
        flush()
        let wanted = (quantile * count).rounded(.up)
        let rank = wanted + (allowed(wanted) / 2).rounded(.up)
        guard var previous = samples.first else { return 0 }
        var reached = 0.0
        for sample in samples.dropFirst() {
            reached += previous.width
            if reached + sample.width + sample.delta > rank { return previous.value }
            previous = sample
        }
        return previous.value
    }

    private func allowed(_ rank: Double) -> Double {
        var least = Double.infinity
        for (quantile, error) in targets {
            let bound =
                quantile * count <= rank ? 2 * error * rank / quantile : 2 * error * (count - rank) / (1 - quantile)
            least = min(least, bound)
        }
        return least
    }

    private mutating func flush() {
        guard !buffer.isEmpty else { return }
        buffer.sort()
        var rank = 0.0
        var merged: [Sample] = []
        merged.reserveCapacity(samples.count + buffer.count)
        var old = samples[...]
        for value in buffer {
            while let next = old.first, next.value <= value {
                rank += next.width
                merged.append(next)
                old.removeFirst()
            }
            merged.append(Sample(value: value, width: 1, delta: max(0, allowed(rank).rounded(.down) - 1)))
            count += 1
            rank += 1
        }
        merged.append(contentsOf: old)
        buffer.removeAll(keepingCapacity: true)
        samples = merged
        compress()
    }

    private mutating func compress() {
        guard samples.count > 2, var next = samples.last else { return }
        var kept: [Sample] = []
        var rank = count - 1 - next.width
        for sample in samples.dropLast().reversed() {
            if sample.width + next.width + next.delta <= allowed(rank) {
                next.width += sample.width
            } else {
                kept.append(next)
                next = sample
            }
            rank -= sample.width
        }
        kept.append(next)
        samples = kept.reversed()
    }
}

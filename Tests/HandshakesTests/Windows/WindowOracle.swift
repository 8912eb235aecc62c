let wantedQuantiles = [0.5, 0.9, 0.99, 0.999]

/// Nearest rank in thousandths over a sorted copy, with no code in common with the product.
func oracleQuantile(_ values: [UInt64], _ quantile: Double) -> UInt64? {
    guard !values.isEmpty else { return nil }
    let thousandths = Int((quantile * 1_000).rounded())
    let rank = max(1, (values.count * thousandths + 999) / 1_000)
    return values.sorted()[rank - 1]
}

func isWithinHalfPercent(_ value: UInt64, of truth: UInt64) -> Bool {
    let difference = value > truth ? value - truth : truth - value
    return Double(difference) <= Double(truth) * 0.005
}

/// The window's definition, spelled out: a list, and a filter by slot number.
struct NaiveWindow {
    let seconds: UInt64
    var values: [(time: UInt64, value: UInt64)] = []
    var latest: UInt64 = 0

    init(seconds: UInt64) { self.seconds = seconds }

    mutating func insert(_ value: UInt64, at time: UInt64, now: UInt64) -> Bool {
        latest = max(latest, now)
        let second = min(time, latest) / 1_000_000_000
        guard latest / 1_000_000_000 - second < seconds else { return false }
        values.append((min(time, latest), value))
        return true
    }

    mutating func contents(now: UInt64) -> [UInt64] {
        latest = max(latest, now)
        let newest = latest / 1_000_000_000
        values.removeAll { newest - $0.time / 1_000_000_000 >= seconds }
        return values.map(\.value)
    }
}

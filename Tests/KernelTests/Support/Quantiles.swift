import Testing

/// Holds P50 and P99 of 2,000 durations against the program's own, within 1 % or 20 µs. The truth lies between what the program
/// stamps around its calls and what it stamps inside them.
func expectQuantiles(
    _ name: String, of durations: [Int], most: [Int], least: [Int], leastInTail: [Int]
) throws {
    let all = [durations, most, least, leastInTail].map { $0.sorted() }
    try #require(all.map(\.count) == Array(repeating: 2000, count: 4), "\(name): \(all.map(\.count))")
    for (quantile, index, lower) in [("P50", 999, all[2]), ("P99", 1979, all[3])] {
        let (ours, most, least) = (all[0][index], all[1][index], lower[index])
        print("\(name) \(quantile): program \(least) to \(most) ns, tlswatch \(ours) ns")
        let slack = max(20_000, most / 100)
        #expect(ours <= most + slack, "\(name) \(quantile)")
        #expect(ours >= least - slack, "\(name) \(quantile)")
    }
}

/// Two sets of groups by the same keys beside each other, the largest changes first.
///
/// A change counts as one if chance alone makes it once in 370 times (three standard deviations): of the share that failed by
/// the two samples' pooled share, of a quantile by how many sessions of the second set are above the first one's. Those come
/// first, by how much they changed; then groups that only one set has, the larger first; then what is within chance.
package struct GroupChanges: Sendable {
    package enum Kind: Int, Sendable, Comparable {
        case changed, appeared, disappeared, withinChance

        package static func < (left: Kind, right: Kind) -> Bool { left.rawValue < right.rawValue }
    }

    package struct Change: Sendable {
        package let values: [String?]
        package let isRest: Bool
        package let before: HandshakeGroups.Row?
        package let after: HandshakeGroups.Row?
        package let kind: Kind
        /// How much, as the logarithm of the factor: the largest of the share that failed, the P50 and the P99.
        package let size: Double
    }

    package let changes: [Change]

    /// Standard deviations.
    private static let certain = 3.0
    /// Less than this is no change of a share that failed: from none to one in a thousand is more than from 10 % to 11 %.
    private static let leastShare = 0.01
    /// Sessions without which less than ten are beyond a P99, and chance moves it more than the normal distribution says.
    private static let leastForP99: UInt64 = 1_000

    package init(before: HandshakeGroups, after: HandshakeGroups) {
        var later: [[String?]: HandshakeGroups.Row] = [:]
        var rest: HandshakeGroups.Row?
        for row in after.rows() {
            if row.isRest { rest = row } else { later[row.values] = row }
        }
        var changes: [Change] = []
        for row in before.rows() {
            let other: HandshakeGroups.Row?
            if row.isRest {
                other = rest
                rest = nil
            } else {
                other = later.removeValue(forKey: row.values)
            }
            changes.append(Self.change(row, other))
        }
        changes += (Array(later.values) + (rest.map { [$0] } ?? [])).map { Self.change(nil, $0) }
        self.changes = changes.sorted(by: Self.precedes)
    }

    private static func precedes(_ left: Change, _ right: Change) -> Bool {
        if left.kind != right.kind { return left.kind < right.kind }
        if left.size != right.size { return left.size > right.size }
        if left.isRest != right.isRest { return right.isRest }
        return HandshakeGroups.precedes(left.values, right.values)
    }

    private static func change(_ before: HandshakeGroups.Row?, _ after: HandshakeGroups.Row?) -> Change {
        let values = before?.values ?? after?.values ?? []
        let isRest = before?.isRest ?? after?.isRest ?? false
        func change(_ kind: Kind, _ size: Double) -> Change {
            Change(values: values, isRest: isRest, before: before, after: after, kind: kind, size: size)
        }
        guard var before else { return change(.appeared, Double(after?.sessions ?? 0)) }
        guard var after else { return change(.disappeared, Double(before.sessions)) }
        var (certain, possible) = (0.0, 0.0)
        for (size, deviations) in [
            failures(before, after), quantile(0.5, &before.durations, &after.durations, least: 1),
            quantile(0.99, &before.durations, &after.durations, least: leastForP99),
        ] {
            possible = max(possible, size)
            if deviations >= Self.certain { certain = max(certain, size) }
        }
        return certain > 0 ? change(.changed, certain) : change(.withinChance, possible)
    }

    /// How much the share that failed changed, and how many standard deviations that is.
    private static func failures(
        _ before: HandshakeGroups.Row, _ after: HandshakeGroups.Row
    ) -> (size: Double, deviations: Double) {
        let (first, second) = (Double(before.sessions), Double(after.sessions))
        let (shareBefore, shareAfter) = (Double(before.failed) / first, Double(after.failed) / second)
        let pooled = Double(before.failed + after.failed) / (first + second)
        let deviation = (pooled * (1 - pooled) * (1 / first + 1 / second)).squareRoot()
        let size = (log2((shareAfter + leastShare) / (shareBefore + leastShare))).magnitude
        return (size, deviation > 0 ? (shareAfter - shareBefore).magnitude / deviation : 0)
    }

    /// The same of a quantile: if nothing changed, as many of the second durations are above the first ones' quantile as of
    /// the first.
    private static func quantile(
        _ quantile: Double, _ before: inout DurationSample, _ after: inout DurationSample, least: UInt64
    ) -> (size: Double, deviations: Double) {
        guard before.count >= least, after.count >= least, let first = before.quantile(quantile),
            let second = after.quantile(quantile), first > 0, second > 0
        else { return (0, 0) }
        let size = log2(Double(second) / Double(first)).magnitude
        // Histograms keep no values, and have so many that chance is little.
        guard let above = before.count(above: first), let laterAbove = after.count(above: first) else {
            return (size, .infinity)
        }
        let (countBefore, countAfter) = (Double(before.count), Double(after.count))
        let (shareBefore, shareAfter) = (Double(above) / countBefore, Double(laterAbove) / countAfter)
        let deviation = (quantile * (1 - quantile) * (1 / countBefore + 1 / countAfter)).squareRoot()
        return (size, (shareAfter - shareBefore).magnitude / deviation)
    }

    /// Of a positive number, without a C library: Handshakes is pure. The exponent and a series of the rest.
    private static func log2(_ value: Double) -> Double {
        let ratio = (value.significand - 1) / (value.significand + 1)
        var (term, sum, divisor) = (ratio, 0.0, 1.0)
        while term.magnitude > 1e-17 {
            sum += term / divisor
            term *= ratio * ratio
            divisor += 2
        }
        return Double(value.exponent) + 2 * sum / 0.693_147_180_559_945_3
    }
}

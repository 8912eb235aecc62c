import Glibc

/// The cells into which durations are counted: one division of time behind the window's quantiles, the classic
/// histograms and the native ones, so that the three never disagree.
///
/// A power of two of a second is cut into 128 parts that each grow by 0.54 %: Prometheus's native histogram schema 7,
/// two of whose buckets make one of schema 6. On top of that the bounds of the classic histograms are cuts as well, and
/// below 1 µs each nanosecond has a cell. Every classic or native bucket is thus a whole number of cells. A cell holds
/// the durations above the bound of the one before it, up to its own bound. Immutable, for any thread.
final class DurationScale: Sendable {
    static let shared = DurationScale()

    /// Nanoseconds; what is longer (18.2 hours) counts as it.
    static let largestValue: UInt64 = 65_536_000_000_000
    /// The schema of which the cells are parts.
    static let schema = 7
    /// Nanoseconds: up to this, a duration is in a native histogram's zero bucket, 2^-23 s.
    static let zeroThreshold: UInt64 = 119

    private static let octaves = -23...16
    private static let parts = 128
    /// A power of two nanoseconds is looked up in so many parts, none of which has more than two bounds.
    private static let lookups = 256

    /// The upper bound of each cell, nanoseconds.
    let bounds: [UInt64]
    /// The bucket of schema 7 that each cell is a part of; those of the zero bucket have `Int16.min`.
    let nativeBuckets: [Int16]
    /// The classic bucket that each cell is a part of.
    let handshakeBuckets, phaseBuckets: [UInt8]
    /// The cell of the smallest duration of each of the `lookups` parts of a power of two nanoseconds.
    private let starts: [UInt16]

    private init() {
        var native: [(bucket: Int, bound: UInt64)] = []
        for bucket in Self.octaves.lowerBound * Self.parts...Self.octaves.upperBound * Self.parts {
            native.append((bucket, UInt64(exp2(Double(bucket) / Double(Self.parts)) * 1e9)))
        }
        var cuts = Set(native.map(\.bound)).union(0..<1_024)
        for bounds in [DurationBounds.handshake, .phase] {
            for index in bounds.nanoseconds.indices { cuts.insert(bounds.nanoseconds[index]) }
        }
        let bounds = cuts.sorted()
        self.bounds = bounds
        var next = native[...]
        nativeBuckets = bounds.map { bound in
            if bound <= Self.zeroThreshold { return .min }
            next = next.drop { $0.bound < bound }
            return Int16(next.first?.bucket ?? Self.octaves.upperBound * Self.parts)
        }
        handshakeBuckets = bounds.map { UInt8(DurationBounds.handshake.bucket(of: $0)) }
        phaseBuckets = bounds.map { UInt8(DurationBounds.phase.bucket(of: $0)) }
        var cell = 0
        starts = (0..<Self.start(of: Self.largestValue) + 1).map { part in
            let smallest =
                part < Self.lookups
                ? UInt64(part) : UInt64(Self.lookups + part % Self.lookups) << (part / Self.lookups - 1)
            while bounds[cell] < smallest { cell += 1 }
            return UInt16(cell)
        }
    }

    var count: Int { bounds.count }

    /// The cell of a duration in nanoseconds.
    func cell(of nanoseconds: UInt64) -> Int {
        let value = min(nanoseconds, Self.largestValue)
        var cell = Int(starts[Self.start(of: value)])
        // Without a branch, which no processor could predict.
        cell &+= bounds[cell] < value ? 1 : 0
        cell &+= bounds[cell] < value ? 1 : 0
        return cell
    }

    /// The middle of a cell, nanoseconds: within 0.32 % of every duration in it.
    func middle(of cell: Int) -> UInt64 {
        guard cell > 0 else { return 0 }
        return (bounds[cell - 1] + 1 + bounds[cell]) / 2
    }

    private static func start(of value: UInt64) -> Int {
        guard value >= UInt64(lookups) else { return Int(truncatingIfNeeded: value) }
        let shift = 55 - value.leadingZeroBitCount
        return shift &* lookups &+ Int(truncatingIfNeeded: value >> UInt64(truncatingIfNeeded: shift))
    }
}

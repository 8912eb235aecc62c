import ArgumentParser

/// A duration as people write it: `250ms`, `10s`, `5m`.
struct DurationArgument: ExpressibleByArgument, Equatable {
    /// Nanoseconds, above zero.
    var nanoseconds: UInt64
    private var text: String

    init?(argument: String) {
        let units: [(String, UInt64)] = [
            ("ms", 1_000_000), ("us", 1_000), ("s", 1_000_000_000), ("m", 60_000_000_000), ("h", 3_600_000_000_000),
        ]
        guard let (suffix, unit) = units.first(where: { argument.hasSuffix($0.0) }),
            let value = Double(argument.dropLast(suffix.count)), value > 0, value.isFinite,
            value * Double(unit) <= Double(UInt64.max / 4)
        else { return nil }
        nanoseconds = UInt64(value * Double(unit))
        guard nanoseconds > 0 else { return nil }
        text = argument
    }

    private init(nanoseconds: UInt64, text: String) {
        self.nanoseconds = nanoseconds
        self.text = text
    }

    static func seconds(_ count: UInt64) -> DurationArgument {
        DurationArgument(nanoseconds: count * 1_000_000_000, text: "\(count)s")
    }

    var defaultValueDescription: String { text }
}

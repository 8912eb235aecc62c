/// Durations as people read them: three significant digits, rounded half up, wherever they are printed.
enum DurationText {
    enum Unit {
        case nanoseconds, microseconds, milliseconds, seconds

        /// `µs`
        var symbol: String {
            switch self {
            case .nanoseconds: "ns"
            case .microseconds: "µs"
            case .milliseconds: "ms"
            case .seconds: "s"
            }
        }

        /// For terminals, whatever their locale: `us`.
        var plain: String { self == .microseconds ? "us" : symbol }
    }

    /// The number and its unit: 1834211 is `1.83` and milliseconds.
    static func parts(_ nanoseconds: UInt64) -> (number: String, unit: Unit) {
        // Half a step below the next unit it is written in that one: 999.6 µs is 1.00 ms.
        switch nanoseconds {
        case ..<1_000: ("\(nanoseconds)", .nanoseconds)
        case ..<999_500: (scaled(nanoseconds, by: 1_000), .microseconds)
        case ..<999_500_000: (scaled(nanoseconds, by: 1_000_000), .milliseconds)
        default: (scaled(nanoseconds, by: 1_000_000_000), .seconds)
        }
    }

    /// `1.83ms`, `912us`: for columns.
    static func compact(_ nanoseconds: UInt64) -> String {
        let (number, unit) = parts(nanoseconds)
        return number + unit.plain
    }

    private static func scaled(_ value: UInt64, by unit: UInt64) -> String {
        let hundredths = rounded(value, to: unit / 100)
        if hundredths < 1_000 { return "\(hundredths / 100).\(pad(Int(hundredths % 100), 2))" }
        let tenths = rounded(value, to: unit / 10)
        if tenths < 1_000 { return "\(tenths / 10).\(tenths % 10)" }
        return "\(rounded(value, to: unit))"
    }

    private static func rounded(_ value: UInt64, to step: UInt64) -> UInt64 {
        value / step + (value % step >= (step + 1) / 2 ? 1 : 0)
    }
}

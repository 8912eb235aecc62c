/// Numbers as the exposition formats write them.
enum DecimalText {
    private static let nanosecondsPerSecond: UInt64 = 1_000_000_000

    static func append(_ number: UInt64, to output: inout [UInt8]) {
        guard number >= 10 else {
            output.append(digit(number))
            return
        }
        var digits = InlineArray<20, UInt8>(repeating: 0)
        var first = digits.count
        var rest = number
        while rest > 0 {
            first -= 1
            digits[first] = digit(rest % 10)
            rest /= 10
        }
        for index in first..<digits.count { output.append(digits[index]) }
    }

    /// Nanoseconds as seconds, to the nanosecond: 1500000 is `0.0015`.
    static func append(seconds nanoseconds: UInt64, to output: inout [UInt8]) {
        append(nanoseconds / nanosecondsPerSecond, to: &output)
        var fraction = nanoseconds % nanosecondsPerSecond
        guard fraction > 0 else { return }
        output.append(UInt8(ascii: "."))
        var divisor = nanosecondsPerSecond / 10
        while fraction > 0 {
            output.append(digit(fraction / divisor))
            fraction %= divisor
            divisor /= 10
        }
    }

    /// The shortest text that reads back as the same number; `NaN`, `+Inf` and `-Inf` as Prometheus spells them.
    static func append(_ number: Double, to output: inout [UInt8]) {
        if number.isNaN {
            output.append(contentsOf: "NaN".utf8)
        } else if number.isInfinite {
            output.append(contentsOf: (number > 0 ? "+Inf" : "-Inf").utf8)
        } else if number >= 0, number < 0x1p53, number == Double(UInt64(number)) {
            append(UInt64(number), to: &output)
        } else {
            output.append(contentsOf: number.description.utf8)
        }
    }

    private static func digit(_ value: UInt64) -> UInt8 {
        UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value % 10)
    }
}

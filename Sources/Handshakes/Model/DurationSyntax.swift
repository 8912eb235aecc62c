/// Durations as people write them: `250ms`, `1.5s`, `1h30m`. Exact: no floating point takes part.
package enum DurationSyntax {
    /// The largest first. A part is of a smaller unit than the one before it.
    private static let units: [(name: String, nanoseconds: UInt64)] = [
        ("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000),
        ("µs", 1_000), ("μs", 1_000), ("ns", 1),
    ]
    /// Longer than any host is up, and far from where sums overflow.
    private static let longest = UInt64.max / 4

    /// Nanoseconds; `nil` for what is no duration, is longer than a century, or is finer than a nanosecond. Zero needs a
    /// unit like all others.
    package static func nanoseconds(_ text: some StringProtocol) -> UInt64? {
        var rest = Substring(text)
        guard !rest.isEmpty else { return nil }
        var total: UInt64 = 0
        var smallest = UInt64.max
        while !rest.isEmpty {
            let whole = takeDigits(&rest)
            var fraction: Substring = ""
            if rest.utf8.first == UInt8(ascii: ".") {
                rest = rest.dropFirst()
                fraction = takeDigits(&rest)
                guard !fraction.isEmpty else { return nil }
            }
            guard !whole.isEmpty || !fraction.isEmpty else { return nil }
            let name = rest.prefix { !("0"..."9").contains($0) && $0 != "." }
            rest = rest[name.endIndex...]
            guard let unit = units.first(where: { $0.name == name })?.nanoseconds, unit < smallest,
                let part = scaled(whole, fraction, by: unit)
            else { return nil }
            smallest = unit
            let (sum, overflow) = total.addingReportingOverflow(part)
            guard !overflow, sum <= longest else { return nil }
            total = sum
        }
        return total
    }

    private static func takeDigits(_ rest: inout Substring) -> Substring {
        let digits = rest.prefix { ("0"..."9").contains($0) }
        rest = rest[digits.endIndex...]
        return digits
    }

    private static func scaled(_ whole: Substring, _ fraction: Substring, by unit: UInt64) -> UInt64? {
        guard let count = whole.isEmpty ? 0 : UInt64(whole) else { return nil }
        let (product, overflow) = count.multipliedReportingOverflow(by: unit)
        guard !overflow else { return nil }
        var value: UInt64 = product
        var step = unit
        for digit in fraction.utf8 {
            let digit = UInt64(digit - UInt8(ascii: "0"))
            guard digit == 0 || (step > 0 && step % 10 == 0) else { return nil }
            step /= 10
            let (sum, overflow) = value.addingReportingOverflow(digit &* step)
            guard !overflow else { return nil }
            value = sum
        }
        return value
    }
}

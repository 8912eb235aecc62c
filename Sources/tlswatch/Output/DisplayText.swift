import HandshakeProbe
import Handshakes

/// Figures as people read them.
enum DisplayText {
    /// Three significant digits: `1.83 ms`, `912 µs`, `61.2 s`.
    static func duration(_ nanoseconds: UInt64) -> String {
        let (number, unit) = durationParts(nanoseconds)
        return "\(number)\u{a0}\(unit)"
    }

    /// The number and its unit, for those who set them apart.
    static func durationParts(_ nanoseconds: UInt64) -> (number: String, unit: String) {
        let (number, unit) = DurationText.parts(nanoseconds)
        // A number of four digits and more has no fraction.
        return (UInt64(number).map { count($0) } ?? number, unit.symbol)
    }

    /// A tick's value, which has one digit before its zeros: `200 µs`.
    static func roundDuration(_ nanoseconds: UInt64) -> String {
        let (unit, name): (UInt64, String) =
            switch nanoseconds {
            case ..<1_000: (1, "ns")
            case ..<1_000_000: (1_000, "µs")
            case ..<1_000_000_000: (1_000_000, "ms")
            default: (1_000_000_000, "s")
            }
        let tenths = nanoseconds / (unit / 10 > 0 ? unit / 10 : 1) % 10
        let whole = count(nanoseconds / unit)
        return unit > 1 && tenths > 0 ? "\(whole).\(tenths)\u{a0}\(name)" : "\(whole)\u{a0}\(name)"
    }

    /// `12,345`
    static func count(_ value: UInt64) -> String {
        let digits = Array(String(value).utf8)
        var result: [UInt8] = []
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index) % 3 == 0 { result.append(UInt8(ascii: ",")) }
            result.append(digit)
        }
        return String(decoding: result, as: UTF8.self)
    }

    /// `1 session`, `12 sessions`
    static func count(_ value: UInt64, _ one: String, _ many: String) -> String {
        "\(count(value)) \(value == 1 ? one : many)"
    }

    /// Three significant digits of events in so many seconds: `24.7`.
    static func rate(_ events: UInt64, seconds: UInt64) -> String {
        guard seconds > 0 else { return "–" }
        let (whole, rest) = events.quotientAndRemainder(dividingBy: seconds)
        if whole >= 100 || rest == 0 { return count(rest > seconds / 2 ? whole + 1 : whole) }
        let rate = Double(events) / Double(seconds)
        let step = rate >= 10 ? 10.0 : 100.0
        return "\((rate * step).rounded() / step)"
    }

    /// A share of a whole in percent: `12.3 %`, `100 %`.
    static func share(_ part: UInt64, of whole: UInt64) -> String {
        guard whole > 0 else { return "–" }
        if part == 0 || part >= whole { return part == 0 ? "0\u{a0}%" : "100\u{a0}%" }
        let percent = (Double(part) / Double(whole) * 1_000).rounded() / 10
        // Nothing and all are claims; nearly nothing and nearly all are not.
        if percent < 0.1 { return "<0.1\u{a0}%" }
        return "\(min(percent, 99.9))\u{a0}%"
    }

    /// Seconds in the two largest units: `3 d 4 h`, `12 min 5 s`.
    static func span(_ seconds: UInt64) -> String {
        let units: [(UInt64, String)] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")]
        // A window of 60 s is called so wherever its metrics are.
        if seconds < 120 { return "\(seconds)\u{a0}s" }
        guard let first = units.firstIndex(where: { seconds >= $0.0 }) else { return "0\u{a0}s" }
        var text = "\(seconds / units[first].0)\u{a0}\(units[first].1)"
        if first + 1 < units.count {
            let rest = seconds % units[first].0 / units[first + 1].0
            if rest > 0 { text += "\u{a0}\(rest)\u{a0}\(units[first + 1].1)" }
        }
        return text
    }

    /// `2026-01-02 03:04:05`, in UTC.
    static func time(_ nanoseconds: Int64) -> (date: String, clock: String) {
        let second = nanoseconds.quotientAndRemainder(dividingBy: 1_000_000_000).quotient
        let time = CalendarTime(Int(second), utc: true)
        return (time.date, time.clock)
    }

    /// A field's value.
    static func value(_ value: FieldValue) -> String {
        switch value {
        case .text(let text): return text
        case .count(let number): return count(number)
        case .nanoseconds(let nanoseconds): return duration(nanoseconds)
        case .flag(let flag): return flag ? "yes" : "no"
        case .ratio(let ratio): return share(UInt64(max(0, ratio) * 1_000_000), of: 1_000_000)
        case .time(let nanoseconds):
            let time = time(nanoseconds)
            return "\(time.date) \(time.clock) UTC"
        }
    }
}

/// One fact of one session, as the table of fields reads it. A fact that was not observed is no value: `nil`, never zero.
package enum FieldValue: Sendable, Hashable {
    /// A text, an address or one of an enumeration's words.
    case text(String)
    case count(UInt64)
    case nanoseconds(UInt64)
    case flag(Bool)
    case ratio(Double)
    /// Wall-clock nanoseconds since 1970.
    case time(Int64)

    /// As JSON has it, without quotes and escapes: `nginx`, `1834211`, `true`, `0.111`, `2026-01-02T03:04:05.678901234Z`.
    package var text: String {
        if case .text(let text) = self { return text }
        var bytes: [UInt8] = []
        append(to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Appends `text`.
    package func append(to output: inout [UInt8]) {
        switch self {
        case .text(let text): output.append(contentsOf: text.utf8)
        case .count(let number), .nanoseconds(let number): DecimalText.append(number, to: &output)
        case .flag(let flag): output.append(contentsOf: (flag ? "true" : "false").utf8)
        case .ratio(let ratio): output.append(contentsOf: Self.rounded(ratio).description.utf8)
        case .time(let time): UTCTime(time).append(to: &output)
        }
    }

    /// A ratio as it is printed; `nil` for what is none.
    var roundedRatio: Double? {
        guard case .ratio(let ratio) = self else { return nil }
        return Self.rounded(ratio)
    }

    /// A ratio to six digits.
    private static func rounded(_ ratio: Double) -> Double { (ratio * 1_000_000).rounded() / 1_000_000 }
}

extension FieldValue: Comparable {
    /// Numbers by size, texts by their bytes, false before true. All values of one field are of one case; the order of the
    /// cases among each other only makes the order total.
    package static func < (left: FieldValue, right: FieldValue) -> Bool {
        switch (left, right) {
        case (.text(let left), .text(let right)): left.utf8.lexicographicallyPrecedes(right.utf8)
        case (.count(let left), .count(let right)): left < right
        case (.nanoseconds(let left), .nanoseconds(let right)): left < right
        case (.flag(let left), .flag(let right)): !left && right
        case (.ratio(let left), .ratio(let right)): left < right
        case (.time(let left), .time(let right)): left < right
        default: left.rank < right.rank
        }
    }

    private var rank: Int {
        switch self {
        case .text: 0
        case .count: 1
        case .nanoseconds: 2
        case .flag: 3
        case .ratio: 4
        case .time: 5
        }
    }
}

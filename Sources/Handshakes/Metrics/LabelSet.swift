/// A series' label values, in the order of its family's labels: what a table of series is keyed by.
///
/// Up to six, the most that a family has; those past the family's own count are empty.
package struct LabelValues: Hashable, Sendable {
    package static let limit = 6

    private var first, second, third, fourth, fifth, sixth: String
    /// The combination of extra labels behind them, by its number; 0 for none.
    var extra: Int32 = 0

    package init(
        _ first: String = "", _ second: String = "", _ third: String = "", _ fourth: String = "",
        _ fifth: String = "", _ sixth: String = ""
    ) {
        self.first = first
        self.second = second
        self.third = third
        self.fourth = fourth
        self.fifth = fifth
        self.sixth = sixth
    }

    package init(_ values: [String]) {
        func value(_ index: Int) -> String { index < values.count ? values[index] : "" }
        self.init(value(0), value(1), value(2), value(3), value(4), value(5))
    }

    /// The same with a combination of extra labels.
    func with(_ extra: ExtraValues) -> LabelValues {
        var values = self
        values.extra = extra.number
        return values
    }

    /// The first `count` values.
    package func prefix(_ count: Int) -> [String] {
        Array([first, second, third, fourth, fifth, sixth].prefix(count))
    }
}

/// A series' labels, rendered once for every scrape to come.
package struct LabelSet: Sendable {
    package let names: [String]
    package let values: [String]
    /// `role="client",stack="openssl"`: escaped, without braces; the same in text and OpenMetrics.
    package let text: [UInt8]

    /// `names` and `values` of equal count; the values go through `Label.safe`.
    package init(names: [String], values: [String]) {
        self.names = names
        self.values = values.map(Label.safe)
        text = Self.text(names: names, values: self.values)
    }

    /// `values` are safe already.
    package static func text(names: [String], values: [String]) -> [UInt8] {
        var text: [UInt8] = []
        text.reserveCapacity(zip(names, values).reduce(0) { $0 + $1.0.utf8.count + $1.1.utf8.count + 4 })
        for (name, value) in zip(names, values) {
            if !text.isEmpty { text.append(UInt8(ascii: ",")) }
            text.append(contentsOf: name.utf8)
            text.append(contentsOf: "=\"".utf8)
            Label.appendEscaped(value, to: &text)
            text.append(UInt8(ascii: "\""))
        }
        return text
    }
}

/// The rules for label values.
package enum Label {
    /// The fact could not be observed.
    package static let unknown = "unknown"
    /// There was nothing to name, which is a fact.
    package static let none = "none"
    /// A cap was reached.
    package static let other = "other"

    /// A path is at most 4,095 bytes; nothing else comes near.
    static let byteLimit = 4_096

    /// Never empty, of bounded length, and without control characters other than newline, which some parsers choke on.
    package static func safe(_ value: String) -> String {
        guard !value.isEmpty else { return unknown }
        guard value.utf8.count > byteLimit || value.utf8.contains(where: isControl) else { return value }
        var result = ""
        var length = 0
        for scalar in value.unicodeScalars {
            let control = scalar.value < 0x80 && isControl(UInt8(truncatingIfNeeded: scalar.value))
            let kept: Unicode.Scalar = control ? "\u{FFFD}" : scalar
            length += UTF8.width(kept)
            if length > byteLimit { break }
            result.unicodeScalars.append(kept)
        }
        return result
    }

    /// Escapes what ends or breaks a quoted value: backslash, quote and newline.
    package static func appendEscaped(_ value: String, to output: inout [UInt8]) {
        for byte in value.utf8 {
            switch byte {
            case UInt8(ascii: "\\"): output.append(contentsOf: #"\\"#.utf8)
            case UInt8(ascii: "\""): output.append(contentsOf: #"\""#.utf8)
            case UInt8(ascii: "\n"): output.append(contentsOf: #"\n"#.utf8)
            default: output.append(byte)
            }
        }
    }

    private static func isControl(_ byte: UInt8) -> Bool {
        (byte < 0x20 && byte != UInt8(ascii: "\n")) || byte == 0x7F
    }
}

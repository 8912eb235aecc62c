/// What a comparison asks of a field's value. Made once, of the expression's text; asked of each session.
struct FieldTest: Sendable {
    enum Relation: String, Sendable {
        case equal = "="
        case notEqual = "!="
        case less = "<"
        case greater = ">"
        case atMost = "<="
        case atLeast = ">="
        case matches = "~"
        case matchesNot = "!~"

        /// Each is the opposite of another one: an absent value, which is equal to nothing, is told apart once.
        var negated: Relation? {
            switch self {
            case .notEqual: .equal
            case .matchesNot: .matches
            default: nil
            }
        }

        var comparesSize: Bool {
            switch self {
            case .less, .greater, .atMost, .atLeast: true
            case .equal, .notEqual, .matches, .matchesNot: false
            }
        }
    }

    private enum Operand: Sendable {
        case text(String)
        /// An address without a port: whatever the port is.
        case host(String)
        case number(UInt64)
        case ratio(Double)
        case flag(Bool)
        /// Nanoseconds since 1970: from the first to the last that is so written.
        case time(ClosedRange<Int64>)
        case pattern(TextPattern)
    }

    private let relation: Relation
    private let operand: Operand

    /// Whether a value, which is there, passes.
    func passes(_ value: FieldValue) -> Bool {
        switch (value, operand) {
        case (.text(let text), .text(let wanted)): text == wanted
        case (.text(let text), .host(let wanted)): AddressText(text).map { $0.host == wanted } ?? false
        case (.text(let text), .pattern(let pattern)): pattern.matches(text)
        case (.flag(let flag), .flag(let wanted)): flag == wanted
        case (.count(let number), .number(let wanted)), (.nanoseconds(let number), .number(let wanted)):
            compare(number, wanted...wanted)
        case (.ratio, .ratio(let wanted)): compare(value.roundedRatio ?? 0, wanted...wanted)
        case (.time(let time), .time(let wanted)): compare(time, wanted)
        default: false
        }
    }

    private func compare<Number: Comparable>(_ number: Number, _ wanted: ClosedRange<Number>) -> Bool {
        switch relation {
        case .equal: wanted.contains(number)
        case .less: number < wanted.lowerBound
        case .greater: number > wanted.upperBound
        case .atMost: number <= wanted.upperBound
        case .atLeast: number >= wanted.lowerBound
        case .notEqual, .matches, .matchesNot: false
        }
    }
}

// MARK: reading the operand

/// Why a text is no operand of a field: the message, and where in the text that is, if only in a part of it.
struct OperandError: Error {
    var message: String
    /// Offsets of Unicode scalars.
    var place: Range<Int>?

    init(_ message: String, at place: Range<Int>? = nil) {
        self.message = message
        self.place = place
    }
}

extension FieldTest {
    /// - Parameter relation: one that is not negated.
    init(_ field: HandshakeField, _ relation: Relation, _ text: String) throws(OperandError) {
        self.relation = relation
        if relation == .matches {
            guard field.holdsText else {
                throw OperandError("'~' works on text only, and \(field.name) is not text")
            }
            do {
                operand = .pattern(try TextPattern(text))
            } catch {
                throw OperandError(error.message, at: error.place)
            }
            return
        }
        guard !relation.comparesSize || field.hasSize else {
            throw OperandError(
                "'\(relation.rawValue)' cannot be used with \(field.name), only '='\(field.holdsText ? " and '~'" : "")"
            )
        }
        operand = try Self.operand(field, text)
    }

    private static func operand(_ field: HandshakeField, _ text: String) throws(OperandError) -> Operand {
        switch field.kind {
        case .text: return .text(text)
        case .word(let words):
            guard words.contains(text) else {
                throw OperandError(
                    "\(field.name) is never '\(text)'" + nearest(text, words)
                        + ": it is \(words.dropLast().joined(separator: ", "))"
                        + (words.count > 1 ? " or " : "") + "\(words.last ?? "")")
            }
            return .text(text)
        case .address: return address(text)
        case .flag:
            guard let flag = ["true": true, "false": false][text] else {
                throw OperandError("\(field.name) is true or false, not '\(text)'")
            }
            return .flag(flag)
        case .count:
            guard let number = UInt64(text) else {
                throw OperandError("\(field.name) requires a whole number, such as 443, not '\(text)'")
            }
            return .number(number)
        case .nanoseconds:
            // A bare number is what JSON has.
            guard let number = UInt64(text) ?? DurationSyntax.nanoseconds(text) else {
                throw OperandError(
                    "\(field.name) requires a duration, such as 50ms or 1m30s, or a number of nanoseconds, not "
                        + "'\(text)'")
            }
            return .number(number)
        case .ratio:
            let percent = text.hasSuffix("%")
            // By its decimal exponent: to divide would round once more.
            guard let number = Double(percent ? String(text.dropLast()) + "e-2" : text), number.isFinite else {
                throw OperandError("\(field.name) requires a share, such as 0.25 or 25%, not '\(text)'")
            }
            return .ratio(number)
        case .time:
            guard let time = UTCTime.range(of: text) else {
                throw OperandError(
                    "\(field.name) requires a time in UTC, such as 2026-01-02T03:04:05Z, 2026-01-02T03:04Z or "
                        + "2026-01-02, not '\(text)'")
            }
            return .time(time)
        }
    }

    /// With a port where one is given: `127.0.0.1:443`, `[::1]:443`; else of any port: `127.0.0.1`, `::1`.
    private static func address(_ text: String) -> Operand {
        let colons = text.utf8.count { $0 == UInt8(ascii: ":") }
        let isBracketed = text.hasPrefix("[")
        if isBracketed, text.hasSuffix("]") { return .host(String(text.dropFirst().dropLast())) }
        if isBracketed || colons == 1 { return .text(text) }
        return .host(text)
    }

    private static func nearest(_ text: String, _ names: [String]) -> String {
        NearestName.of(text, among: names).map { " (did you mean '\($0)'?)" } ?? ""
    }
}

extension HandshakeField {
    var holdsText: Bool {
        switch kind {
        case .text, .word, .address: true
        case .time, .count, .flag, .nanoseconds, .ratio: false
        }
    }

    /// Whether one value is less than another one. Texts are not: as texts 3.0.9 comes behind 3.0.19.
    var hasSize: Bool {
        switch kind {
        case .time, .count, .nanoseconds, .ratio: true
        case .text, .word, .address, .flag: false
        }
    }
}

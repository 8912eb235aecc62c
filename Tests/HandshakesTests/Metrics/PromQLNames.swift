/// The names in a PromQL expression: what it asks for, and by which labels. Not a parser: the expression is known to
/// be well-formed (promtool has read it), and only selectors and label lists are looked at.
struct PromQLNames {
    struct Selector: Equatable {
        var name: String
        /// In matchers.
        var labels: [String]
    }

    /// `by (…)`, `on (…)` and their kin, with the selectors that the labels must belong to.
    struct Grouping: Equatable {
        var labels: [String]
        var over: [Selector]
    }

    private(set) var selectors: [Selector] = []
    private(set) var groupings: [Grouping] = []
    private let tokens: [Token]
    /// Where each selector stands in `tokens`.
    private var places: [Int] = []

    private enum Token: Equatable {
        case name(String)
        case mark(Character)
    }

    private static let words: Set<String> = ["and", "or", "unless", "bool", "offset", "inf", "nan"]
    private static let lists: Set<String> = ["by", "without", "on", "ignoring", "group_left", "group_right"]

    init(_ expression: String) {
        tokens = Self.tokens(expression)
        var index = 0
        var pending: [(labels: [String], range: Range<Int>)] = []
        while index < tokens.count {
            guard case .name(let name) = tokens[index] else {
                index += 1
                continue
            }
            let next = index + 1 < tokens.count ? tokens[index + 1] : nil
            if Self.lists.contains(name.lowercased()) {
                let (labels, end) = names(from: index + 1, until: ")")
                pending.append((labels, name == "by" || name == "without" ? argument(from: end) : 0..<tokens.count))
                index = end
            } else if next == .mark("(") || Self.words.contains(name.lowercased()) || isAggregation(next) {
                index += 1
            } else {
                places.append(index)
                guard next == .mark("{") else {
                    selectors.append(Selector(name: name, labels: []))
                    index += 1
                    continue
                }
                let (labels, end) = names(from: index + 1, until: "}")
                selectors.append(Selector(name: name, labels: labels))
                index = end
            }
        }
        groupings = pending.map { entry in
            Grouping(
                labels: entry.labels,
                over: zip(places, selectors).filter { entry.range.contains($0.0) }.map(\.1))
        }
    }

    private func isAggregation(_ next: Token?) -> Bool { next == .name("by") || next == .name("without") }

    /// The names between a bracket and its end, and the place behind it.
    private func names(from start: Int, until end: Character) -> ([String], Int) {
        var found: [String] = []
        var index = start
        while index < tokens.count, tokens[index] != .mark(end) {
            if case .name(let name) = tokens[index] { found.append(name) }
            index += 1
        }
        return (found, min(index + 1, tokens.count))
    }

    /// What stands in the brackets that open at `start`.
    private func argument(from start: Int) -> Range<Int> {
        var depth = 0
        for index in start..<tokens.count {
            if tokens[index] == .mark("(") { depth += 1 }
            if tokens[index] == .mark(")") { depth -= 1 }
            if depth == 0 { return start..<index }
        }
        return start..<tokens.count
    }

    /// Names, and the marks that matter; strings, numbers, durations and ranges are left out.
    private static func tokens(_ expression: String) -> [Token] {
        var tokens: [Token] = []
        var rest = Substring(expression)
        while let next = rest.first {
            switch next {
            case "\"", "'", "`":
                rest = rest.dropFirst()
                while let character = rest.popFirst(), character != next {
                    if character == "\\", next != "`" { rest = rest.dropFirst() }
                }
            case "[": rest = rest.drop { $0 != "]" }.dropFirst()
            case "0"..."9", ".": rest = rest.drop { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == ".") }
            case "(", ")", "{", "}":
                tokens.append(.mark(next))
                rest = rest.dropFirst()
            case _ where next == "_" || next == ":" || (next.isASCII && next.isLetter):
                let name = rest.prefix { $0 == "_" || $0 == ":" || ($0.isASCII && ($0.isLetter || $0.isNumber)) }
                tokens.append(.name(String(name)))
                rest = rest[name.endIndex...]
            default: rest = rest.dropFirst()
            }
        }
        return tokens
    }
}

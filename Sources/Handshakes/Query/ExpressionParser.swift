/// Reads an expression into a filter's tree:
///
/// ```
/// or      = and { "or" and }
/// and     = not { "and" not }
/// not     = "not" not | "(" or ")" | "has" FIELD | FIELD operator VALUE
/// ```
struct ExpressionParser {
    /// Bytes of an expression, at most; longer ones are nobody's question.
    static let lengthLimit = 4_096
    /// Parentheses and `not` within each other, at most: each is a call.
    private static let depthLimit = 100
    /// Not values, unless in quotes.
    private static let keywords: Set<String> = ["and", "or", "not", "has"]

    private let expression: String
    private var lexer: ExpressionLexer
    private var token: ExpressionToken
    private var depth = 0

    init(_ expression: String) throws(ExpressionError) {
        guard expression.utf8.count <= Self.lengthLimit else {
            throw ExpressionError(
                "the expression is longer than \(Self.lengthLimit) bytes", in: expression,
                at: Self.lengthLimit..<Self.lengthLimit + 1)
        }
        self.expression = expression
        lexer = ExpressionLexer(expression)
        token = try lexer.next()
    }

    mutating func whole() throws(ExpressionError) -> HandshakeFilter.Node {
        guard token.kind != .end else { throw error("the expression is empty; an example: \(Self.example)") }
        let node = try either()
        switch token.kind {
        case .end: return node
        case .close: throw error("unmatched ')'")
        default: throw error("expected 'and' or 'or' before \(quoted(token))")
        }
    }

    private static let example = "duration_ns > 50ms and sni ~ example"

    private mutating func either() throws(ExpressionError) -> HandshakeFilter.Node {
        var node = try both()
        while try takeWord("or") { node = .or(node, try both()) }
        return node
    }

    private mutating func both() throws(ExpressionError) -> HandshakeFilter.Node {
        var node = try condition()
        while try takeWord("and") { node = .and(node, try condition()) }
        return node
    }

    private mutating func condition() throws(ExpressionError) -> HandshakeFilter.Node {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.depthLimit else {
            throw error("parentheses and 'not' are nested more than \(Self.depthLimit) levels deep")
        }
        if try takeWord("not") { return .not(try condition()) }
        if token.kind == .open {
            let open = token.place
            try advance()
            let node = try either()
            guard token.kind == .close else {
                guard token.kind == .end else { throw error("expected 'and', 'or' or ')' before \(quoted(token))") }
                throw ExpressionError("the parenthesis is not closed", in: expression, at: open)
            }
            try advance()
            return node
        }
        if try takeWord("has") { return .has(try field()) }
        return try comparison()
    }

    private mutating func comparison() throws(ExpressionError) -> HandshakeFilter.Node {
        let name = token
        let field = try field()
        guard token.kind == .comparison, let relation = FieldTest.Relation(rawValue: token.text) else {
            throw ExpressionError(
                "expected an operator after \(field.name): =, !=, <, >, <=, >=, ~ or !~; 'has \(field.name)' asks whether it "
                    + "is there", in: expression, at: token.kind == .end ? name.place : token.place)
        }
        let sign = token
        try advance()
        let value = token
        switch value.kind {
        case .word where !Self.keywords.contains(value.text): break
        case .quoted: break
        case .end: throw error("expected a value after '\(sign.text)'")
        default: throw error("expected a value after '\(sign.text)'; put one that contains \(quoted(value)) in quotes")
        }
        try advance()
        do {
            let test = try FieldTest(field, relation.negated ?? relation, value.text)
            return relation.negated == nil ? .test(field, test) : .not(.test(field, test))
        } catch {
            throw ExpressionError(error.message, in: expression, at: place(of: error.place, in: value))
        }
    }

    private mutating func field() throws(ExpressionError) -> HandshakeField {
        let name = token
        switch name.kind {
        case .word: break
        case .end: throw error("expected a field")
        default: throw error("expected a field before \(quoted(name))")
        }
        guard let field = HandshakeField.named(name.text) else {
            throw error(Self.unknown(name.text))
        }
        try advance()
        return field
    }

    private static func unknown(_ name: String) -> String {
        guard HandshakeKey.named(name) != nil else { return HandshakeKey.unknown(name) }
        let address = name == HandshakeKey.localPort.name ? "local ~ \":443$\"" : "remote ~ \"^10[.]1[.]\""
        return "'\(name)' is for grouping; as a condition, write for example \(address)"
    }

    // MARK: tokens

    private mutating func advance() throws(ExpressionError) { token = try lexer.next() }

    private mutating func takeWord(_ word: String) throws(ExpressionError) -> Bool {
        guard token.kind == .word, token.text == word else { return false }
        try advance()
        return true
    }

    private func error(_ message: String) -> ExpressionError {
        ExpressionError(message, in: expression, at: token.place)
    }

    private func quoted(_ token: ExpressionToken) -> String {
        token.kind == .end ? "the end" : "'\(PeerText.clean(String(token.text.prefix(40))))'"
    }

    /// A part of a value's text, where it stands in the expression; the whole value if backslashes moved it.
    private func place(of part: Range<Int>?, in value: ExpressionToken) -> Range<Int> {
        let quotes = value.kind == .quoted ? 1 : 0
        guard let part, value.place.count == value.text.utf8.count + 2 * quotes else { return value.place }
        func offset(_ scalar: Int) -> Int {
            let start = value.place.lowerBound + quotes
            return start + String(String.UnicodeScalarView(value.text.unicodeScalars.prefix(scalar))).utf8.count
        }
        return offset(part.lowerBound)..<offset(part.upperBound)
    }
}

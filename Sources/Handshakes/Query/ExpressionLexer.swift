/// A word of an expression, and where it stands.
struct ExpressionToken: Equatable {
    enum Kind: Equatable {
        /// A name, a keyword or a bare value.
        case word
        /// In quotes; `text` is without them.
        case quoted
        /// `=`, `!=`, `<`, `>`, `<=`, `>=`, `~`, `!~`
        case comparison
        case open, close
        case end
    }

    let kind: Kind
    let text: String
    /// Offsets of UTF-8 bytes.
    let place: Range<Int>
}

/// Splits an expression into words. Any bytes may come in; they end as tokens or as an error.
struct ExpressionLexer {
    private let expression: String
    private let bytes: [UInt8]
    private var offset = 0

    init(_ expression: String) {
        self.expression = expression
        bytes = Array(expression.utf8)
    }

    mutating func next() throws(ExpressionError) -> ExpressionToken {
        while offset < bytes.count, Self.isSpace(bytes[offset]) { offset += 1 }
        guard offset < bytes.count else { return token(.end, offset..<offset) }
        let start = offset
        switch bytes[offset] {
        case UInt8(ascii: "("): return take(.open, 1)
        case UInt8(ascii: ")"): return take(.close, 1)
        case UInt8(ascii: "\""), UInt8(ascii: "'"): return try quoted()
        case UInt8(ascii: "="), UInt8(ascii: "~"): return try comparison(1)
        case UInt8(ascii: "!"):
            guard let second = byte(1), second == UInt8(ascii: "=") || second == UInt8(ascii: "~") else {
                throw error("'!' is not an operator by itself: write 'not', '!=' or '!~'", start..<start + 1)
            }
            return try comparison(2)
        case UInt8(ascii: "<"), UInt8(ascii: ">"): return try comparison(byte(1) == UInt8(ascii: "=") ? 2 : 1)
        case UInt8(ascii: "&"), UInt8(ascii: "|"):
            let word = bytes[offset] == UInt8(ascii: "&") ? "and" : "or"
            throw error(
                "write '\(word)', or put the value in quotes", start..<start + (byte(1) == bytes[offset] ? 2 : 1))
        default:
            while offset < bytes.count, !Self.endsWord(bytes[offset]) { offset += 1 }
            return token(.word, start..<offset)
        }
    }

    /// An operator that is not the beginning of another language's.
    private mutating func comparison(_ length: Int) throws(ExpressionError) -> ExpressionToken {
        let start = offset
        if let following = byte(length), following == UInt8(ascii: "=") || following == UInt8(ascii: "~") {
            let text = String(decoding: bytes[start...start + length], as: UTF8.self)
            let meant = ["==": "=", "=~": "~", "!==": "!="][text].map { ": write '\($0)'" } ?? ""
            throw error("'\(text)' is not an operator\(meant)", start..<start + length + 1)
        }
        return take(.comparison, length)
    }

    /// Within quotes a backslash stands before the quote or another backslash; before anything else it is itself, so that a
    /// regular expression is written once.
    private mutating func quoted() throws(ExpressionError) -> ExpressionToken {
        let start = offset
        let quote = bytes[offset]
        var text: [UInt8] = []
        offset += 1
        while offset < bytes.count {
            let byte = bytes[offset]
            if byte == quote {
                offset += 1
                return ExpressionToken(
                    kind: .quoted, text: String(decoding: text, as: UTF8.self), place: start..<offset)
            }
            if byte == UInt8(ascii: "\\"), let second = self.byte(1), second == quote || second == byte {
                text.append(second)
                offset += 2
            } else {
                text.append(byte)
                offset += 1
            }
        }
        throw error("the quote is not closed", start..<start + 1)
    }

    private func byte(_ distance: Int) -> UInt8? {
        offset + distance < bytes.count ? bytes[offset + distance] : nil
    }

    private mutating func take(_ kind: ExpressionToken.Kind, _ length: Int) -> ExpressionToken {
        defer { offset += length }
        return token(kind, offset..<offset + length)
    }

    private func token(_ kind: ExpressionToken.Kind, _ place: Range<Int>) -> ExpressionToken {
        ExpressionToken(kind: kind, text: String(decoding: bytes[place], as: UTF8.self), place: place)
    }

    private func error(_ message: String, _ place: Range<Int>) -> ExpressionError {
        ExpressionError(message, in: expression, at: place)
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0d).contains(byte) }

    private static func endsWord(_ byte: UInt8) -> Bool { isSpace(byte) || "()\"'=!<>~&|".utf8.contains(byte) }
}

/// What is wrong with an expression, and where.
package struct ExpressionError: Error, Sendable, Equatable, CustomStringConvertible {
    package let message: String
    /// The expression, and the part of it that is meant: offsets of UTF-8 bytes. Empty at the end of the text.
    package let expression: String
    package let place: Range<Int>

    init(_ message: String, in expression: String, at place: Range<Int>) {
        // It may say again what it was given.
        self.message = PeerText.clean(message)
        self.expression = expression
        self.place = place
    }

    /// The message, the expression and a line of carets below what is meant. An expression that would not fit a line is
    /// shown in part.
    package var description: String {
        let line = Array(PeerText.clean(expression).unicodeScalars)
        // Cleaning replaces scalars one for one: offsets in scalars stay.
        let start = scalars(before: place.lowerBound)
        let width = max(1, scalars(before: place.upperBound) - start)
        let shown = Self.shownScalars
        let first = line.count <= shown ? 0 : max(0, min(start - shown / 2, line.count - shown))
        let text = String(String.UnicodeScalarView(line.dropFirst(first).prefix(shown)))
        let marks = min(width, max(1, shown - (start - first)))
        return
            "\(message)\n  \(text)\n  \(String(repeating: " ", count: start - first))\(String(repeating: "^", count: marks))"
    }

    private static let shownScalars = 76

    private func scalars(before offset: Int) -> Int {
        String(decoding: expression.utf8.prefix(offset), as: UTF8.self).unicodeScalars.count
    }
}

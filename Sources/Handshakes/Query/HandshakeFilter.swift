/// A condition on the fields of a session: what `--where` takes.
///
/// Immutable, for any thread. Asking it allocates nothing beyond what reading a field does.
package struct HandshakeFilter: Sendable, CustomStringConvertible {
    indirect enum Node: Sendable {
        case test(HandshakeField, FieldTest)
        case has(HandshakeField)
        case not(Node)
        case and(Node, Node)
        case or(Node, Node)

        func passes(_ handshake: Handshake) -> Bool {
            switch self {
            case .test(let field, let test):
                guard let value = field.value(handshake) else { return false }
                return test.passes(value)
            case .has(let field): return field.value(handshake) != nil
            case .not(let node): return !node.passes(handshake)
            case .and(let left, let right): return left.passes(handshake) && right.passes(handshake)
            case .or(let left, let right): return left.passes(handshake) || right.passes(handshake)
            }
        }
    }

    /// As it was written.
    package let description: String
    private let node: Node

    /// Reads an expression: `sni ~ "\.example$" and (duration_ns > 50ms or outcome != completed)`.
    ///
    /// - Throws: `ExpressionError`, with the place.
    package init(_ expression: String) throws(ExpressionError) {
        description = expression
        var parser = try ExpressionParser(expression)
        node = try parser.whole()
    }

    /// Whether the session meets the condition. A comparison with an absent field is not met; `!=` and `!~`, which are the
    /// opposites of `=` and `~`, are.
    package func passes(_ handshake: Handshake) -> Bool { node.passes(handshake) }
}

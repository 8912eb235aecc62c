import Handshakes

/// Shares of a whole beside each other, in the cells of a terminal.
enum StackedBar {
    /// Nothing where the whole is nothing.
    static func text(_ shares: [(mark: String, size: UInt64)], cells: Int) -> String {
        let whole = shares.reduce(0) { $0 + Double($1.size) }
        guard whole > 0 else { return "" }
        var text = ""
        var sum = 0.0
        var drawn = 0
        for share in shares {
            sum += Double(share.size)
            let end = Int((sum / whole * Double(cells)).rounded())
            text += String(repeating: share.mark, count: max(0, end - drawn))
            drawn = max(drawn, end)
        }
        return text
    }
}

extension HandshakePart {
    /// As it is drawn in a terminal, from what keeps a processor busy to what waits.
    var mark: String {
        switch self {
        case .cpu: "█"
        case .runqueue: "▓"
        case .unread: "▒"
        case .peer: "░"
        }
    }
}

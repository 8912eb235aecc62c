import HandshakeProbe
import Handshakes

/// The table that a person reads: 100 columns at most, failures standing out.
struct TableFormat {
    /// Escape sequences for a terminal.
    var colour: Bool

    private static let widths = [10, 14, 6, 7, 8, 12, 6, 6, 23]

    func header() -> String {
        row(["TIME", "PROCESS", "ROLE", "VERSION", "ALPN", "SNI", "TOTAL", "BUSY", "OUTCOME"])
    }

    func line(_ handshake: Handshake) -> String {
        let (second, fraction) = handshake.wallTime.quotientAndRemainder(dividingBy: 1_000_000_000)
        let time = CalendarTime(Int(second), utc: false).clock + "." + String(fraction / 100_000_000)
        let outcome = [handshake.outcome.rawValue, handshake.reason].compactMap { $0 }.joined(separator: " ")
        let text = row([
            time, "\(handshake.comm)/\(handshake.pid)", handshake.role.rawValue, handshake.tlsVersion ?? "-",
            handshake.alpn ?? "-", handshake.sni ?? "-", DurationText.compact(handshake.duration),
            DurationText.compact(handshake.busy),
            handshake.outcome == .completed ? "completed" : outcome,
        ])
        guard colour else { return text }
        switch handshake.outcome {
        case .completed: return text
        case .failed: return "\u{1b}[31m\(text)\u{1b}[0m"
        case .abandoned, .timeout: return "\u{1b}[33m\(text)\u{1b}[0m"
        }
    }

    /// Cells padded to their columns; what is too long is cut with an ellipsis, so that columns stand.
    private func row(_ cells: [String]) -> String {
        var line = ""
        for (cell, width) in zip(cells, Self.widths) {
            if cell.count > width {
                line += cell.prefix(width - 1) + "… "
            } else {
                line += cell + String(repeating: " ", count: width - cell.count + 1)
            }
        }
        // Without the padding of the last column: nothing but text to the right.
        return String(line.reversed().drop { $0 == " " }.reversed())
    }
}

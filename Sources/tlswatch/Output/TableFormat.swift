import HandshakeProbe
import Handshakes

/// The table that a person reads: 100 columns at most, failures standing out.
struct TableFormat {
    /// Escape sequences for a terminal.
    var colour: Bool

    private struct Column: Sendable {
        var head: String
        var width: Int
        var cell: @Sendable (Handshake) -> String

        init(_ head: String, _ width: Int, cell: @escaping @Sendable (Handshake) -> String) {
            self.head = head
            self.width = width
            self.cell = cell
        }

        /// A field of the table of fields.
        init(_ head: String, _ width: Int, field name: String) {
            let field = HandshakeField.named(name)
            self.init(head, width) { field?.value($0)?.cell ?? "-" }
        }
    }

    private static let columns = [
        Column("TIME", 10) { handshake in
            let (second, fraction) = handshake.wallTime.quotientAndRemainder(dividingBy: 1_000_000_000)
            return CalendarTime(Int(second), utc: false).clock + "." + String(fraction / 100_000_000)
        },
        Column("PROCESS", 12) { "\($0.comm)/\($0.pid)" },
        Column("ROLE", 6, field: "role"),
        Column("VERSION", 7, field: "tls_version"),
        Column("ALPN", 8, field: "alpn"),
        Column("SNI", 12, field: "sni"),
        Column("TOTAL", 6, field: "duration_ns"),
        Column("MAINLY", 12) { mainly($0.parts, of: $0.duration) },
        Column("OUTCOME", 19) { handshake in
            guard handshake.outcome != .completed, let reason = handshake.reason else {
                return handshake.outcome.rawValue
            }
            return "\(handshake.outcome.rawValue) \(reason)"
        },
    ]

    /// The largest part of the time and its share, rounded down: `peer 93%`. Where nobody knows whose the wait was, it is one.
    private static func mainly(_ parts: HandshakeParts, of duration: UInt64) -> String {
        let largest: (name: String, duration: UInt64)?
        if let part = parts.largest {
            largest = (part.part.rawValue, part.duration)
        } else if let cpu = parts.cpu, let runqueue = parts.runqueue, let wait = parts.wait {
            largest = [("cpu", cpu), ("runqueue", runqueue), ("wait", wait)].max { $0.1 < $1.1 }
        } else {
            largest = nil
        }
        guard let largest, duration > 0 else { return "-" }
        return "\(largest.name) \(Int(Double(largest.duration) / Double(duration) * 100))%"
    }

    func header() -> String { row { $0.head } }

    func line(_ handshake: Handshake) -> String {
        let text = row { $0.cell(handshake) }
        guard colour else { return text }
        switch handshake.outcome {
        case .completed: return text
        case .failed: return "\u{1b}[31m\(text)\u{1b}[0m"
        case .abandoned, .timeout: return "\u{1b}[33m\(text)\u{1b}[0m"
        }
    }

    /// Cells padded to their columns; what is too long is cut with an ellipsis, so that columns stand.
    private func row(_ text: (Column) -> String) -> String {
        var line = ""
        for column in Self.columns {
            let cell = text(column)
            if cell.count > column.width {
                line += cell.prefix(column.width - 1) + "… "
            } else {
                line += cell + String(repeating: " ", count: column.width - cell.count + 1)
            }
        }
        // Without the padding of the last column: nothing but text to the right.
        return String(line.reversed().drop { $0 == " " }.reversed())
    }
}

extension FieldValue {
    /// In a column: durations with three significant digits.
    var cell: String {
        if case .nanoseconds(let duration) = self { return DurationText.compact(duration) }
        return text
    }
}

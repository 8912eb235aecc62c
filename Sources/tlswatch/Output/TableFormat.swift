import HandshakeProbe
import Handshakes

/// The table that a person reads: 100 columns at most, failures standing out.
struct TableFormat {
    /// Escape sequences for a terminal.
    var colour: Bool

    private struct Column: Sendable {
        let head: String
        let width: Int
        let cell: @Sendable (Handshake) -> String

        init(_ head: String, _ width: Int, cell: @escaping @Sendable (Handshake) -> String) {
            self.head = head
            self.width = width
            self.cell = cell
        }

        /// Fields of the table of fields: what a session lacks is left out, and a column without any is a dash.
        init(_ head: String, _ width: Int, _ names: String..., separator: String = " ") {
            let fields = names.map { name in
                guard let field = HandshakeField.named(name) else { preconditionFailure("no field is called \(name)") }
                return field
            }
            self.init(head, width) { handshake in
                let cells = fields.compactMap { $0.value(handshake)?.cell }
                return cells.isEmpty ? "-" : cells.joined(separator: separator)
            }
        }
    }

    private static let columns = [
        Column("TIME", 10, "time"),
        Column("PROCESS", 12, "comm", "pid", separator: "/"),
        Column("ROLE", 6, "role"),
        Column("VERSION", 7, "tls_version"),
        Column("ALPN", 8, "alpn"),
        Column("SNI", 12, "sni"),
        Column("TOTAL", 6, "duration_ns"),
        Column("MAINLY", 12) { mainly($0.parts, of: $0.duration) },
        Column("OUTCOME", 19, "outcome", "reason"),
    ]

    /// The largest part of the time and its share, rounded down: `peer 93%`. Where nobody knows whose the wait was, it is one.
    private static func mainly(_ parts: HandshakeParts, of duration: UInt64) -> String {
        let largest: (name: String, duration: UInt64)?
        if let part = parts.largest {
            largest = (part.part.rawValue, part.duration)
        } else if parts.cpu == nil, let busy = parts.busy, let wait = parts.wait {
            largest = busy >= wait ? ("busy", busy) : ("wait", wait)
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
    /// In a column: durations with three significant digits, times of day here, to a tenth of a second.
    var cell: String {
        switch self {
        case .nanoseconds(let duration): return DurationText.compact(duration)
        case .time(let time):
            let (second, fraction) = time.quotientAndRemainder(dividingBy: 1_000_000_000)
            return CalendarTime(Int(second), utc: false).clock + "." + String(fraction / 100_000_000)
        case .text, .count, .flag, .ratio: return text
        }
    }
}

import HandshakeProbe
import Handshakes

/// The table that a person reads, fitted to its terminal: narrow ones lose columns, wide ones give the room to names and the
/// peer's address. Failures stand out.
struct TableFormat {
    /// Of what is no terminal.
    static let standardWidth = 120

    /// Escape sequences for a terminal.
    let colour: Bool
    /// Columns of the terminal.
    let width: Int
    private let columns: [(column: Column, width: Int)]

    init(colour: Bool, width: Int = standardWidth) {
        self.colour = colour
        self.width = width
        columns = Self.fitted(to: width)
    }

    private struct Column: Sendable {
        let head: String
        /// Cells: fewer would say nothing, enough for most, and no use of more.
        let (least, usual, most): (Int, Int, Int)
        /// Which go first where the room is short: the highest. `nil` stays.
        let rank: Int?
        let cell: @Sendable (Handshake) -> String

        init(
            _ head: String, _ least: Int, _ usual: Int, _ most: Int, rank: Int? = nil,
            cell: @escaping @Sendable (Handshake) -> String
        ) {
            self.head = head
            (self.least, self.usual, self.most) = (least, usual, most)
            self.rank = rank
            self.cell = cell
        }

        /// Fields of the table of fields: what a session lacks is left out, and a column without any is a dash.
        init(
            _ head: String, _ least: Int, _ usual: Int, _ most: Int, rank: Int? = nil, _ names: String...,
            separator: String = " "
        ) {
            let fields = names.map { name in
                guard let field = HandshakeField.named(name) else { preconditionFailure("no field is called \(name)") }
                return field
            }
            self.init(head, least, usual, most, rank: rank) { handshake in
                let cells = fields.compactMap { $0.value(handshake)?.cell }
                return cells.isEmpty ? "-" : cells.joined(separator: separator)
            }
        }
    }

    private static let all = [
        Column("TIME", 10, 10, 10, rank: 3, "time"),
        Column("PROCESS", 10, 12, 24, "comm", "pid", separator: "/"),
        Column("ROLE", 6, 6, 6, rank: 4, "role"),
        Column("VERSION", 7, 7, 8, rank: 5, "tls_version"),
        Column("ALPN", 5, 8, 9, rank: 6, "alpn"),
        Column("SNI", 10, 12, 60, "sni"),
        Column("PEER", 12, 16, 47, rank: 1) { peer($0) },
        Column("TOTAL", 6, 6, 6, "duration_ns"),
        Column("MAINLY", 12, 13, 13, rank: 2) { mainly($0.parts, of: $0.duration) },
        Column("OUTCOME", 12, 19, 48, "outcome", "reason"),
    ]

    /// The columns that there is room for, and how wide each is.
    private static func fitted(to width: Int) -> [(column: Column, width: Int)] {
        var columns = all
        func room() -> Int { width - (columns.count - 1) - columns.reduce(0) { $0 + $1.least } }
        while room() < 0,
            let last = columns.indices.filter({ columns[$0].rank != nil })
                .max(by: { columns[$0].rank ?? 0 < columns[$1].rank ?? 0 })
        {
            columns.remove(at: last)
        }
        var widths = columns.map(\.least)
        var rest = room()
        // Cell by cell in turn, so that all grow together.
        for limit in [columns.map(\.usual), columns.map(\.most)] {
            while rest > 0,
                let next = widths.indices.filter({ widths[$0] < limit[$0] })
                    .min(by: { widths[$0] - columns[$0].least < widths[$1] - columns[$1].least })
            {
                widths[next] += 1
                rest -= 1
            }
        }
        return Array(zip(columns, widths))
    }

    /// An arrow towards the server, and the peer's address: a client's is without its port, which says nothing.
    private static func peer(_ handshake: Handshake) -> String {
        guard let address = HandshakeKey.named("remote")?.read(handshake) else { return "-" }
        return (handshake.role == .client ? "→" : "←") + address
    }

    /// The largest part of the time and its share, rounded down: `peer 93%`. Where nobody knows whose the wait was, it is one.
    static func mainly(_ parts: HandshakeParts, of duration: UInt64) -> String {
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
        let cells = columns.map { CellText.fitted(text($0.column), to: $0.width) }
        return CellText.fitted(CellText.trimmed(cells.joined(separator: " ")), to: width, pads: false)
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

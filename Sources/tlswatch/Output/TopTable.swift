import Handshakes

/// What `top` shows of one moment: a row for each group of the last sessions, sorted.
struct TopTable {
    /// What rows are sorted by; each has a key of its own.
    enum Order: String, CaseIterable {
        case p99, rate, failed

        /// Pressed to sort by it.
        var key: Character {
            switch self {
            case .p99: "p"
            case .rate: "r"
            case .failed: "f"
            }
        }
    }

    let key: HandshakeKey
    let order: Order
    /// Seconds that the sessions came in.
    let seconds: Double
    let columns: Int
    let lines: Int
    /// Whether rows with failures and the head stand out.
    var colour = false

    /// A terminal this wide shows each row's time as a bar, too.
    private static let wide = 100
    private static let legend = HandshakePart.allCases.map { "\($0.mark) \($0.rawValue)" }.joined(separator: " ")

    /// Lines that fill the screen and no more, none wider than it.
    ///
    /// - Parameters:
    ///   - status: a line above the table.
    ///   - help: the last line.
    func screen(_ rows: [HandshakeGroups.Row], status: String, help: String) -> [String] {
        var table = TextTable(
            columns: [.init(head: key.name.uppercased(), isRight: false, least: 8)]
                + ["/S", "FAILED", "P50", "P99", "MAX"].map { .init(head: $0) }
                + ["MAINLY"].map { .init(head: $0, isRight: false) }
                + (isWide ? [.init(head: Self.legend, isRight: false)] : []))
        let room = max(0, lines - 3)
        let sorted = self.sorted(rows)
        table.rows = sorted.prefix(room).map(cells)
        var result = [status] + table.lines(width: columns)
        while result.count < lines - 1 { result.append("") }
        result = Array(result.prefix(max(0, lines - 1)))
        result.append(help)
        let fitted = result.prefix(lines).map { CellText.fitted($0, to: columns, pads: false) }
        return colour ? coloured(fitted, sorted) : fitted
    }

    private var isWide: Bool { columns >= Self.wide }

    /// The head in bold; rows of which half failed or more in red, those with any failure in yellow.
    private func coloured(_ lines: [String], _ rows: [HandshakeGroups.Row]) -> [String] {
        lines.indices.map { index in
            let code: String?
            switch index {
            case 1: code = "1"
            case lines.count - 1: code = "2"
            case 2..<2 + rows.count:
                let row = rows[index - 2]
                code = row.failed == 0 ? nil : row.failed >= row.sessions - row.failed ? "31" : "33"
            default: code = nil
            }
            guard let code, !lines[index].isEmpty else { return lines[index] }
            return "\u{1b}[\(code)m\(lines[index])\u{1b}[0m"
        }
    }

    /// Those without a value last; equal ones by name, so that rows stay where they are.
    func sorted(_ rows: [HandshakeGroups.Row]) -> [HandshakeGroups.Row] {
        let ranked = rows.map { row -> (row: HandshakeGroups.Row, size: Double) in
            var durations = row.durations
            switch order {
            case .p99: return (row, durations.quantile(0.99).map { Double($0) } ?? -1)
            case .rate: return (row, Double(row.sessions))
            case .failed: return (row, Double(row.failed))
            }
        }
        return ranked.sorted { left, right in
            if left.size != right.size { return left.size > right.size }
            if left.row.isRest != right.row.isRest { return right.row.isRest }
            return HandshakeGroups.precedes(left.row.values, right.row.values)
        }.map(\.row)
    }

    private func cells(_ row: HandshakeGroups.Row) -> [String] {
        var durations = row.durations
        let quantiles = [0.5, 0.99].map { durations.quantile($0).map(DurationText.compact) ?? "-" }
        return [
            row.isRest ? "(others)" : row.values[0] ?? "-", rate(row.sessions),
            GroupTable.percent(row.failed, of: row.sessions),
        ]
            + quantiles + [row.longest.map(DurationText.compact) ?? "-", mainly(row)] + (isWide ? [time(row)] : [])
    }

    /// Where the time of its sessions went.
    private func time(_ row: HandshakeGroups.Row) -> String {
        StackedBar.text(
            HandshakePart.allCases.map { ($0.mark, row.time(in: $0)) }, cells: CellText.width(Self.legend))
    }

    private func rate(_ sessions: UInt64) -> String {
        DisplayText.rate(sessions, seconds: UInt64(max(1, seconds.rounded(.up))))
    }

    private func mainly(_ row: HandshakeGroups.Row) -> String {
        let whole = row.timedTotal
        guard whole > 0, let most = HandshakePart.allCases.max(by: { row.time(in: $0) < row.time(in: $1) }) else {
            return "-"
        }
        // Of a hostile recording the sum may have gone round.
        let share = min(1, Double(row.time(in: most)) / Double(whole))
        return "\(most.rawValue) \(Int(share * 100))%"
    }
}

/// The sessions of the last seconds, by second: each second's go when their time is over.
struct LastSessions {
    private let window: UInt64
    private var sessions: [Handshake] = []
    private var first = 0

    /// Sessions that are kept, at most; past it the oldest go before their time.
    static let limit = 100_000
    /// When the newest ended that had to make room: what is kept is whole from then on.
    private(set) var wholeSince: UInt64 = 0

    /// - Parameter window: nanoseconds.
    init(window: UInt64) { self.window = window }

    mutating func add(_ handshakes: [Handshake]) { sessions += handshakes }

    /// Forgets what ended more than a window before `now`, and what is too much.
    mutating func advance(to now: UInt64) {
        while first < sessions.count {
            let isOver = sessions[first].end &+ window < now
            guard isOver || sessions.count - first > Self.limit else { break }
            if !isOver { wholeSince = sessions[first].end }
            first += 1
        }
        guard first > sessions.count / 2 else { return }
        sessions.removeFirst(first)
        first = 0
    }

    var all: ArraySlice<Handshake> { sessions[first...] }
}

import Handshakes

/// A summary by groups, as a table or as JSON.
struct GroupTable {
    let keys: [HandshakeKey]
    /// Of the terminal; `nil`: as wide as it is.
    let width: Int?

    private static let quantiles = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)]

    func text(_ rows: [HandshakeGroups.Row]) -> String {
        var table = TextTable(
            columns: keys.map { .init(head: $0.name.uppercased(), isRight: false, least: 6) }
                + (["SESSIONS", "FAILED", "P50", "P90", "P99", "MAX"] + HandshakePart.allCases.map { Self.head($0) })
                .map {
                    .init(head: $0)
                })
        table.rows = rows.map(cells)
        var lines = table.lines(width: width)
        if rows.contains(where: \.isRest) {
            lines.append("(others): more than \(HandshakeGroups.standardLimit) groups; these came last")
        }
        if rows.contains(where: { !$0.durations.isExact }) {
            lines.append("Quantiles of groups with more than \(DurationSample.standardLimit) sessions are within 0.5 %")
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private func cells(_ row: HandshakeGroups.Row) -> [String] {
        var durations = row.durations
        let quantiles = Self.quantiles.map { durations.quantile($0.1).map(DurationText.compact) ?? "-" }
        let whole = row.timedTotal
        let parts = HandshakePart.allCases.map { part in
            whole == 0 ? "-" : Self.percent(row.time(in: part), of: whole)
        }
        return values(row)
            + ["\(row.sessions)", Self.percent(row.failed, of: row.sessions)] + quantiles
            + [row.longest.map(DurationText.compact) ?? "-"] + parts
    }

    private func values(_ row: HandshakeGroups.Row) -> [String] {
        row.isRest ? keys.indices.map { $0 == 0 ? "(others)" : "" } : row.values.map { $0 ?? "-" }
    }

    static func head(_ part: HandshakePart) -> String {
        switch part {
        case .cpu: "CPU"
        case .runqueue: "RUNQ"
        case .unread: "UNREAD"
        case .peer: "PEER"
        }
    }

    /// `12.3%`; a share that is neither nothing nor all is not shown as such.
    static func percent(_ part: UInt64, of whole: UInt64) -> String {
        DisplayText.share(part, of: whole).replacing("\u{a0}", with: "")
    }

    /// An object for each group.
    func json(_ rows: [HandshakeGroups.Row]) -> String {
        var output: [UInt8] = []
        for row in rows {
            var object = JSONObject()
            if row.isRest {
                object.literal("others", "true")
            } else {
                for (key, value) in zip(keys, row.values) { object.text(key.name, value) }
            }
            add(row, to: &object)
            output += object.finish() + [UInt8(ascii: "\n")]
        }
        return String(decoding: output, as: UTF8.self)
    }

    /// A group's figures alone, an object.
    func figures(_ row: HandshakeGroups.Row) -> String {
        var object = JSONObject()
        add(row, to: &object)
        return String(decoding: object.finish(), as: UTF8.self)
    }

    private func add(_ row: HandshakeGroups.Row, to object: inout JSONObject) {
        object.number("sessions", row.sessions)
        object.number("completed", row.completed)
        object.number("failed", row.failed)
        object.number("unfinished", row.unfinished)
        var durations = row.durations
        for (name, quantile) in Self.quantiles { object.number("\(name)_ns", durations.quantile(quantile)) }
        object.number("max_ns", row.longest)
        if row.completed > 0, !durations.isExact { object.literal("exact", "false") }
        if row.timed > 0 {
            object.number("timed", row.timed)
            for part in HandshakePart.allCases { object.number("\(part.rawValue)_total_ns", row.time(in: part)) }
        }
    }
}

import Handshakes

/// Two recordings beside each other, as a table or as JSON.
struct ChangeTable {
    let keys: [HandshakeKey]
    /// Of the terminal; `nil`: as wide as it is.
    let width: Int?

    func text(_ changes: [GroupChanges.Change]) -> String {
        var table = TextTable(
            columns: [.init(head: "CHANGE", isRight: false)]
                + keys.map { .init(head: $0.name.uppercased(), isRight: false, least: 6) }
                + ["SESSIONS", "FAILED", "P50", "P99", "MOST"].map { .init(head: $0, isRight: false) })
        table.rows = changes.map(cells)
        return table.lines(width: width).joined(separator: "\n") + "\n"
    }

    private func cells(_ change: GroupChanges.Change) -> [String] {
        let values = change.isRest ? keys.indices.map { $0 == 0 ? "(others)" : "" } : change.values.map { $0 ?? "-" }
        func pair(_ cell: (HandshakeGroups.Row) -> String) -> String {
            let (before, after) = (change.before.map(cell) ?? "-", change.after.map(cell) ?? "-")
            return before == after ? before : "\(before) → \(after)"
        }
        func quantile(_ quantile: Double) -> String {
            pair { row in
                var durations = row.durations
                return durations.quantile(quantile).map(DurationText.compact) ?? "-"
            }
        }
        return [Self.word(change)] + values + [
            pair { "\($0.sessions)" }, pair { GroupTable.percent($0.failed, of: $0.sessions) }, quantile(0.5),
            quantile(0.99),
            Self.mostOf(change) ?? "-",
        ]
    }

    private static func word(_ change: GroupChanges.Change) -> String {
        switch change.kind {
        case .changed: "changed"
        case .appeared: "new"
        case .disappeared: "gone"
        case .withinChance: "none"
        }
    }

    /// The part of the time whose mean changed most: `peer +12.1ms`.
    private static func mostOf(_ change: GroupChanges.Change) -> String? {
        guard let before = change.before, let after = change.after, before.timed > 0, after.timed > 0 else {
            return nil
        }
        let differences = HandshakePart.allCases.map { part -> (part: HandshakePart, before: UInt64, after: UInt64) in
            (part, before.time(in: part) / before.timed, after.time(in: part) / after.timed)
        }
        func size(_ entry: (part: HandshakePart, before: UInt64, after: UInt64)) -> UInt64 {
            max(entry.before, entry.after) - min(entry.before, entry.after)
        }
        guard let most = differences.max(by: { size($0) < size($1) }), size(most) > 0 else { return nil }
        return "\(most.part.rawValue) \(most.after > most.before ? "+" : "-")\(DurationText.compact(size(most)))"
    }

    /// An object for each group.
    func json(_ changes: [GroupChanges.Change]) -> String {
        let groups = GroupTable(keys: keys, width: nil)
        var output = ""
        for change in changes {
            var object = JSONObject()
            object.text("change", Self.word(change))
            if change.isRest {
                object.literal("others", "true")
            } else {
                for (key, value) in zip(keys, change.values) { object.text(key.name, value) }
            }
            object.literal("before", change.before.map { groups.figures($0) })
            object.literal("after", change.after.map { groups.figures($0) })
            output += String(decoding: object.finish(), as: UTF8.self) + "\n"
        }
        return output
    }
}

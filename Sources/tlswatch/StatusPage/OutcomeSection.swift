import HandshakeProbe
import Handshakes

/// How sessions ended since the start: a row for each outcome, beneath it its reasons.
extension StatusPage {
    /// Reasons shown of one outcome, at most.
    static let mostReasons = 12

    static func outcomes(_ status: StatusSnapshot) -> HTML {
        let total = sum(status.ended)
        let missed = sum(status.ended.filter { $0.outcome != .completed })
        var rows: HTML = ""
        for outcome in Outcome.allCases {
            let ended = status.ended.filter { $0.outcome == outcome }
            rows += row(
                "<th scope=\"row\">\(outcome.rawValue)</th>", outcome, ended, of: total, missed)
            // "completed" has no reasons.
            let reasons = Dictionary(grouping: ended.filter { $0.reason != nil }, by: { $0.reason ?? "" })
                .map { (reason: $0.key, ended: $0.value, count: sum($0.value)) }
                .sorted { ($1.count, $0.reason) < ($0.count, $1.reason) }
            for reason in reasons.prefix(mostReasons) {
                rows += row(
                    "<th scope=\"row\" class=\"reason\"><code>\(reason: reason.reason)</code></th>", outcome,
                    reason.ended, of: total, missed)
            }
            if reasons.count > mostReasons {
                let rest = reasons.dropFirst(mostReasons)
                rows += row(
                    "<th scope=\"row\" class=\"reason\">\(rest.count) more reasons</th>", outcome,
                    rest.flatMap(\.ended), of: total, missed)
            }
        }
        return """
            <section class="panel" aria-labelledby="outcomes"><header><h2 id="outcomes">Outcomes</h2>\
            <p>\(DisplayText.count(total)) ended in \(DisplayText.span(status.uptime)) · \
            \(DisplayText.count(status.inFlight)) in flight</p></header>\
            <table class="outcomes"><thead><tr><th scope="col">Outcome, reason</th><th scope="col">client</th>\
            <th scope="col">server</th><th scope="col">share</th><th scope="col" class="meter">\
            share of failures</th></tr></thead><tbody>\(rows)</tbody></table></section>
            """
    }

    /// The bar is a share of those not completed: among all sessions a failure would not show.
    private static func row(
        _ name: HTML, _ outcome: Outcome, _ ended: [StatusSnapshot.Ended], of total: UInt64, _ missed: UInt64
    ) -> HTML {
        let count = sum(ended)
        var bar: HTML = ""
        if outcome != .completed, count > 0, missed > 0 {
            bar = """
                <svg width="100%" height="8" aria-hidden="true"><rect class="\(outcome.rawValue)" \
                width="\(place: max(0.8, Double(count) / Double(missed) * 100))%" height="8" rx="1"/></svg>
                """
        }
        return """
            <tr>\(name)\(cell(ended, .client))\(cell(ended, .server))\
            <td>\(count > 0 ? DisplayText.share(count, of: total) : "")</td><td class="meter">\(bar)</td></tr>
            """
    }

    private static func cell(_ ended: [StatusSnapshot.Ended], _ role: Role) -> HTML {
        let count = sum(ended.filter { $0.role == role })
        return count > 0 ? "<td>\(DisplayText.count(count))</td>" : "<td class=\"none\">0</td>"
    }

    private static func sum(_ ended: [StatusSnapshot.Ended]) -> UInt64 { ended.reduce(0) { $0 &+ $1.count } }
}

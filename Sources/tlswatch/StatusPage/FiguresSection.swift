import HandshakeProbe
import Handshakes

/// P50, P90 and P99 of each role, with their course over the window.
extension StatusPage {
    static let missing: HTML = "<abbr title=\"not observed\">–</abbr>"

    static func figures(_ status: StatusSnapshot) -> HTML {
        // A role that this host never had takes a line, not half of the page.
        let seen = status.figures.filter { figures in
            figures.sessions > 0 || figures.points.contains { $0.completed > 0 || $0.p50 != nil }
                || status.ended.contains { $0.role == figures.role }
        }
        var html: HTML = "<div class=\"roles\">"
        for figures in seen { html += panel(figures, status) }
        html += "</div>"
        for figures in status.figures where !seen.contains(figures) {
            html += "<p class=\"quiet\">No \(figures.role.rawValue) session on this host yet.</p>"
        }
        return html
    }

    private static func panel(_ figures: StatusSnapshot.Figures, _ status: StatusSnapshot) -> HTML {
        let role = figures.role.rawValue
        let seconds = min(max(1, status.uptime), status.window)
        return """
            <section class="panel" aria-labelledby="\(role)"><header><h2 id="\(role)">\(role)</h2>\
            <p>\(DisplayText.count(figures.sessions)) completed in \(DisplayText.span(seconds)) · \
            \(DisplayText.rate(figures.sessions, seconds: seconds))/s</p></header><dl class="figures">\
            \(figure("P50", "p50", figures.p50))\(figure("P90", "p90", figures.p90))\
            \(figure("P99", "p99", figures.p99))</dl>\
            \(QuantileChart(figures: figures, window: status.window, uptime: status.uptime).html)</section>
            """
    }

    private static func figure(_ name: String, _ style: String, _ value: UInt64?) -> HTML {
        let text: HTML
        if let value {
            let (number, unit) = DisplayText.durationParts(value)
            text = "<data value=\"\(value)\">\(number)<small> \(unit)</small></data>"
        } else {
            text = "<abbr title=\"no completed session in the window\">–</abbr>"
        }
        return "<div class=\"\(style)\"><dt>\(name)</dt><dd>\(text)</dd></div>"
    }
}

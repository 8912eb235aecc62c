import HandshakeProbe
import Handshakes

/// The page at `/`: one response that needs nothing else. The server renders all of it, so it also serves a browser
/// that runs no script; the script only fetches it again.
///
/// Pure functions, for any thread.
enum StatusPage {
    /// Sent with every page. Nothing is allowed but the very style and script in it, and fetching it again.
    static let headers: [(name: String, value: String)] = [
        ("Content-Type", "text/html; charset=utf-8"),
        (
            "Content-Security-Policy",
            "default-src 'none'; style-src 'sha256-\(styleHash)'; script-src 'sha256-\(scriptHash)'; "
                + "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        ),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("Cache-Control", "no-store"),
    ]

    /// - Parameters:
    ///   - recent: the last failed and slow sessions, newest first.
    ///   - version: the program's, shown.
    ///   - host: the host's name, shown.
    ///   - metrics: the metrics' path.
    ///   - selection: which sessions the lists show; `recent` is of these.
    /// - Returns: the body, UTF-8.
    static func render(
        _ status: StatusSnapshot, recent: [Handshake] = [], version: String, host: String,
        metrics: String = "/metrics", selection: PageSelection = PageSelection()
    ) -> [UInt8] {
        var page = head(version: version, host: host)
        page += header(status, host: host)
        page += form(selection)
        page += "<main id=\"main\" data-time=\"\(status.wallTime)\">"
        page += notices(status, metrics: metrics)
        page += selected(selection)
        page += hasSessions(status) ? figures(status) : noSession(status)
        page += "<div class=\"pair\">"
        if hasSessions(status) { page += outcomes(status) }
        page += observation(status)
        page += "</div>"
        if hasSessions(status) { page += slowest(status, selection) }
        page += self.recent(recent, selection)
        page += """
            </main><footer>Measured in this host’s kernel. Quantiles include completed sessions only. \
            <span class="links">\(link(metrics)) <a href="sessions">/sessions</a> <a href="healthz">/healthz</a> \
            <a href="readyz">/readyz</a></span> <span>tlswatch \(version)</span></footer>\
            <script>\(HTML(stringLiteral: script))</script></body></html>

            """
        return page.bytes
    }

    /// To the metrics: relative, since what stands before us may serve this page elsewhere.
    static func link(_ metrics: String) -> HTML {
        "<a href=\"\(String(metrics.dropFirst()))\">\(metrics)</a>"
    }

    /// Whether any session was ever told of: without one the page says what to do instead of showing dashes.
    private static func hasSessions(_ status: StatusSnapshot) -> Bool {
        !status.ended.isEmpty || !status.slowest.isEmpty || status.figures.contains { $0.sessions > 0 }
    }

    private static func head(version: String, host: String) -> HTML {
        """
        <!DOCTYPE html><html lang="en" data-version="\(version)"><head><meta charset="utf-8">\
        <title>tlswatch · \(attribute: host)</title><meta name="viewport" content="width=device-width, initial-scale=1">\
        <meta name="color-scheme" content="light dark"><style>\(HTML(stringLiteral: style))</style>\
        <noscript><meta http-equiv="refresh" content="10"></noscript></head>
        """
    }

    private static func header(_ status: StatusSnapshot, host: String) -> HTML {
        let time = DisplayText.time(status.wallTime)
        return """
            <body><header><h1>tlswatch <span>\(foreign: host)</span></h1>\
            <p id="state" class="state"><span id="state-text">as of</span> \
            <time id="clock" title="\(time.date) UTC">\(time.clock)</time> UTC</p>\
            <p id="alarm" role="alert" hidden></p></header>
            """
    }
}

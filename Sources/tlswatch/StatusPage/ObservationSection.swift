import HandshakeProbe
import Handshakes

/// What is observed, what is not, and why.
extension StatusPage {
    /// Libraries shown, at most.
    static let mostLibraries = 24

    static func observation(_ status: StatusSnapshot) -> HTML {
        let missed = status.unobservedProcesses.values.reduce(0, +)
        var html: HTML = """
            <section class="panel" aria-labelledby="observed"><header><h2 id="observed">Observed</h2>\
            <p>\(DisplayText.count(status.observedProcesses, "process", "processes")) with TLS observed · \
            \(DisplayText.count(missed)) not</p></header>
            """
        if missed > 0 { html += "<p class=\"quiet\">Not observed: \(reasons(status)).</p>" }
        guard !status.libraries.isEmpty else {
            return html + """
                <p class="quiet">No TLS library was found yet; <code>tlswatch targets</code> lists what was scanned.\
                </p></section>
                """
        }
        // What is missing comes first: it is what a reader can mend.
        let libraries =
            status.libraries.filter { $0.unobserved != nil } + status.libraries.filter { $0.unobserved == nil }
        html += "<ul class=\"libraries\">"
        for library in libraries.prefix(mostLibraries) { html += row(library) }
        html += "</ul>"
        if libraries.count > mostLibraries {
            let rest = DisplayText.count(UInt64(libraries.count - mostLibraries))
            html += "<p class=\"quiet\">\(rest) more: <code>tlswatch targets</code> lists all.</p>"
        }
        return html + "</section>"
    }

    private static func row(_ library: StatusSnapshot.Library) -> HTML {
        var state: HTML = "<span class=\"ok\">observed</span>"
        if let reason = library.unobserved {
            state = "<span class=\"no\">not observed: <code>\(reason: reason)</code></span>"
        }
        if let detail = library.detail ?? library.unobserved.flatMap(meaning) {
            state += "<small>\(foreign: detail)</small>"
        }
        let version: HTML = library.version.map { "\(foreign: $0)" } ?? missing
        return """
            <li><b>\(foreign: library.path)</b> <span>\(foreign: library.stack) \(version)</span> \
            <span>\(DisplayText.count(UInt64(clamping: library.processes), "process", "processes"))</span> \(state)</li>
            """
    }
}

import HandshakeProbe
import Handshakes

/// The slowest sessions of the window: where each one's time went, and on request every fact known of it.
extension StatusPage {
    static func slowest(_ status: StatusSnapshot, _ selection: PageSelection = PageSelection()) -> HTML {
        let shown = status.slowest.filter(selection.passes)
        let share: HTML =
            selection.isEmpty ? "" : " · \(shown.count) of the \(status.slowest.count) slowest are selected"
        var html: HTML = """
            <section class="panel" aria-labelledby="slowest"><header><h2 id="slowest">Slowest sessions</h2>\
            <p>completed in the last \(DisplayText.span(status.window))\(share)</p></header>
            """
        guard !status.slowest.isEmpty else {
            return html + "<p class=\"quiet\">No session completed in this window.</p></section>"
        }
        guard !shown.isEmpty else {
            return html + "<p class=\"quiet\">None of them is selected.</p></section>"
        }
        html += """
            <ul class="legend" aria-label="Legend"><li class="tcp">TCP connect</li><li class="hello">ClientHello</li>\
            <li class="kex">key exchange</li><li class="finish">finish</li><li class="tickets">tickets</li>\
            <li class="alpn">ALPN</li><li class="cpu">CPU</li><li class="runqueue">run queue</li>\
            <li class="unread">unread</li><li class="wait">peer</li><li class="cut">not to scale</li></ul><ol class="slowest">
            """
        for handshake in shown { html += item(handshake) }
        return html + "</ol></section>"
    }

    private static func item(_ handshake: Handshake) -> HTML {
        // The same from one fetch to the next, so that the script can open again what was open.
        let identifier: HTML = "s\(handshake.pid)-\(handshake.tid)-\(handshake.start)"
        let (number, unit) = DisplayText.durationParts(handshake.duration)
        var facts: HTML = "<span>\(handshake.role.rawValue)</span>"
        for fact in [handshake.cause?.rawValue, handshake.tlsVersion, handshake.group, handshake.alpn] {
            if let fact { facts += "<span>\(foreign: fact)</span>" }
        }
        if handshake.resumed == true { facts += "<span>resumed</span>" }
        if handshake.helloRetryRequest == true { facts += "<span>HelloRetryRequest</span>" }
        let name: HTML = (handshake.sni ?? handshake.remote).map { "<span class=\"peer\">\(foreign: $0)</span>" } ?? ""
        return """
            <li><details><summary id="\(identifier)"><span class="total">\(number)<small> \(unit)</small></span>\
            <span class="who"><b>\(foreign: handshake.comm)</b> \(name)</span><span class="facts">\(facts)</span>\
            \(Waterfall(handshake).html)</summary>\(details(handshake))</details></li>
            """
    }
}

func + (left: HTML, right: HTML) -> HTML {
    var sum = left
    sum += right
    return sum
}

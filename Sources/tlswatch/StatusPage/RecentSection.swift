import HandshakeProbe
import Handshakes

/// The last sessions that failed, timed out or were slow: who, with whom, why.
extension StatusPage {
    /// Sessions shown, at most; `/sessions` has more.
    static let mostRecent = 20

    static func recent(_ handshakes: [Handshake], _ selection: PageSelection = PageSelection()) -> HTML {
        guard !handshakes.isEmpty else {
            guard !selection.isEmpty else { return "" }
            return """
                <section class="panel" aria-labelledby="recent"><header><h2 id="recent">Failed and slow</h2></header>\
                <p class="quiet">None of those that are kept is selected.</p></section>
                """
        }
        var rows: HTML = ""
        for handshake in handshakes.prefix(mostRecent) { rows += row(handshake) }
        return """
            <section class="panel" aria-labelledby="recent"><header><h2 id="recent">Failed and slow</h2>\
            <p>the last ones\(selection.isEmpty ? "" : " selected"); more at <a href="\(selection.sessions)">/sessions</a></p></header>\
            <div class="scroll"><table class="recent"><thead><tr><th scope="col">Time (UTC)</th><th scope="col">Process</th>\
            <th scope="col">Role</th><th scope="col">Server name</th><th scope="col">Peer</th><th scope="col">Why</th>\
            <th scope="col">Duration</th></tr></thead><tbody>\(rows)</tbody></table></div></section>
            """
    }

    private static func row(_ handshake: Handshake) -> HTML {
        let time = DisplayText.time(handshake.wallTime)
        let process: HTML =
            handshake.pid == 0 ? missing : "\(foreign: handshake.comm) <small>\(handshake.pid)</small>"
        return """
            <tr class="\(handshake.outcome.rawValue)"><td title="\(time.date)">\(time.clock)</td>\
            <td>\(process)</td><td>\(handshake.role.rawValue)</td>\
            <td>\(text(handshake.sni))</td><td>\(text(handshake.remote))</td><td>\(why(handshake))</td>\
            <td>\(DisplayText.duration(handshake.duration))</td></tr>
            """
    }

    private static func text(_ text: String?) -> HTML { text.map { "\(foreign: $0)" } ?? missing }

    /// Of a failed one the reason, with the library's own; of a slow one the cause.
    private static func why(_ handshake: Handshake) -> HTML {
        switch handshake.outcome {
        case .completed: return "slow: \(handshake.cause?.rawValue ?? "cause unknown")"
        case .failed, .abandoned, .timeout:
            let reason = handshake.reason ?? handshake.outcome.rawValue
            let own: HTML = handshake.libraryReason.map { " (\(reason: $0))" } ?? ""
            return "\(reason: reason)\(own)"
        }
    }
}

import HandshakeProbe
import Handshakes

/// Every figure and fact of one session, in the contract's words: the table's fields, in the order that a reader asks for
/// them. A field that is not named here is shown too, where a session has it.
extension StatusPage {
    static func details(_ handshake: Handshake) -> HTML {
        "<div class=\"details\">\(times(handshake))\(facts(handshake))</div>"
    }

    // MARK: Durations

    private static let durations: [HandshakeField] =
        fields(
            "tcp_connect_ns", "duration_ns", "busy_ns", "cpu_ns", "runqueue_ns", "wait_ns", "unread_ns", "peer_ns",
            "first_record_delay_ns", "alpn_negotiation_ns", "key_exchange_ns", "key_exchange_compute_ns", "finished_ns"
        )
        .followed { $0.kind == .nanoseconds }

    /// Where a duration begins, if it is not spread over the session.
    private static func begin(_ duration: HandshakeField, _ handshake: Handshake) -> UInt64? {
        let timeline = handshake.timeline
        return switch duration.name {
        case "tcp_connect_ns": timeline.connecting
        case "duration_ns", "finished_ns": handshake.start
        case "first_record_delay_ns": timeline.established
        case "alpn_negotiation_ns": timeline.clientHello
        case "key_exchange_ns": timeline.keyExchangeBegin
        default: nil
        }
    }

    private static func times(_ handshake: Handshake) -> HTML {
        var rows: HTML = ""
        for field in durations where field.name != "finished_ns" || handshake.role == .server {
            let offset = offset(begin(field, handshake), from: handshake.start)
            rows += "<tr><th scope=\"row\">\(field.title)</th><td>\(offset)</td>"
            guard case .nanoseconds(let duration) = field.value(handshake) else {
                rows += "<td>\(missing)</td><td></td></tr>"
                continue
            }
            rows += """
                <td>\(DisplayText.duration(duration))</td><td>\(DisplayText.count(duration))</td></tr>
                """
        }
        return """
            <table><thead><tr><th scope="col">Time</th><th scope="col">start</th><th scope="col">duration</th>\
            <th scope="col">ns</th></tr></thead><tbody>\(rows)</tbody></table>
            """
    }

    /// A moment as seen from the start; nothing where the row has none.
    private static func offset(_ time: UInt64?, from start: UInt64) -> HTML {
        guard let time else { return "" }
        if time < start { return "−\(DisplayText.duration(start - time))" }
        return "\(time == start ? "0" : DisplayText.duration(time - start))"
    }

    // MARK: Facts

    /// Shown for every session, with a dash where they were not observed.
    private static let usual = fields(
        "comm", "exe", "library", "stack", "sni", "local", "remote", "socket_confidence", "tls_version", "cipher",
        "group",
        "alpn", "resumed", "hello_retry_request", "client_certificate_requested")
    private static let last = fields("calls", "time")
    /// Part of what another says, said by the item's first line, never there for a session that completed, or of no use
    /// beside the rest.
    private static let leftOut = fields(
        "pid", "tid", "library_version", "client_certificate_given", "role", "outcome", "reason", "alert",
        "alert_direction", "library_reason", "thread", "container", "alpn_share")
    private static let others = (durations + usual + last + leftOut).followed { _ in true }
        .dropFirst(durations.count + usual.count + last.count + leftOut.count)

    private static func facts(_ handshake: Handshake) -> HTML {
        var html: HTML = "<dl>"
        func fact(_ field: HandshakeField) {
            // The end tags of these are optional, and many.
            html += "<dt>\(field.title)<dd>"
            if let value = words(field, handshake) { html += "\(foreign: value)" } else { html += missing }
        }
        for field in usual { fact(field) }
        for field in others where field.value(handshake) != nil { fact(field) }
        for field in last { fact(field) }
        return html + "</dl>"
    }

    /// A field's value, with those that belong to it.
    private static func words(_ field: HandshakeField, _ handshake: Handshake) -> String? {
        switch field.name {
        case "comm": "\(handshake.comm), pid \(handshake.pid), tid \(handshake.tid)"
        case "stack": "\(handshake.stack) \(handshake.libraryVersion ?? "")"
        case "client_certificate_requested": clientCertificate(handshake)
        default: field.value(handshake).map(DisplayText.value)
        }
    }

    private static func clientCertificate(_ handshake: Handshake) -> String? {
        guard let requested = handshake.clientCertificateRequested else { return nil }
        guard requested else { return "not requested" }
        return handshake.clientCertificateGiven.map { $0 ? "given" : "requested, none given" } ?? "requested"
    }

    private static func fields(_ names: String...) -> [HandshakeField] { names.compactMap(HandshakeField.named) }
}

extension [HandshakeField] {
    /// These, and behind them the table's others of a kind.
    fileprivate func followed(by isWanted: (HandshakeField) -> Bool) -> [HandshakeField] {
        self + HandshakeField.all.filter { field in !contains { $0 === field } && isWanted(field) }
    }
}

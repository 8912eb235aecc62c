import HandshakeProbe
import Handshakes

/// Every figure and fact of one session, in the contract's words.
extension StatusPage {
    static func details(_ handshake: Handshake) -> HTML {
        "<div class=\"details\">\(times(handshake))\(facts(handshake))</div>"
    }

    private static func times(_ handshake: Handshake) -> HTML {
        let timeline = handshake.timeline
        var rows: HTML = ""
        func row(_ name: String, at time: UInt64?, _ duration: UInt64?) {
            rows += "<tr><th scope=\"row\">\(name)</th><td>\(offset(time, from: handshake.start))</td>"
            guard let duration else {
                rows += "<td>\(missing)</td><td></td></tr>"
                return
            }
            rows += """
                <td>\(DisplayText.duration(duration))</td><td>\(DisplayText.count(duration))</td></tr>
                """
        }
        row("TCP connect", at: timeline.connecting, handshake.tcpConnect)
        row("handshake", at: handshake.start, handshake.duration)
        row("busy", at: nil, handshake.busy)
        row("wait", at: nil, handshake.wait)
        row("first-record delay", at: timeline.established, handshake.firstRecordDelay)
        row("ALPN negotiation", at: timeline.clientHello, handshake.alpnNegotiation)
        row("key exchange", at: timeline.keyExchangeBegin, handshake.keyExchange)
        row("key agreement (CPU)", at: nil, handshake.keyExchangeCompute)
        if handshake.role == .server { row("until Finished verified", at: handshake.start, handshake.finished) }
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

    private static func facts(_ handshake: Handshake) -> HTML {
        var html: HTML = "<dl>"
        func fact(_ name: String, _ value: String?) {
            // The end tags of these are optional, and many.
            html += "<dt>\(name)<dd>"
            if let value { html += "\(foreign: value)" } else { html += missing }
        }
        func answer(_ value: Bool?) -> String? { value.map { $0 ? "yes" : "no" } }
        fact("process", "\(handshake.comm), pid \(handshake.pid), tid \(handshake.tid)")
        fact("program", handshake.exe)
        fact("library", handshake.library)
        fact("stack", "\(handshake.stack) \(handshake.libraryVersion ?? "")")
        fact("server name", handshake.sni)
        fact("local", handshake.local)
        fact("remote", handshake.remote)
        fact("socket confidence", handshake.socketConfidence.rawValue)
        fact("TLS version", handshake.tlsVersion)
        fact("cipher", handshake.cipher)
        fact("group", handshake.group)
        fact("ALPN", handshake.alpn)
        fact("resumed", answer(handshake.resumed))
        fact("HelloRetryRequest", answer(handshake.helloRetryRequest))
        fact("client certificate", clientCertificate(handshake))
        if let earlyData = handshake.earlyData { fact("early data", earlyData.rawValue) }
        if let transport = handshake.transport { fact("transport", transport.rawValue) }
        fact("calls", DisplayText.count(UInt64(clamping: handshake.calls)))
        let time = DisplayText.time(handshake.wallTime)
        fact("start", "\(time.date) \(time.clock) UTC")
        return html + "</dl>"
    }

    private static func clientCertificate(_ handshake: Handshake) -> String? {
        guard let requested = handshake.clientCertificateRequested else { return nil }
        guard requested else { return "not requested" }
        return handshake.clientCertificateGiven.map { $0 ? "given" : "requested, none given" } ?? "requested"
    }
}

import HandshakeProbe
import Handshakes

/// One session on a horizontal axis of its own: TCP connect, ClientHello, key exchange and finish, beneath them ALPN,
/// and beneath that where the time went.
///
/// Places are percent of the width, heights are pixels: it stretches, and its text does not.
struct Waterfall {
    /// Width of what lies before the start where that is not to scale, percent, and of a connect within it.
    private static let (leadWidth, connectWidth) = (24.0, 10.0)

    private let handshake: Handshake
    /// Where the session's start lies, and how wide it is, percent.
    private let origin: Double
    private let width: Double
    /// Percent a nanosecond.
    private let scale: Double
    private let connection: Connection?

    private struct Connection {
        /// How wide the TCP connect is, percent from the left.
        var width: Double
        /// From its establishment to the session's start.
        var idle: UInt64
        /// What is drawn shorter than it is.
        var cutsConnect = false
        var cutsIdle = false
    }

    init(_ handshake: Handshake) {
        self.handshake = handshake
        let duration = Double(max(1, handshake.duration))
        guard let connecting = handshake.timeline.connecting, let established = handshake.timeline.established,
            connecting <= established, connecting < handshake.start
        else {
            (origin, width, scale, connection) = (0, 100, 100 / duration, nil)
            return
        }
        let connect = Double(min(established, handshake.start) - connecting)
        let idle = handshake.start - min(established, handshake.start)
        let before = connect + Double(idle)
        if before <= duration / 2 {
            scale = 100 / (duration + before)
            origin = before * scale
            connection = Connection(width: connect * scale, idle: idle)
        } else {
            // The handshake is what the reader came for: it keeps its room, and what led to it is cut.
            origin = Self.leadWidth
            scale = (100 - Self.leadWidth) / duration
            let cutsIdle = Double(idle) > (duration + connect) / 4
            let room = cutsIdle ? Self.connectWidth : Self.leadWidth - Double(idle) * scale
            connection = Connection(
                width: min(connect * scale, room), idle: idle, cutsConnect: connect * scale > room, cutsIdle: cutsIdle)
        }
        width = duration * scale
    }

    /// Where the bars lie from top to bottom is in the style, by their class.
    var html: HTML {
        """
        <svg class="waterfall" height="56" role="img" aria-label="\(summary)">\
        <rect class="track" x="\(place: origin)%" width="\(place: width)%"/>\
        \(connect)\(phases)\(shares)\(axis)</svg>
        """
    }

    private var summary: String {
        let shares = parts.map { "\($0.name) \(DisplayText.share($0.duration, of: handshake.duration))" }
        return DisplayText.duration(handshake.duration) + (shares.isEmpty ? "" : ": " + shares.joined(separator: ", "))
    }

    /// The parts of the time that are known, by their style.
    private var parts: [(style: String, name: String, duration: UInt64)] {
        let parts = handshake.parts
        let waits =
            parts.peer == nil
            ? [("wait", "wait", parts.wait)]
            : [
                ("unread", "unread", parts.unread), ("peer", "peer", parts.peer),
            ]
        let busy =
            parts.cpu == nil
            ? [("cpu", "busy", parts.busy)]
            : [("cpu", "CPU", parts.cpu), ("runqueue", "run queue", parts.runqueue)]
        return (busy + waits)
            .compactMap { style, name, duration in duration.map { (style, name, $0) } }
    }

    /// In the session; what lies outside is drawn at its edge.
    private func place(_ time: UInt64) -> Double {
        origin + Double(min(max(time, handshake.start), handshake.end) - handshake.start) * scale
    }

    private var connect: HTML {
        guard let connection, let connecting = handshake.timeline.connecting,
            let established = handshake.timeline.established
        else { return "" }
        let duration = established - connecting
        var html = bar(
            "tcp", "TCP connect", from: 0, to: max(connection.width, 0.4), duration: duration)
        if connection.cutsConnect { html += cut(at: connection.width / 2) }
        if connection.cutsIdle {
            html += """
                <line class="gap" x1="\(place: connection.width)%" x2="\(place: origin)%" y1="10" y2="10"/>
                """
            html += cut(at: (connection.width + origin) / 2, style: "cut idle")
        }
        if connection.cutsConnect || connection.cutsIdle {
            let text = DisplayText.duration(connection.cutsIdle ? connection.idle : duration)
            html += "<text y=\"33\">\(text)\(connection.cutsIdle ? " idle" : "")</text>"
        }
        return html
    }

    private func cut(at place: Double, style: String = "cut") -> HTML {
        "<svg x=\"\(place: place)%\"><path class=\"\(style)\" d=\"M-5 19L1 1M-1 19L5 1\"/></svg>"
    }

    private var phases: HTML {
        let timeline = handshake.timeline
        var html: HTML = ""
        if let begin = timeline.keyExchangeBegin, let end = timeline.keyExchangeEnd {
            html += phase("kex", "key exchange", begin, end)
        }
        if let keys = timeline.keyExchangeEnd {
            html += phase("finish", "finish", keys, timeline.finished ?? handshake.end)
        }
        if let finished = timeline.finished {
            html += phase("tickets", "session tickets", finished, handshake.end)
        }
        if let hello = timeline.clientHello, let decided = timeline.alpnDecided {
            html += phase("alpn", "ALPN negotiation", hello, decided)
        }
        if let hello = timeline.clientHello {
            let x = place(hello)
            html += """
                <g class="hello"><title>ClientHello at \
                \(DisplayText.duration(hello - min(hello, handshake.start)))</title>\
                <line x1="\(place: x)%" x2="\(place: x)%" y1="3" y2="25"/><circle cx="\(place: x)%" cy="3" r="3"/></g>
                """
        }
        return html
    }

    /// Shares of the whole, not places in time: a session has any number of calls.
    private var shares: HTML {
        var html: HTML = ""
        var left = origin
        for part in parts where part.duration > 0 {
            let right = min(left + Double(part.duration) * scale, origin + width)
            html += bar(part.style, part.name, from: left, to: right, duration: part.duration)
            left = right
        }
        return html
    }

    private func phase(_ style: String, _ name: String, _ begin: UInt64, _ end: UInt64) -> HTML {
        guard begin <= end else { return "" }
        // Never too thin to be seen, nor beyond the edge.
        let left = min(place(begin), 99.6)
        return bar(style, name, from: left, to: max(place(end), left + 0.4), duration: end - begin)
    }

    private func bar(
        _ style: String, _ name: String, from left: Double, to right: Double, duration: UInt64
    ) -> HTML {
        """
        <rect class="\(style)" x="\(place: left)%" width="\(place: right - left)%">\
        <title>\(name) \(DisplayText.duration(duration))</title></rect>
        """
    }

    private var axis: HTML {
        var html: HTML = """
            <line x1="\(place: origin)%" x2="\(place: origin + width)%" y1="37" y2="37"/>
            """
        let step = Self.step(handshake.duration, parts: max(1, width / 100 * 4))
        var tick: UInt64 = 0
        while tick <= handshake.duration {
            let x = origin + Double(tick) * scale
            let anchor: HTML = tick == 0 ? "from" : x > 94 ? "to" : "middle"
            html += """
                <line x1="\(place: x)%" x2="\(place: x)%" y1="37" y2="41"/>\
                <text class="\(anchor)" x="\(place: x)%" y="52">\
                \(tick == 0 ? "0" : DisplayText.roundDuration(tick))</text>
                """
            let (next, overflow) = tick.addingReportingOverflow(step)
            if overflow { break }
            tick = next
        }
        return html
    }

    /// The least 1, 2 or 5 of a power of ten that makes no more than so many parts.
    private static func step(_ duration: UInt64, parts: Double) -> UInt64 {
        var step: UInt64 = 1
        while Double(duration) / Double(step) > parts, step < 1_000_000_000_000_000_000 {
            step = LogScale.next(after: step)
        }
        return step
    }
}

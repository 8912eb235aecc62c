import Handshakes

/// One session in a few lines of a terminal, as the status page draws it: when its phases began and ended, beneath them where
/// its time went.
struct WaterfallFormat {
    /// Cells of the names to the left and of the durations to the right.
    private static let (nameWidth, figureWidth) = (13, 8)
    /// Narrower bars show nothing.
    private static let leastBar = 16
    private static let widest = 160

    let colour: Bool
    private let width: Int
    private let bar: Int

    /// - Parameter width: columns of the terminal.
    init(colour: Bool, width: Int = TableFormat.standardWidth) {
        self.colour = colour
        self.width = min(width, Self.widest)
        bar = max(Self.leastBar, self.width - Self.nameWidth - Self.figureWidth - 4)
    }

    /// Its lines, each ended, with an empty one behind them.
    func text(_ handshake: Handshake) -> String {
        var lines = [head(handshake), facts(handshake)]
        let scale = Scale(handshake, cells: bar)
        for row in rows(handshake) {
            lines.append(
                line(row.name, scale.cells(from: row.begin, to: row.end, row.mark), DurationText.compact(row.figure)))
        }
        let shares = shares(handshake)
        if !shares.isEmpty {
            lines.append(line("time", stacked(shares, in: scale), ""))
            let words = shares.map { "\($0.mark) \($0.name) \($0.share)" }.joined(separator: "  ")
            lines.append("  " + CellText.fitted("", to: Self.nameWidth) + words)
        }
        lines.append(line("", scale.axis, ""))
        let plain = lines.map { CellText.fitted(CellText.trimmed($0), to: width, pads: false) }
        return (colour ? coloured(plain, handshake) : plain).joined(separator: "\n") + "\n\n"
    }

    private func coloured(_ lines: [String], _ handshake: Handshake) -> [String] {
        let code = handshake.outcome == .completed ? "1" : handshake.outcome == .failed ? "1;31" : "1;33"
        return ["\u{1b}[\(code)m\(lines[0])\u{1b}[0m"] + lines.dropFirst()
    }

    // MARK: words

    /// `15:44:45.9 curl/8612 → a.example 192.0.2.7:443 3.34ms completed`
    private func head(_ handshake: Handshake) -> String {
        let words: [String?] = [
            FieldValue.time(handshake.wallTime).cell,
            handshake.pid == 0 ? nil : "\(handshake.comm)/\(handshake.pid)",
            handshake.role == .client ? "→" : "←", handshake.sni, handshake.remote,
            DurationText.compact(handshake.duration),
            handshake.outcome.rawValue, handshake.reason, handshake.libraryReason.map { "(\($0))" },
        ]
        return words.compactMap { $0 }.joined(separator: " ")
    }

    private func facts(_ handshake: Handshake) -> String {
        let words: [String?] = [
            handshake.role.rawValue, handshake.tlsVersion, handshake.group, handshake.cipher, handshake.alpn,
            handshake.resumed == true ? "resumed" : nil,
            handshake.helloRetryRequest == true ? "HelloRetryRequest" : nil,
            handshake.cause.map { "cause: \($0.rawValue)" }, handshake.rtt.map { "rtt \(DurationText.compact($0))" },
            handshake.retransmits.flatMap { $0 > 0 ? "\($0) retransmitted" : nil },
        ]
        return "  " + words.compactMap { $0 }.joined(separator: ", ")
    }

    private func line(_ name: String, _ cells: String, _ figure: String) -> String {
        "  " + CellText.fitted(name, to: Self.nameWidth) + CellText.fitted(cells, to: bar) + " "
            + CellText.fitted(figure, to: Self.figureWidth, alignsRight: true)
    }

    // MARK: bars

    private struct Row {
        var name: String
        var begin: UInt64
        var end: UInt64
        var figure: UInt64
        var mark: Character = "█"
    }

    private func rows(_ handshake: Handshake) -> [Row] {
        let timeline = handshake.timeline
        var rows: [Row] = []
        func add(_ name: String, _ begin: UInt64?, _ end: UInt64?, _ mark: Character = "█") {
            guard let begin, let end, begin <= end else { return }
            rows.append(Row(name: name, begin: begin, end: end, figure: end - begin, mark: mark))
        }
        add("TCP connect", timeline.connecting, timeline.established)
        if let hello = timeline.clientHello {
            let offset = hello - min(hello, handshake.start)
            rows.append(Row(name: "ClientHello", begin: hello, end: hello, figure: offset, mark: "◆"))
        }
        add("key exchange", timeline.keyExchangeBegin, timeline.keyExchangeEnd)
        add("finish", timeline.keyExchangeEnd, timeline.finished ?? handshake.end)
        add("tickets", timeline.finished, handshake.end)
        add("ALPN", timeline.clientHello.flatMap { timeline.alpnDecided == nil ? nil : $0 }, timeline.alpnDecided)
        return rows
    }

    /// Where times lie, in cells: from the start of the TCP connection, unless that was so long before that the handshake
    /// would lose its room; what lies before the session's start is at its edge then.
    private struct Scale {
        let origin: UInt64
        let length: UInt64
        let count: Int
        let start: UInt64

        init(_ handshake: Handshake, cells: Int) {
            let before = handshake.timeline.connecting ?? handshake.start
            let isNear = before < handshake.start && handshake.start - before <= handshake.duration
            origin = isNear ? before : handshake.start
            length = max(1, handshake.end - min(origin, handshake.end))
            count = cells
            start = handshake.start
        }

        func cell(_ time: UInt64) -> Int {
            guard time > origin else { return 0 }
            return min(count, Int(Double(time - origin) / Double(length) * Double(count)))
        }

        /// What lies wholly before it is an arrow to the left.
        func cells(from begin: UInt64, to end: UInt64, _ mark: Character) -> String {
            guard end > origin || begin >= origin else { return "◀" }
            let left = min(cell(begin), count - 1)
            let right = max(cell(end), left + 1)
            return String(repeating: " ", count: left) + String(repeating: mark, count: right - left)
        }

        /// `├` at the session's start, and how long it took at its end.
        var axis: String {
            let left = min(cell(start), count - 2)
            return String(repeating: " ", count: left) + "├" + String(repeating: "─", count: count - left - 2) + "┤"
        }
    }

    private func shares(_ handshake: Handshake) -> [(name: String, mark: String, duration: UInt64, share: String)] {
        let parts = handshake.parts
        let busy =
            parts.cpu == nil
            ? [("busy", "█", parts.busy)] : [("cpu", "█", parts.cpu), ("runqueue", "▓", parts.runqueue)]
        let wait =
            parts.peer == nil
            ? [("wait", "░", parts.wait)] : [("unread", "▒", parts.unread), ("peer", "░", parts.peer)]
        return (busy + wait).compactMap { name, mark, duration in
            duration.map { (name, mark, $0, GroupTable.percent($0, of: handshake.duration)) }
        }
    }

    /// Shares of the whole, not places in time: a session has any number of calls.
    private func stacked(
        _ shares: [(name: String, mark: String, duration: UInt64, share: String)], in scale: Scale
    ) -> String {
        let left = min(scale.cell(scale.start), bar - 1)
        return String(repeating: " ", count: left)
            + StackedBar.text(shares.map { ($0.mark, $0.duration) }, cells: bar - left)
    }
}

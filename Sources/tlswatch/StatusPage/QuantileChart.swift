import Glibc
import HandshakeProbe
import Handshakes

/// The quantiles over the window on a logarithmic scale, and beneath them the completed handshakes of each second.
///
/// The drawings stretch with the page while text and line widths keep their size: the plot is an SVG of its own
/// coordinates inside one in pixels.
struct QuantileChart {
    private static let (top, height, barsTop, barsHeight) = (8, 132, 154, 34)

    private let role: Role
    private let window: UInt64
    private let columns: [StatusSnapshot.Point]
    /// Seconds in a column.
    private let step: UInt64
    /// Columns before observation began.
    private let unseen: Int
    private let scale: LogScale?

    init(figures: StatusSnapshot.Figures, window: UInt64, uptime: UInt64) {
        role = figures.role
        self.window = window
        step = StatusSnapshot.pointSeconds(window: window)
        let whole = Int(clamping: max(1, window / step))
        let points = figures.points.suffix(whole)
        // The newest stands at the right edge, however few there are yet.
        let missing = whole - points.count
        columns = Array(repeating: .init(completed: 0, p50: nil, p90: nil, p99: nil), count: missing) + points
        // The column now running counts too.
        unseen = max(missing, whole - Int(clamping: min(uptime, window) / step) - 1)
        let values = columns.flatMap { [$0.p50, $0.p90, $0.p99].compactMap { $0 } }
        scale = values.min().flatMap { low in values.max().map { LogScale(from: low, to: $0) } }
    }

    var html: HTML {
        let most = columns.map(\.completed).max() ?? 0
        let total = Self.barsTop + Self.barsHeight
        var html: HTML = "<div class=\"chart\"><svg class=\"axis\" height=\"\(total + 20)\" aria-hidden=\"true\">"
        for tick in scale?.ticks ?? [] {
            html += "<text x=\"100%\" y=\"\(place: pixel(tick) + 4)\">\(DisplayText.roundDuration(tick))</text>"
        }
        if most > 0 {
            html += """
                <text x="100%" y="\(Self.barsTop + 9)">\(DisplayText.rate(most, seconds: step))/s</text>
                """
        }
        html += "</svg><svg class=\"plot\" height=\"\(total + 20)\" role=\"img\" aria-label=\"\(summary)\">"
        for tick in scale?.ticks ?? [] {
            let y = pixel(tick)
            html += "<line class=\"grid\" x2=\"100%\" y1=\"\(place: y)\" y2=\"\(place: y)\"/>"
        }
        html += "<line class=\"base\" x2=\"100%\" y1=\"\(total)\" y2=\"\(total)\"/>"
        if unseen > 0 { html += before(total) }
        html += lines + bars(most)
        html += """
            <text class="from" y="\(total + 15)">\(DisplayText.span(window)) ago</text>\
            <text class="to" x="100%" y="\(total + 15)">now</text></svg></div>
            """
        return html
    }

    private var summary: String {
        "\(role.rawValue): P50, P90 and P99 of the handshake duration over the last \(DisplayText.span(window)), "
            + "logarithmic, with completed handshakes per second below"
    }

    private func before(_ total: Int) -> HTML {
        let share = Double(unseen) / Double(columns.count) * 100
        let label: HTML = share > 30 ? "<text class=\"from\" x=\"6\" y=\"22\">before the start</text>" : ""
        return """
            <rect class="unseen" width="\(place: share)%" height="\(total)"><title>before tlswatch started</title></rect>\
            \(label)
            """
    }

    private var lines: HTML {
        guard scale != nil else {
            return "<text class=\"middle\" x=\"50%\" y=\"80\">nothing completed in this window</text>"
        }
        return """
            <svg y="\(Self.top)" width="100%" height="\(Self.height)" viewBox="0 0 \(columns.count) 100" \
            preserveAspectRatio="none"><path class="area" d="\(area)"/>\
            <path class="p50" d="\(line(\.p50))"/><path class="p90" d="\(line(\.p90))"/>\
            <path class="p99" d="\(line(\.p99))"/></svg>
            """
    }

    /// Broken where nothing is known; a lone point shows as a dot by its round cap.
    private func line(_ value: KeyPath<StatusSnapshot.Point, UInt64?>) -> HTML {
        var path: HTML = ""
        var drawing = false
        for (index, column) in columns.enumerated() {
            guard let value = column[keyPath: value] else {
                drawing = false
                continue
            }
            path += "\(drawing ? "L" : "M")\(index).5 \(tenths: percent(value))"
            if !drawing { path += "h0" }
            drawing = true
        }
        return path
    }

    /// From P50 up to P99.
    private var area: HTML {
        var path: HTML = ""
        for run in columns.indices.split(whereSeparator: { columns[$0].p50 == nil || columns[$0].p99 == nil }) {
            var first = true
            for index in run {
                path += "\(first ? "M" : "L")\(index).5 \(tenths: percent(columns[index].p99 ?? 0))"
                first = false
            }
            for index in run.reversed() { path += "L\(index).5 \(tenths: percent(columns[index].p50 ?? 0))" }
            path += "z"
        }
        return path
    }

    private func bars(_ most: UInt64) -> HTML {
        guard most > 0 else { return "" }
        var whole: HTML = ""
        var running: HTML = ""
        for (index, column) in columns.enumerated() where column.completed > 0 {
            let bar: HTML = "M\(index).12 100V\(tenths: 100 - Double(column.completed) / Double(most) * 100)h.76V100z"
            if index == columns.count - 1 { running = bar } else { whole += bar }
        }
        return """
            <svg y="\(Self.barsTop)" width="100%" height="\(Self.barsHeight)" viewBox="0 0 \(columns.count) 100" \
            preserveAspectRatio="none"><path class="bars" d="\(whole)"/><path class="bars running" d="\(running)"/></svg>
            """
    }

    /// From the top, in hundredths of the plot.
    private func percent(_ value: UInt64) -> Double { 100 - (scale?.fraction(value) ?? 0) * 100 }

    private func pixel(_ value: UInt64) -> Double {
        Double(Self.top) + percent(value) / 100 * Double(Self.height)
    }
}

/// A logarithmic scale that begins and ends at 1, 2 or 5 of a power of ten.
struct LogScale {
    let ticks: [UInt64]
    private let low: Double
    private let high: Double

    init(from least: UInt64, to most: UInt64) {
        var steps: [UInt64] = [1]
        // Up to 10^18 ns; what is longer lies at the edge.
        while let last = steps.last, last < most, last < 1_000_000_000_000_000_000 {
            steps.append(Self.next(after: last))
        }
        let begin = max(0, (steps.firstIndex { $0 > least } ?? steps.count) - 1)
        var span = Array(steps[begin...])
        if span.count < 2 { span.append(Self.next(after: span[0])) }
        low = log(Double(span[0]))
        high = log(Double(span[span.count - 1]))
        let decades = span.filter { String($0).hasPrefix("1") }
        ticks = span.count <= 6 ? span : decades.count >= 2 ? decades : [span[0], span[span.count - 1]]
    }

    /// 1, 2, 5, 10, 20 …
    static func next(after step: UInt64) -> UInt64 {
        String(step).hasPrefix("2") ? step / 2 * 5 : step * 2
    }

    /// 0 at the low end, 1 at the high end.
    func fraction(_ value: UInt64) -> Double {
        min(1, max(0, (log(Double(max(1, value))) - low) / (high - low)))
    }
}

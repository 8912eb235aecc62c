import ArgumentParser
import Glibc
import HandshakeProbe
import Handshakes
import Kernel
import Synchronization

struct TopCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "top",
        abstract: "Show the last sessions live, one row for each server name, process or peer.",
        discussion: """
            Keys: p, r and f sort by P99, rate and failures; b goes to the next of the usual fields; q ends. With a file, \
            prints one table and exits; no terminal is needed.

            EXAMPLES
              tlswatch top
              tlswatch top --by remote --sort failed
              tlswatch top handshakes.tlswatch --by comm
              tlswatch top handshakes.tlswatch --window 5m
            """)

    @Argument(help: "A recording to show instead of what happens now, or - for standard input.", completion: .file())
    var file: String?

    @OptionGroup var observation: ObservationOptions

    @Option(
        help: ArgumentHelp("A field of the JSON output, or remote_net or local_port.", valueName: "field"),
        completion: .list(HandshakeKey.names))
    var by = "sni"

    @Option(help: "p99, rate or failed.")
    var sort = TopTable.Order.p99

    @OptionGroup var condition: ConditionOption

    @Option(
        help: ArgumentHelp(
            "How far back the rows reach: from now, or from the end of the recording. [default: 60s; the whole recording]",
            valueName: "duration"))
    var window: DurationArgument?

    private static let standardWindow = DurationArgument.seconds(60)

    /// What the key b goes through.
    private static let usual = ["sni", "comm", "remote", "remote_net", "reason", "cause", "stack"]

    func validate() throws {
        let keys = try HandshakeKey.list(by)
        guard keys.count == 1 else { throw ValidationError("--by accepts one field here") }
        if file != nil, let flag = observation.flagOfObserving {
            let instead = ["--pid": ": use --where 'pid = …'", "--library": ": use --where 'library = …'"][flag] ?? ""
            throw ValidationError("\(flag) is for observing, and has no meaning for a recording\(instead)")
        }
    }

    func run() throws {
        try reporting {
            ignoreClosedPipes()
            if let file { try show(recording: file) } else { try live() }
        }
    }

    private static func count(_ sessions: UInt64) -> String { DisplayText.count(sessions, "session", "sessions") }

    // MARK: a recording

    private func show(recording path: String) throws {
        let reader = try RecordingReader(path: path)
        let filter = condition.filter
        var groups = HandshakeGroups(by: try HandshakeKey.list(by))
        var (first, last): (UInt64, UInt64) = (.max, 0)
        var kept = window.map { LastSessions(window: $0.nanoseconds) }
        let result = Replay.run(reader, timeout: observation.handshakeTimeoutNanoseconds) {
            (handshakes: [Handshake]) throws(Never) in
            for handshake in handshakes {
                // The time is the recording's, whatever is selected of it.
                (first, last) = (min(first, handshake.start), max(last, handshake.end))
                guard filter?.passes(handshake) ?? true else { continue }
                if kept == nil { groups.add(handshake) } else { kept?.add([handshake]) }
            }
            kept?.advance(to: last)
            return true
        }
        var length = last > first ? last - first : 1_000_000_000
        if let kept, let window {
            for handshake in kept.all { groups.add(handshake) }
            length = min(length, window.nanoseconds, last &- min(last, kept.wholeSince))
        }
        let seconds = Double(max(1, length)) / 1e9
        let rows = groups.rows()
        let status =
            "\(PeerText.clean(RecordingReader.name(of: path))): \(Self.count(rows.reduce(0) { $0 + $1.sessions })) in \(DisplayText.span(UInt64(seconds.rounded(.up))))"
            .replacing("\u{a0}", with: " ")
        let output = try OutputFile(path: nil)
        let table = TopTable(
            key: groups.keys[0], order: sort, seconds: seconds, columns: output.columns ?? TableFormat.standardWidth,
            lines: rows.count + 3, colour: output.takesColour)
        try output.write(table.screen(rows, status: status, help: "").joined(separator: "\n") + "\n")
        if let cut = result.cut { throw cut }
    }

    // MARK: live

    /// What the keys have chosen.
    private struct View {
        var by: String
        var order: TopTable.Order
    }

    private func live() throws {
        guard isatty(0) == 1, isatty(1) == 1 else {
            throw CommandFailure(.usage, "top needs a terminal; use 'tlswatch capture --by \(by)' without one")
        }
        let inbox = CaptureInbox()
        try Interruptions.take { inbox.interrupt() }
        let engine = try Engine(options: try observation.engineOptions())
        defer { engine.stop() }
        try engine.start { inbox.add($0) }
        guard let terminal = RawTerminal() else { throw CommandFailure(.system, "cannot set up the terminal") }
        // Ctrl-C ends the loop; a second one too, which would leave the terminal as it is.
        defer { terminal.restore() }
        inbox.beforeExit { terminal.restore() }
        var view = View(by: by, order: sort)
        let window = (window ?? Self.standardWindow).nanoseconds
        var last = LastSessions(window: window)
        let began = monotonicNow()
        let filter = condition.filter
        var drawn: UInt64 = 0
        var size: TerminalSize?
        while inbox.interruptions == 0 {
            let now = monotonicNow()
            last.add(inbox.take().filter { filter?.passes($0) ?? true })
            last.advance(to: now)
            // Once a second, and at once after a key and a resize.
            let current = TerminalSize.of(1) ?? TerminalSize(columns: 80, rows: 24)
            if now &- drawn >= 1_000_000_000 || current != size {
                (drawn, size) = (now, current)
                let since = min(now, max(began, last.wholeSince))
                draw(
                    terminal, view, last, current, seconds: Double(min(now - since, window)) / 1e9,
                    engine.snapshot)
            }
            guard let key = terminal.key(within: 100) else { continue }
            if key == "q" { break }
            press(key, &view)
            drawn = 0
        }
    }

    private func press(_ key: Character, _ view: inout View) {
        if let order = TopTable.Order.allCases.first(where: { $0.key == key }) { view.order = order }
        if key == "b" {
            let place = Self.usual.firstIndex(of: view.by).map { $0 + 1 } ?? 0
            view.by = Self.usual[place % Self.usual.count]
        }
    }

    private func draw(
        _ terminal: RawTerminal, _ view: View, _ last: LastSessions, _ size: TerminalSize, seconds: Double,
        _ snapshot: EngineSnapshot?
    ) {
        guard let key = HandshakeKey.named(view.by) else { return }
        var groups = HandshakeGroups(by: [key])
        for handshake in last.all { groups.add(handshake) }
        let lost = snapshot.map { $0.lost + $0.rejected } ?? 0
        let incomplete = lost > 0 ? "  INCOMPLETE: \(lost) events lost" : ""
        let status =
            "tlswatch top: \(Self.count(UInt64(last.all.count))) in \(DisplayText.span(UInt64(seconds.rounded(.up)))), "
            + "\(snapshot?.inFlight ?? 0) in flight\(incomplete)"
        let table = TopTable(
            key: key, order: view.order, seconds: seconds, columns: size.columns, lines: size.rows,
            colour: environment("NO_COLOR") == nil)
        terminal.draw(
            table.screen(
                groups.rows(), status: status.replacing("\u{a0}", with: " "),
                help: "by \(view.by) (b), sorted by \(view.order.rawValue) (p: P99, r: rate, f: failed), q: quit"))
    }
}

extension TopTable.Order: ExpressibleByArgument {}

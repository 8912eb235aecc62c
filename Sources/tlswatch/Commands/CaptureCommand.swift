import ArgumentParser
import Dispatch
import Glibc
import HandshakeProbe
import Handshakes
import Kernel
import Synchronization

struct CaptureCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "capture",
        abstract: "Capture handshakes for a duration, a count, or the lifetime of a command.",
        discussion: """
            Prints the line "ready" to standard error once every probe is attached. Ctrl-C ends the capture with a summary.

            EXAMPLES
              tlswatch capture --duration 10s
              tlswatch capture --pid 4242 --format json --output sessions.json
              tlswatch capture --where 'outcome != completed or duration_ns > 50ms'
              tlswatch capture --duration 1m --by sni,cause
              tlswatch capture -- curl -s https://localhost/
              tlswatch capture --user www-data -- php script.php
            """)

    @OptionGroup var observation: ObservationOptions

    @Option(help: ArgumentHelp("Stop after this time: 250ms, 10s, 5m.", valueName: "duration"))
    var duration: DurationArgument?

    @Option(help: ArgumentHelp("Stop after this many sessions that meet --where.", valueName: "number"))
    var count: UInt64?

    @OptionGroup var selection: SelectionOptions

    @Option(
        help: """
            table, json (one object per line), summary, waterfall (one session in a few lines) or trace (for \
            ui.perfetto.dev and chrome://tracing). [default: table on a terminal, else json; with --by, summary]
            """)
    var format: OutputFormat?

    @Option(help: ArgumentHelp("Write the sessions to this file.", valueName: "file"))
    var output: String?

    @Option(help: ArgumentHelp("Record the raw event stream, for 'tlswatch replay'.", valueName: "file"))
    var record: String?

    @Option(
        help: ArgumentHelp(
            "Run the command as this user, a name or a number, with the user's groups and no capabilities. [default: the user "
                + "who called sudo, else the same as tlswatch]", valueName: "user"))
    var user: String?

    @Argument(parsing: .postTerminator, help: "Start this command, observe it and its children, and stop when it ends.")
    var command: [String] = []

    func validate() throws {
        if count == 0 { throw ValidationError("--count must be above zero") }
        if !command.isEmpty, !observation.pid.isEmpty {
            throw ValidationError("--pid cannot be combined with a command")
        }
        if user != nil, command.isEmpty { throw ValidationError("--user requires a command: -- COMMAND") }
        try selection.validate(format)
    }

    /// Whom the command runs as; `nil` for this process's own user.
    private func account() throws(CommandFailure) -> Account? {
        guard let user else { return Account.sudo() }
        let account = try Account(user)
        guard geteuid() == 0 else {
            throw CommandFailure(.privilege, "only root can run a command as another user (--user \(account.name))")
        }
        return account
    }

    func run() throws {
        try reporting { try capture() }
    }

    private func capture() throws {
        ignoreClosedPipes()
        let inbox = CaptureInbox()
        // Before there are other threads; what comes while the probes are attached ends the capture after that.
        try Interruptions.take { inbox.interrupt() }
        var options = try observation.engineOptions()
        options.recording = record
        options.notesSightings = true
        var executable: String?
        var account: Account?
        if let name = command.first {
            account = try self.account()
            guard let found = CommandFiles.executable(name) else {
                throw CommandFailure(
                    .usage, name.contains("/") ? "no executable file \(name)" : "no command \(name) in PATH")
            }
            executable = found
            options.observe(command: found)
        }
        let file = try OutputFile(path: output)
        let engine = try Engine(options: options)
        defer { engine.stop() }
        try engine.start { inbox.add($0) }
        tell("ready")
        if let duration {
            let end = monotonicNow() &+ duration.nanoseconds
            try WorkerThread.start("tlswatch-timer", in: DispatchGroup()) {
                // On the kernel's clock, whatever is preloaded makes of others; in steps, for the same reason.
                while case let now = monotonicNow(), now < end {
                    _ = poll(nil, 0, Int32(min(1_000, (end - now + 999_999) / 1_000_000)))
                }
                inbox.end()
            }
        }
        var child: ChildCommand?
        if let executable {
            child = try ChildCommand(path: executable, arguments: command, as: account)
        }
        if let child {
            let waiter = DispatchQueue(label: "tlswatch.child")
            waiter.async { inbox.childEnded(child.wait()) }
        }
        var printer = SessionPrinter(selection.selection(format, for: file), file: file, limit: count)
        var failure = printAll(&printer, from: inbox)
        if let failure { tell("tlswatch: \(failure.message)") }
        engine.stop()
        let rest = inbox.take()
        if failure == nil {
            do throws(CommandFailure) {
                try printer.print(rest)
            } catch {
                failure = error
                tell("tlswatch: \(error.message)")
            }
        } else {
            printer.count(rest)
        }
        if let child, inbox.childStatus == nil {
            if failure != nil || printer.isDone && count == nil {
                // Nobody takes what it tells, but what was started is not left behind unattended.
                inbox.awaitChild()
            } else if inbox.interruptions > 0 {
                // Whoever ends a capture ends its command: at a terminal both got the signal.
                kill(child.pid, SIGTERM)
                inbox.awaitChild()
            } else {
                tell("the command (process \(child.pid)) keeps running")
            }
        }
        let snapshot = engine.snapshot
        try printer.finish(
            inFlight: snapshot?.inFlight ?? 0, lost: snapshot?.lost ?? 0, unprinted: inbox.refused, failure: failure)
        let isWholeHost = options.processes.isEmpty
        let sightings = engine.catalog.sightings(
            observed: isWholeHost ? nil : printer.processes, seen: printer.processes)
        let lines = UnobservedReport.lines(
            sightings.list, omitted: sightings.omitted, byWire: options.wire == .all)
        for line in lines { tell(line) }
        if let failure { throw ExitCode(failure.status.rawValue) }
        if let failure = engine.recordingFailure { throw CommandFailure(.system, failure) }
        if let status = inbox.childStatus, status != 0 { throw ExitCode(status) }
        if inbox.interruptions > 1 { throw ExitCode(CommandFailure.Status.interrupted.rawValue) }
    }

    /// Until it is time to end. What could not be written ends a capture early; it is told then, and counted.
    private func printAll(_ printer: inout SessionPrinter, from inbox: CaptureInbox) -> CommandFailure? {
        do throws(CommandFailure) {
            try printer.begin()
            while true {
                let batch = inbox.wait()
                try printer.print(batch.handshakes)
                if batch.ended || printer.isDone { return nil }
            }
        } catch {
            return error
        }
    }
}

/// Where the ring's thread leaves sessions and others leave reasons to end; the main thread waits on it. Bounded: whoever
/// reads the output may stop reading.
final class CaptureInbox: Sendable {
    /// Sessions that wait to be printed, at most: some 100 MB.
    private static let capacity = 100_000

    private struct State {
        var handshakes: [Handshake] = []
        var refused: UInt64 = 0
        var ended = false
        var interruptions = 0
        var childStatus: Int32?
        var beforeExit: (@Sendable () -> Void)?
    }

    private let state = Mutex(State())
    private let wake = DispatchSemaphore(value: 0)

    func add(_ handshakes: [Handshake]) {
        state.withLock { state in
            let room = max(0, Self.capacity - state.handshakes.count)
            state.handshakes += handshakes.prefix(room)
            state.refused += UInt64(max(0, handshakes.count - room))
        }
        wake.signal()
    }

    /// Sessions for which there was no room.
    var refused: UInt64 { state.withLock { $0.refused } }

    func end() {
        state.withLock { $0.ended = true }
        wake.signal()
    }

    func childEnded(_ status: Int32) {
        state.withLock {
            $0.childStatus = status
            $0.ended = true
        }
        wake.signal()
    }

    /// What the second interruption does before it ends the process.
    func beforeExit(_ body: @escaping @Sendable () -> Void) { state.withLock { $0.beforeExit = body } }

    /// The first asks for a clean end; the second does not wait for it.
    func interrupt() {
        let (count, beforeExit) = state.withLock { state in
            state.interruptions += 1
            state.ended = true
            return (state.interruptions, state.beforeExit)
        }
        if count > 1 { beforeExit?() }
        if count > 1 { _exit(CommandFailure.Status.interrupted.rawValue) }
        wake.signal()
    }

    /// Waits for the command's end.
    func awaitChild() {
        while childStatus == nil { wake.wait() }
    }

    var childStatus: Int32? { state.withLock { $0.childStatus } }
    var interruptions: Int { state.withLock { $0.interruptions } }

    func wait() -> (handshakes: [Handshake], ended: Bool) {
        wake.wait()
        return state.withLock { state in
            defer { state.handshakes = [] }
            return (state.handshakes, state.ended)
        }
    }

    func take() -> [Handshake] {
        state.withLock { state in
            defer { state.handshakes = [] }
            return state.handshakes
        }
    }
}

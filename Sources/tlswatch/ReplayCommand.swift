import ArgumentParser
import HandshakeProbe

struct ReplayCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay",
        abstract: "Print the sessions of a recorded event stream: no privilege, no kernel.",
        discussion: """
            EXAMPLES
              tlswatch replay handshakes.tlswatch
              tlswatch replay handshakes.tlswatch --format json
            """)

    @Argument(help: "A file that 'tlswatch capture --record' wrote.")
    var file: String

    @Option(help: "table, json or summary. [default: table on a terminal, else json]")
    var format: OutputFormat?

    @Option(help: ArgumentHelp("Write the sessions to this file.", valueName: "file"))
    var output: String?

    @Option(help: ArgumentHelp("Idle time after which a handshake counts as timed out.", valueName: "duration"))
    var handshakeTimeout: DurationArgument = .seconds(60)

    func run() throws {
        try reporting {
            let signals = SignalSources([]) {}
            defer { signals.cancel() }
            let reader = try RecordingReader(path: file)
            let result = try Replay.run(reader, timeout: handshakeTimeout.nanoseconds, version: Version.current)
            let destination = try OutputFile(path: output)
            var printer = SessionPrinter(
                format: format ?? (destination.isTerminal ? .table : .json), file: destination, limit: nil)
            try printer.begin()
            try printer.print(result.handshakes)
            try printer.finish(inFlight: result.inFlight, lost: result.rejected)
        }
    }
}

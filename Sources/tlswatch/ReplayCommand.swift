import ArgumentParser
import HandshakeProbe
import Logging
import ServiceLifecycle

struct ReplayCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay",
        abstract: "Print the sessions of a recorded event stream, or serve them: no privilege, no kernel.",
        discussion: """
            With --listen it is a daemon to whom the recording happens again, beginning now and at its own pace: \
            /metrics, /healthz and /readyz, until SIGINT or SIGTERM.

            EXAMPLES
              tlswatch replay handshakes.tlswatch
              tlswatch replay handshakes.tlswatch --format json
              tlswatch replay handshakes.tlswatch --listen 127.0.0.1:9899
            """)

    @Argument(help: "A file that 'tlswatch capture --record' wrote.")
    var file: String

    @Option(help: "table, json or summary. [default: table on a terminal, else json]")
    var format: OutputFormat?

    @Option(help: ArgumentHelp("Write the sessions to this file.", valueName: "file"))
    var output: String?

    @Option(help: ArgumentHelp("Idle time after which a handshake counts as timed out.", valueName: "duration"))
    var handshakeTimeout: DurationArgument = .seconds(60)

    @Option(help: ArgumentHelp("Serve on this address instead of printing.", valueName: "host:port"))
    var listen: ListenAddress?

    @OptionGroup(title: "With --listen") var metrics: MetricsArguments

    func validate() throws {
        guard listen == nil || (format == nil && output == nil) else {
            throw ValidationError("--listen serves; --format and --output are for printing")
        }
        guard listen != nil || metrics.texts.isEmpty else {
            throw ValidationError("--window, --label, --exemplars and --max-series need --listen")
        }
    }

    func run() async throws {
        guard let listen else { return try reporting(print) }
        do {
            try await serve(listen)
        } catch {
            throw report(error)
        }
    }

    private func print() throws {
        ignoreClosedPipes()
        let reader = try RecordingReader(path: file)
        let result = Replay.run(reader, timeout: handshakeTimeout.nanoseconds, version: Version.current)
        let destination = try OutputFile(path: output)
        var printer = SessionPrinter(
            format: format ?? (destination.isTerminal ? .table : .json), file: destination, limit: nil)
        try printer.begin()
        try printer.print(result.handshakes)
        try printer.finish(inFlight: result.inFlight, lost: result.rejected)
        if let cut = result.cut { throw cut }
    }

    private func serve(_ address: ListenAddress) async throws {
        var options = EngineOptions(version: Version.current)
        options.handshakeTimeout = handshakeTimeout.nanoseconds
        options.metrics = RunSettings(metrics.texts).engine.metrics
        let replay = try PacedReplay(RecordingReader(path: file), options: options)
        try address.check()
        LoggingSystem.bootstrap { StreamLogHandler.standardError(label: $0) }
        let logger = Logger(label: "tlswatch")
        let server = MetricsServer(
            source: MetricsSource(snapshot: { replay.snapshot }, libraries: { [] }), address: address,
            configuration: try WebConfigurationSource(path: nil, logger: logger), logger: logger)
        let group = ServiceGroup(
            configuration: .init(
                services: [.init(service: ReplayService(replay: replay)), .init(service: server)],
                gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
        try await group.run()
    }
}

/// Replays for as long as the service group runs.
private struct ReplayService: Service {
    let replay: PacedReplay

    func run() async throws {
        // Signals end it cleanly from here on.
        try replay.start()
        tell("ready")
        try? await gracefulShutdown()
        replay.stop()
    }
}

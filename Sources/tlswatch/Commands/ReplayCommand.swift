import Handshakes
import UnixSignals
import ArgumentParser
import HandshakeProbe
import Logging
import ServiceLifecycle

struct ReplayCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay",
        abstract: "Print or serve the sessions of a recorded event stream. Needs no privileges.",
        discussion: """
            With --listen, replays the recording in real time and serves it like `run`: /metrics, /sessions, /healthz, \
            /readyz and the status page, until SIGINT or SIGTERM.

            EXAMPLES
              tlswatch replay handshakes.tlswatch
              tlswatch replay handshakes.tlswatch --format json
              tlswatch replay handshakes.tlswatch --where 'role = server and has reason' --by sni,reason
              tlswatch replay handshakes.tlswatch --format trace --output trace.json
              tlswatch replay handshakes.tlswatch --listen 127.0.0.1:9899
            """)

    @Argument(help: "A file written by 'tlswatch capture --record', or - for standard input.")
    var file: String

    @OptionGroup var selection: SelectionOptions

    @Option(
        help:
            """
            table, json, summary, waterfall or trace (for ui.perfetto.dev and chrome://tracing). [default: table on a \
            terminal, else json; with --by, summary]
            """)
    var format: OutputFormat?

    @Option(help: ArgumentHelp("Write the sessions to this file.", valueName: "file"))
    var output: String?

    @Option(help: ArgumentHelp("Idle time after which a handshake counts as timed out.", valueName: "duration"))
    var handshakeTimeout: DurationArgument = .seconds(60)

    @Option(
        name: [.long, .customLong("web.listen-address")],
        help: ArgumentHelp("Serve on this address instead of printing. Repeatable.", valueName: "host:port"))
    var listen: [ListenAddress] = []

    @OptionGroup(title: "With --listen") var metrics: MetricsArguments

    func validate() throws {
        guard listen.isEmpty || (format == nil && output == nil && selection.isEmpty) else {
            throw ValidationError("--listen cannot be combined with --format, --output, --where or --by")
        }
        try selection.validate(format)
        guard listen.isEmpty || ListenAddress.canBeTogether(listen) else {
            throw ValidationError("--listen accepts each address once, and \(ListenAddress.most) at most")
        }
        guard !listen.isEmpty || metrics.texts.isEmpty else {
            throw ValidationError("--window, --label, --exemplars, --slow and --max-series require --listen")
        }
    }

    func run() async throws {
        guard !listen.isEmpty else { return try reporting(print) }
        do {
            try await serve(on: listen)
        } catch {
            throw report(error)
        }
    }

    private func print() throws {
        ignoreClosedPipes()
        let reader = try RecordingReader(path: file)
        let destination = try OutputFile(path: output)
        var printer = SessionPrinter(selection.selection(format, for: destination), file: destination, limit: nil)
        try printer.begin()
        let result = try Replay.run(reader, timeout: handshakeTimeout.nanoseconds) {
            handshakes throws(CommandFailure) in
            try printer.print(handshakes)
            return !printer.isDone
        }
        try printer.finish(inFlight: result.inFlight, lost: result.rejected)
        if let cut = result.cut { throw cut }
    }

    private func serve(on addresses: [ListenAddress]) async throws {
        var options = EngineOptions(version: Version.current, revision: Version.revision)
        options.handshakeTimeout = handshakeTimeout.nanoseconds
        options.metrics = RunSettings(metrics.texts).engine.metrics
        let replay = try PacedReplay(RecordingReader(path: file), options: options)
        try ListenAddress.check(addresses)
        SharedLogFormat(.text).bootstrap()
        let logger = Logger(label: "tlswatch")
        let web = try WebConfigurationSource(path: nil, logger: logger)
        let server = MetricsServer(
            source: MetricsSource(snapshot: { replay.snapshot }, libraries: { [] }), addresses: addresses,
            configuration: web, logger: logger,
            onListening: { address in
                logger.info("listening", metadata: ["address": "\(address.text)"])
                if let warning = web.current().exposure(on: address) { logger.warning("\(warning)") }
            })
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

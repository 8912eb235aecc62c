import ArgumentParser
import HandshakeProbe
import Logging
import ServiceLifecycle

struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "The daemon: measure every TLS handshake of the host and serve /metrics.",
        discussion: """
            Serves /metrics (Prometheus), /healthz and /readyz. SIGINT and SIGTERM end it cleanly.

            EXAMPLES
              tlswatch run
              tlswatch run --listen 127.0.0.1:9899 --window 5m
            """)

    @OptionGroup var observation: ObservationOptions

    @Option(help: ArgumentHelp("Address to serve on: loopback unless told otherwise.", valueName: "host:port"))
    var listen: ListenAddress = ListenAddress.standard

    @Option(help: ArgumentHelp("Length of the sliding windows, 1s to 1h.", valueName: "duration"))
    var window: DurationArgument = .seconds(60)

    func validate() throws {
        guard (1_000_000_000...3_600_000_000_000).contains(window.nanoseconds) else {
            throw ValidationError("--window takes 1s to 1h")
        }
    }

    func run() async throws {
        LoggingSystem.bootstrap { StreamLogHandler.standardError(label: $0) }
        let logger = Logger(label: "tlswatch")
        do {
            var options = try observation.engineOptions()
            options.windowSeconds = window.nanoseconds / 1_000_000_000
            try await serve(options, logger)
        } catch {
            throw report(error)
        }
    }

    private func serve(_ options: EngineOptions, _ logger: Logger) async throws {
        try listen.check()
        let engine = try Engine(options: options)
        try engine.start { _ in }
        let attached = engine.catalog.libraries.filter { $0.state == .attached }
        logger.info("attached", metadata: ["libraries": "\(attached.count)", "probes": "\(engine.rung.rawValue)"])
        let server = MetricsServer(engine: engine, address: listen, logger: logger)
        let group = ServiceGroup(
            configuration: .init(
                services: [.init(service: EngineService(engine: engine)), .init(service: server.application())],
                gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
        tell("ready")
        try await group.run()
    }
}

/// Keeps the engine for as long as the service group runs, and stops it last.
struct EngineService: Service {
    let engine: Engine

    func run() async throws {
        try? await gracefulShutdown()
        engine.stop()
    }
}

import ArgumentParser
import Glibc
import HandshakeProbe
import Kernel
import Logging
import ServiceLifecycle
import UnixSignals

struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run the daemon: measure every TLS handshake of the host and serve /metrics.",
        discussion: """
            Serves /metrics (Prometheus), /sessions (the last failed and slow ones, JSON), /healthz, /readyz and a status page \
            at /. SIGINT and SIGTERM end it cleanly.

            Each option except --pid can also be set in the file and in the environment. Flags override the environment, \
            which overrides the file. SIGHUP reloads the file. 'tlswatch check-config' shows the effective values.

            EXAMPLES
              tlswatch run
              tlswatch run --window 60s --window 15m --label sni:50
              tlswatch run --config tlswatch.yml
              TLSWATCH_RING_SIZE=32 tlswatch run
              tlswatch run --listen 0.0.0.0:9899 --web.config.file /etc/tlswatch/web.yml
            """)

    @Option(
        help: ArgumentHelp(
            "Settings file, in YAML. [default: \(SettingsFile.standardPath) if it exists]", valueName: "file"))
    var config: String?

    @OptionGroup var observation: ObservationOptions

    @Option(
        name: [.long, .customLong("web.listen-address")],
        help: Setting.listen.help("host:port"))
    var listen: [String] = []

    @Option(name: .customLong("web.telemetry-path"), help: Setting.telemetryPath.help("path"))
    var telemetryPath: String?

    @Option(name: .customLong("web.config.file"), help: Setting.webConfigurationFile.help("file"))
    var webConfigurationFile: String?

    @Option(
        name: [.long, .customLong("log.level")], help: Setting.logLevel.help(),
        completion: .list(LogLevel.allCases.map(\.rawValue)))
    var logLevel: String?

    @Option(
        name: [.long, .customLong("log.format")], help: Setting.logFormat.help(),
        completion: .list(LogFormat.allCases.map(\.rawValue)))
    var logFormat: String?

    @OptionGroup var metrics: MetricsArguments

    @OptionGroup var otlp: OTLPArguments

    private var own: SettingTexts {
        SettingTexts(
            (.listen, listen), (.telemetryPath, telemetryPath.texts),
            (.webConfigurationFile, webConfigurationFile.texts), (.logLevel, logLevel.texts),
            (.logFormat, logFormat.texts))
    }

    func validate() throws { try Setting.validate(flags: own) }

    func run() async throws { try await serve(start()) }

    /// What runs once every probe is attached.
    struct Started {
        let sources: SettingSources
        let resolved: ResolvedSettings
        let format: SharedLogFormat
        let logger: Logger
        let engine: Engine
        let otlp: OTLPExport?
    }

    /// Begins to observe. To be called while the process has one thread: those of the engine keep what observing needs,
    /// this one and all that come later have no capability (credentials(7): each thread has its own).
    func start() throws -> Started {
        // Until the signal is waited for; the settings are fresh.
        _ = signal(SIGHUP, SIG_IGN)
        // A log reader that goes away ends nothing.
        _ = signal(SIGPIPE, SIG_IGN)
        StandardDescriptors.raiseLimit()
        let flags = [observation.texts, metrics.texts, otlp.texts].reduce(own) { $0.merging($1) { $1 } }
        let sources = SettingSources(flags: flags, path: config)
        let format = SharedLogFormat(RunSettings(own).logFormat, RunSettings(own).logLevel)
        format.bootstrap()
        let logger = Logger(label: "tlswatch")
        do {
            let resolved = try sources.resolve()
            format.set(resolved.settings.logFormat, resolved.settings.logLevel)
            for notice in resolved.notices { logger.warning("\(notice)") }
            try ListenAddress.check(resolved.settings.listen)
            var options = try observation.engineOptions(resolved.settings)
            options.leastPrivilege = true
            options.defersObjectFree = true
            options.keepsRecent = true
            let otlp = try OTLPExport(resolved.settings)
            let engine = try Engine(options: options)
            do {
                let spans = otlp?.queue
                try engine.start { spans?.offer($0) }
                try Privileges.keepForServing()
                try Headroom.requireDescriptors(Headroom.serving, to: "serve")
            } catch {
                engine.stop()
                throw error
            }
            return Started(
                sources: sources, resolved: resolved, format: format, logger: logger, engine: engine, otlp: otlp)
        } catch {
            throw report(error) { logger.critical("\($0)") }
        }
    }

    /// Serves until a signal ends it.
    func serve(_ started: Started) async throws {
        do {
            try await services(started)
        } catch {
            started.engine.stop()
            throw report(error) { started.logger.critical("\($0)") }
        }
    }

    private func services(_ started: Started) async throws {
        let (engine, logger) = (started.engine, started.logger)
        let hangUps = await UnixSignalsSequence(trapping: .sighup)
        let settings = started.resolved.settings
        let web = try WebConfigurationSource(path: settings.webConfigurationFile, logger: logger)
        let attached = engine.catalog.libraries.filter { $0.state == .attached }
        logger.info(
            "attached",
            metadata: ["libraries": .stringConvertible(attached.count), "probe_type": "\(engine.rung.rawValue)"])
        if !engine.seesMappings {
            logger.warning(
                """
                mapping events are refused: programs are scanned when they start, and libraries loaded later are found by \
                frequent scans; see 'tlswatch doctor' for the reason
                """)
        }
        let reload = ReloadService(
            sources: started.sources, started: started.resolved, engine: engine, logFormat: started.format,
            logger: logger, signals: hangUps)
        let report = ServiceReport(engine: engine, logger: logger)
        var source = MetricsSource(engine)
        source.samples = { [outcome = reload.outcome, otlp = started.otlp] in
            outcome.samples + (otlp?.accounts.samples ?? [])
        }
        let server = MetricsServer(
            source: source, addresses: settings.listen, telemetryPath: settings.telemetryPath, configuration: web,
            logger: logger,
            onListening: { address in
                logger.info("listening", metadata: ["address": "\(address.text)"])
                if let warning = web.current().exposure(on: address) { logger.warning("\(warning)") }
            },
            onReady: {
                if started.format.value == .text { LogOutput.write("ready") }
                report.ready()
            })
        var services: [ServiceGroupConfiguration.ServiceConfiguration] = [
            .init(service: EngineService(engine: engine)), .init(service: server), .init(service: report),
            .init(service: ObservationLog(engine: engine, logger: logger)), .init(service: reload),
        ]
        // The first to begin is the last to end: it tells what the engine counted until then.
        if let otlp = started.otlp {
            services.insert(.init(service: otlp.service(source, server.accounts, logger)), at: 0)
        }
        let group = ServiceGroup(
            configuration: .init(
                services: services, gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
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

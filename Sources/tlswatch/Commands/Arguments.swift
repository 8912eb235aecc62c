import ArgumentParser
import HandshakeProbe
import Kernel

/// What `run` and `capture` share.
struct ObservationOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Observe only this process and its children. Repeatable.", valueName: "pid"))
    var pid: [UInt32] = []

    @Option(help: Setting.library.help("path"))
    var library: [String] = []

    @Option(help: Setting.phases.help(), completion: .list(["off", "on", "full"]))
    var phases: String?

    @Option(help: Setting.wire.help(), completion: .list(WireMode.allCases.map(\.rawValue)))
    var wire: String?

    @Option(help: Setting.probes.help(), completion: .list(ProbeRung.allCases.map(\.rawValue)))
    var probes: String?

    @Option(help: Setting.handshakeTimeout.help("duration"))
    var handshakeTimeout: String?

    @Option(help: Setting.ringSize.help("mib"))
    var ringSize: String?

    @Option(help: Setting.sweepInterval.help("duration"))
    var sweepInterval: String?

    @Option(help: Setting.maxSessions.help("count"))
    var maxSessions: String?

    @Option(help: Setting.maxLibraries.help("count"))
    var maxLibraries: String?

    /// As given or by default.
    var handshakeTimeoutNanoseconds: UInt64 { RunSettings(texts).engine.handshakeTimeout }

    /// Those that were given.
    var texts: SettingTexts {
        SettingTexts(
            (.library, library), (.phases, phases.texts), (.wire, wire.texts),
            (.probes, probes.texts),
            (.handshakeTimeout, handshakeTimeout.texts), (.ringSize, ringSize.texts),
            (.sweepInterval, sweepInterval.texts), (.maxSessions, maxSessions.texts),
            (.maxLibraries, maxLibraries.texts))
    }

    func validate() throws { try Setting.validate(flags: texts) }

    /// The first flag given that says what is observed, or how; `nil` where none was. The handshake timeout is of sessions.
    var flagOfObserving: String? {
        if !pid.isEmpty { return "--pid" }
        return Setting.all.first { $0.key != Setting.handshakeTimeout.key && texts[$0.key] != nil }?.flag
    }

    /// For a command that has flags only.
    func engineOptions() throws(CommandFailure) -> EngineOptions { try engineOptions(RunSettings(texts)) }

    func engineOptions(_ settings: RunSettings) throws(CommandFailure) -> EngineOptions {
        for process in pid where !processExists(process) {
            throw CommandFailure(.usage, "no process \(process)")
        }
        var options = settings.engine
        options.processes = pid
        if options.wire != .off, !options.libraries.isEmpty {
            throw CommandFailure(
                .usage, "--wire sees programs without a library, and --library selects some: use one of them")
        }
        return options
    }
}

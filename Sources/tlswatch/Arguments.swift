import ArgumentParser
import HandshakeProbe
import Kernel

/// A duration as people write it: `250ms`, `10s`, `5m`.
struct DurationArgument: ExpressibleByArgument, Equatable {
    /// Nanoseconds, above zero.
    var nanoseconds: UInt64
    private var text: String

    init?(argument: String) {
        let units: [(String, UInt64)] = [
            ("ms", 1_000_000), ("us", 1_000), ("s", 1_000_000_000), ("m", 60_000_000_000), ("h", 3_600_000_000_000),
        ]
        guard let (suffix, unit) = units.first(where: { argument.hasSuffix($0.0) }),
            let value = Double(argument.dropLast(suffix.count)), value > 0, value.isFinite,
            value * Double(unit) <= Double(UInt64.max / 4)
        else { return nil }
        nanoseconds = UInt64(value * Double(unit))
        guard nanoseconds > 0 else { return nil }
        text = argument
    }

    private init(nanoseconds: UInt64, text: String) {
        self.nanoseconds = nanoseconds
        self.text = text
    }

    static func seconds(_ count: UInt64) -> DurationArgument {
        DurationArgument(nanoseconds: count * 1_000_000_000, text: "\(count)s")
    }

    var defaultValueDescription: String { text }
}

enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
    case table, json, summary
}

/// What `run` and `capture` share.
struct ObservationOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Observe only this process and its children. Repeatable.", valueName: "pid"))
    var pid: [UInt32] = []

    @Option(help: Setting.library.help("path"))
    var library: [String] = []

    @Option(help: Setting.phases.help(), completion: .list(["on", "off"]))
    var phases: String?

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

    /// Those that were given.
    var texts: SettingTexts {
        SettingTexts(
            (.library, library), (.phases, phases.texts), (.probes, probes.texts),
            (.handshakeTimeout, handshakeTimeout.texts), (.ringSize, ringSize.texts),
            (.sweepInterval, sweepInterval.texts), (.maxSessions, maxSessions.texts),
            (.maxLibraries, maxLibraries.texts))
    }

    func validate() throws { try Setting.validate(flags: texts) }

    /// For a command that has flags only.
    func engineOptions() throws(CommandFailure) -> EngineOptions { try engineOptions(RunSettings(texts)) }

    func engineOptions(_ settings: RunSettings) throws(CommandFailure) -> EngineOptions {
        for process in pid where !processExists(process) {
            throw CommandFailure(.usage, "no process \(process)")
        }
        var options = settings.engine
        options.processes = pid
        return options
    }
}

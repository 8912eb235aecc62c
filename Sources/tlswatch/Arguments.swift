import ArgumentParser
import HandshakeProbe

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

enum PhaseChoice: String, ExpressibleByArgument, CaseIterable {
    case on, off
}

extension ProbeRung: ExpressibleByArgument {}

/// What `run` and `capture` share.
struct ObservationOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Observe only this process and its children. May be given several times.", valueName: "pid"))
    var pid: [UInt32] = []

    @Option(
        help: ArgumentHelp(
            "Observe only this TLS library or binary. May be given several times.", valueName: "path"))
    var library: [String] = []

    @Option(
        help: "Probes inside the handshake: key exchange and ALPN times. Off halves the cost a handshake bears.")
    var phases: PhaseChoice = .on

    @Option(
        help: ArgumentHelp(
            "Force one way of probing instead of the best this kernel has.",
            discussion: "session (Linux 6.13), multi (6.6) or perf."))
    var probes: ProbeRung?

    @Option(help: ArgumentHelp("Idle time after which a handshake counts as timed out.", valueName: "duration"))
    var handshakeTimeout: DurationArgument = .seconds(60)

    @Option(
        help: ArgumentHelp(
            "Ring buffer, MiB: a power of two, 1 to 1024. Allocated once, in the kernel.", valueName: "mib"))
    var ringSize: UInt32 = 8

    func validate() throws {
        guard (1...1024).contains(ringSize), ringSize & (ringSize - 1) == 0 else {
            throw ValidationError("--ring-size takes a power of two from 1 to 1024 (MiB)")
        }
    }

    func engineOptions() throws(CommandFailure) -> EngineOptions {
        for process in pid where !processExists(process) {
            throw CommandFailure(.usage, "no process \(process)")
        }
        var options = EngineOptions(version: Version.current)
        options.rung = probes
        options.phases = phases == .on
        options.handshakeTimeout = handshakeTimeout.nanoseconds
        options.ringBytes = ringSize << 20
        options.processes = pid
        options.libraries = library
        return options
    }
}

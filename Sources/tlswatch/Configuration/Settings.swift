import HandshakeProbe

/// The one table of settings. Flags, environment, file, documentation and default file all follow it.
extension Setting {
    static let all: [Setting] = [
        listen, webConfigurationFile, logFormat, library, phases, probes, handshakeTimeout, ringSize, sweepInterval,
        maxSessions, maxLibraries, window, label, exemplars, maxSeries,
    ]

    static let listen = Setting(
        "listen", standard: ListenAddress.standard.defaultValueDescription,
        takes: "a host and a port, such as 127.0.0.1:9899 or [::1]:9899",
        meaning: "Address to serve on: loopback unless told otherwise.", at: \.listen
    ) { ListenAddress(argument: $0) }

    static let webConfigurationFile = Setting(
        "web-config-file", standard: nil, takes: "a path",
        meaning:
            "TLS, passwords and headers for HTTP, in the format of Prometheus's exporter-toolkit; what it holds is "
            + "read again when it changes.",
        at: \.webConfigurationFile
    ) { path in path.isEmpty ? nil : .some(path) }

    static let logFormat = Setting(
        "log-format", standard: "text", takes: names(LogFormat.allCases),
        meaning: "How to log on standard error: text, or one JSON object a line. Under systemd's journal, text carries "
            + "the priority instead of the time.",
        reloads: true, at: \.logFormat
    ) { LogFormat(rawValue: $0) }

    static let library = Setting(
        "library", .list, standard: [], takes: "a path",
        meaning: "Observe only this TLS library or binary."
    ) { paths, settings in
        settings.engine.libraries = paths
        return paths.allSatisfy { !$0.isEmpty }
    }

    static let phases = Setting(
        "phases", standard: "on", takes: "on or off",
        meaning: "Probes inside the handshake: key exchange and ALPN times.",
        cost: "Off halves the cost a handshake bears.", at: \.engine.phases
    ) { ["on": true, "off": false][$0] }

    static let probes = Setting(
        "probes", standard: nil, takes: names(ProbeRung.allCases),
        meaning: "Force one way of probing instead of the best this kernel has: session (Linux 6.13), multi (6.6) or "
            + "perf.",
        at: \.engine.rung
    ) { ProbeRung(rawValue: $0).map { .some($0) } }

    static let handshakeTimeout = Setting(
        "handshake-timeout", standard: "60s", takes: "a duration, such as 250ms, 10s or 5m",
        meaning: "Idle time after which a handshake counts as timed out.",
        cost: "A handshake that stalls keeps its place among the sessions for so long.", reloads: true,
        at: \.engine.handshakeTimeout
    ) { DurationArgument(argument: $0)?.nanoseconds }

    static let ringSize = Setting(
        "ring-size", standard: "8", takes: "a power of two from 1 to 1024 (MiB)",
        meaning: "The ring buffer between kernel and tlswatch.",
        cost: "As many MiB of kernel memory, allocated once at the start. A larger one rides out longer bursts.",
        at: \.engine.ringBytes
    ) { text in
        guard let size = UInt32(text), (1...1024).contains(size), size & (size - 1) == 0 else { return nil }
        return size << 20
    }

    static let sweepInterval = Setting(
        "sweep-interval", standard: "30s", takes: "a duration from 1s to 10m",
        meaning: "Time between two looks at all processes, behind the stream of what they map as they map it.",
        cost: "Each reads the memory maps of every process. No memory.", reloads: true, at: \.engine.sweepInterval
    ) { duration($0, 1_000_000_000...600_000_000_000) }

    static let maxSessions = Setting(
        "max-sessions", standard: "65536", takes: "a number from 1000 to 1000000",
        meaning: "Handshakes in flight that are followed at once; past it, a new one ends the one idle longest.",
        cost: SessionMemory.sentence, at: \.engine.maxSessions
    ) { number($0, 1_000...1_000_000) }

    static let maxLibraries = Setting(
        "max-libraries", standard: "\(LibraryLimit.most)", takes: "a number from 4 to \(LibraryLimit.most)",
        meaning: "TLS libraries and binaries that are probed at once; past it the one that has been without a process "
            + "longest is let go, and where all have one, further ones count as too_many_libraries.",
        cost: "About 20 kB each, and some 20 ms when it is found.", at: \.engine.maxLibraries
    ) { number($0, 4...LibraryLimit.most) }

    static let window = Setting(
        "window", .list, standard: ["60s"], takes: "durations of whole seconds from 1s to 1h, eight at most",
        meaning: "Length of a sliding window; the status page shows the first.",
        cost: "A busy window holds about 60 kB for each role and stack and minute."
    ) { texts, settings in
        let lengths = texts.compactMap { duration($0, 1_000_000_000...3_600_000_000_000) }
        guard lengths.count == texts.count, (1...8).contains(texts.count),
            lengths.allSatisfy({ $0 % 1_000_000_000 == 0 })
        else { return false }
        settings.engine.metrics.windows = []
        for window in lengths.map({ WindowLength(seconds: $0 / 1_000_000_000) })
        where !settings.engine.metrics.windows.contains(window) {
            settings.engine.metrics.windows.append(window)
        }
        return true
    }

    static let label = Setting(
        "label", .list, standard: [],
        takes: names(ExtraLabel.allCases)
            + ", each once, with :CAP behind it from 1 to \(ExtraLabelArgument.largestCap)"
            + " or none",
        meaning: "Add a label to the handshake counters, the duration histogram and the window gauges.",
        cost: "CAP is how many distinct values are told (\(ExtraLabel.standardCap) unless told otherwise); later ones "
            + "are 'other'. Each value multiplies the series."
    ) { texts, settings in
        let labels = texts.compactMap { ExtraLabelArgument(argument: $0)?.option }
        settings.engine.metrics.labels = labels
        return labels.count == texts.count && Set(labels.map(\.label)).count == labels.count
    }

    static let exemplars = Setting(
        "exemplars", standard: "false", takes: "true or false",
        meaning: "Attach an exemplar, with process and server name, to each bucket of the duration histogram; "
            + "OpenMetrics and Protocol Buffers only.",
        at: \.engine.metrics.exemplars
    ) { ["true": true, "false": false][$0] }

    static let maxSeries = Setting(
        "max-series", standard: "\(MetricsRegistry.Limits().series)", takes: "a number from 1000 to 1000000",
        meaning: "Series in all, a histogram counting for each line; past it 'other'.", cost: "About 300 bytes each.",
        at: \.engine.metrics.limits.series
    ) { number($0, 1_000...1_000_000) }

    private static func duration(_ text: String, _ range: ClosedRange<UInt64>) -> UInt64? {
        DurationArgument(argument: text).map(\.nanoseconds).flatMap { range.contains($0) ? $0 : nil }
    }

    private static func number(_ text: String, _ range: ClosedRange<Int>) -> Int? {
        Int(text).flatMap { range.contains($0) ? $0 : nil }
    }

    /// `a, b or c`.
    private static func names<Name: RawRepresentable<String>>(_ cases: [Name]) -> String {
        cases.dropLast().map(\.rawValue).joined(separator: ", ") + " or " + (cases.last?.rawValue ?? "")
    }
}

extension SessionMemory {
    /// For the help.
    static let sentence =
        "About \(bytes) bytes each, taken as they come and kept: \((bytes << 16) >> 20) MiB for 65536 of them."
}

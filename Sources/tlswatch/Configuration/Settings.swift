import HandshakeProbe
import Handshakes
import Kernel

/// The one table of settings. Flags, environment, file, documentation and default file all follow it.
extension Setting {
    static let all: [Setting] = [
        listen, telemetryPath, webConfigurationFile, logLevel, logFormat, library, phases, wire, probes,
        handshakeTimeout, ringSize,
        sweepInterval,
        maxSessions, maxLibraries, window, label, exemplars, slow, maxSeries, otlp, otlpHeader, otlpCertificate,
        otlpInterval, otlpShare,
    ]

    static let listen = Setting(
        "listen", .list, standard: [ListenAddress.standard.defaultValueDescription],
        accepts:
            "a host and a port, such as 127.0.0.1:9899 or [::1]:9899, or :9899 for every address; each once, "
            + "\(ListenAddress.most) at most",
        meaning: "Address to listen on.",
        cost:
            "The default accepts connections from this host only. The packaged systemd service also blocks other hosts "
            + "(IPAddressDeny=any): to allow them, add a drop-in with IPAddressAllow=, see examples/other-hosts.conf."
    ) { texts, settings in
        settings.listen = texts.compactMap { ListenAddress(argument: $0) }
        return settings.listen.count == texts.count && ListenAddress.canBeTogether(settings.listen)
    }

    static let telemetryPath = Setting(
        "telemetry-path", standard: TelemetryPath.standard,
        accepts: "a path such as /metrics, of letters, digits and -._~, that is no other page's",
        meaning: "Path of the metrics.", at: \.telemetryPath
    ) { TelemetryPath.isValid($0) ? $0 : nil }

    static let webConfigurationFile = Setting(
        "web-config-file", standard: nil, accepts: Setting.path,
        meaning:
            "TLS, passwords and headers for HTTP, in the format of Prometheus's exporter-toolkit; reloaded when it "
            + "changes.",
        at: \.webConfigurationFile
    ) { path in path.isEmpty ? nil : .some(path) }

    static let logLevel = Setting(
        "log-level", standard: "info", accepts: names(LogLevel.allCases),
        meaning: "Least severe log messages that are written.", reloads: true, at: \.logLevel
    ) { LogLevel(rawValue: $0) }

    static let logFormat = Setting(
        "log-format", standard: "text", accepts: names(LogFormat.allCases),
        meaning:
            "Log format on standard error: text, one JSON object per line, or key=value pairs (logfmt). In systemd's "
            + "journal, text has a priority prefix instead of a timestamp.",
        reloads: true, at: \.logFormat
    ) { LogFormat(rawValue: $0) }

    static let library = Setting(
        "library", .list, standard: [], standardMeaning: "all", accepts: Setting.path,
        meaning: "Observe only this TLS library or binary."
    ) { paths, settings in
        settings.engine.libraries = paths
        return paths.allSatisfy { !$0.isEmpty }
    }

    static let phases = Setting(
        "phases", standard: "on", accepts: "off, on or full",
        meaning:
            "Probes inside the handshake. on: key exchange and ALPN times; full: compute times and finished_ns as well.",
        cost: "Each has more hits per handshake than the one before it.", at: \.engine.phases
    ) { name in Phases.names.first { $0.key == name }?.value }

    static let wire = Setting(
        "wire", standard: "off", accepts: names(WireMode.allCases),
        meaning:
            "Observe TLS over TCP, and QUIC, from packets as well, for programs whose TLS library cannot be observed. unobserved: the "
            + "control groups of programs with connections on well-known TLS ports and no observed library; all: every "
            + "program of the host.",
        cost:
            "Requires CAP_NET_ADMIN and cgroup v2. About 0.2 µs per packet of those control groups, about 450 bytes of "
            + "kernel memory per connection until its handshake is over, 2 MB for QUIC's peers, and up to 16384 handshakes of "
            + "at most 17 kB each in tlswatch.",
        at: \.engine.wire
    ) { WireMode(rawValue: $0) }

    static let probes = Setting(
        "probes", standard: nil, standardMeaning: "the best one available", accepts: names(ProbeRung.allCases),
        meaning: "Force a probe type instead of the best one available: session (Linux 6.13), multi (6.6) or perf.",
        at: \.engine.rung
    ) { ProbeRung(rawValue: $0).map { .some($0) } }

    static let handshakeTimeout = Setting(
        "handshake-timeout", standard: "60s", accepts: "a duration, such as 250ms, 10s or 5m",
        meaning: "Idle time after which a handshake counts as timed out.",
        cost: "A stalled handshake occupies a table entry for this long.", reloads: true,
        at: \.engine.handshakeTimeout
    ) { DurationArgument(argument: $0)?.nanoseconds }

    static let ringSize = Setting(
        "ring-size", standard: "2", accepts: "a power of two from 1 to 1024 (MiB)",
        meaning: "Size of the ring buffer between kernel and tlswatch.",
        cost: "Kernel memory, allocated once at the start. A larger ring absorbs longer bursts.",
        at: \.engine.ringBytes
    ) { text in
        guard let size = UInt32(text), (1...1024).contains(size), size & (size - 1) == 0 else { return nil }
        return size << 20
    }

    static let sweepInterval = Setting(
        "sweep-interval", standard: "30s", accepts: "a duration from 1s to 10m",
        meaning: "Interval between full scans of all processes, a backstop for mapping events.",
        cost: "Each scan reads every process's maps; uses no extra memory.", reloads: true, at: \.engine.sweepInterval
    ) { duration($0, 1_000_000_000...600_000_000_000) }

    static let maxSessions = Setting(
        "max-sessions", standard: "65536", accepts: "a number from 1000 to 1000000",
        meaning: "Maximum number of handshakes in flight. Beyond it, a new one replaces the one that was idle longest.",
        cost: SessionMemory.sentence, at: \.engine.maxSessions
    ) { number($0, 1_000...1_000_000) }

    static let maxLibraries = Setting(
        "max-libraries", standard: "\(LibraryLimit.most)", accepts: "a number from 4 to \(LibraryLimit.most)",
        meaning:
            "Maximum number of TLS libraries and binaries that are probed at once. Beyond it, the one unused for the "
            + "longest time is released; if all are in use, new ones are reported as too_many_libraries.",
        cost: "About 20 kB each, and about 20 ms when it is found.", at: \.engine.maxLibraries
    ) { number($0, 4...LibraryLimit.most) }

    static let window = Setting(
        "window", .list, standard: ["60s"], accepts: "durations of whole seconds from 1s to 1h, eight at most",
        meaning: "Length of a sliding window; the status page shows the first.",
        cost: "A busy window needs about 60 kB per role, stack and minute."
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
        accepts: names(ExtraLabel.allCases)
            + ", each once, optionally followed by :CAP from 1 to \(ExtraLabelArgument.largestCap)",
        meaning: "Add a label to the handshake counters, the duration histogram and the window gauges.",
        cost: "CAP limits the distinct values (default \(ExtraLabel.standardCap)); further ones become 'other'. Each "
            + "value multiplies the series."
    ) { texts, settings in
        let labels = texts.compactMap { ExtraLabelArgument(argument: $0)?.option }
        settings.engine.metrics.labels = labels
        return labels.count == texts.count && Set(labels.map(\.label)).count == labels.count
    }

    static let exemplars = Setting(
        "exemplars", standard: "false", accepts: "true or false",
        meaning: "Attach an exemplar with process id, cause and server name to each bucket of the duration histogram "
            + "(OpenMetrics and Protocol Buffers only).",
        at: \.engine.metrics.exemplars
    ) { ["true": true, "false": false][$0] }

    static let slow = Setting(
        "slow", standard: "100ms", accepts: "a duration from 1ms to 1h",
        meaning: "Duration from which on a completed handshake is slow: slow ones are counted by cause "
            + "(tlswatch_slow_handshakes_total).",
        at: \.engine.metrics.slow
    ) { duration($0, 1_000_000...3_600_000_000_000) }

    static let maxSeries = Setting(
        "max-series", standard: "\(MetricsRegistry.Limits().series)", accepts: "a number from 1000 to 1000000",
        meaning: "Maximum number of series (each histogram bucket counts); beyond it, values become 'other'.",
        cost: "About 300 bytes each.",
        at: \.engine.metrics.limits.series
    ) { number($0, 1_000...1_000_000) }

    static let otlp = Setting(
        "otlp", standard: nil, accepts: "a URL, such as http://collector:4318 or https://otlp.example/base",
        meaning:
            "Send the metrics, and a span for each failed or slow session, to this OpenTelemetry collector (OTLP over HTTP; "
            + "/v1/metrics and /v1/traces are appended).",
        cost:
            "Up to 2048 sessions of about 2 kB wait for the collector; beyond that, their spans are dropped and counted.",
        at: \.otlp.collector
    ) { text in CollectorAddress(argument: text).map { .some($0) } }

    static let otlpHeader = Setting(
        "otlp-header", .list, standard: [], accepts: "a name and a value, such as api-key=0123",
        meaning: "Header of every request to the collector.",
        cost: "Other users of the host can read flags: set it in the file or in the environment.", isSecret: true
    ) { texts, settings in
        settings.otlp.headers = texts.compactMap { CollectorHeader(argument: $0) }
        return settings.otlp.headers.count == texts.count
    }

    static let otlpCertificate = Setting(
        "otlp-certificate", standard: nil, accepts: Setting.path,
        meaning: "Certificates of authorities (PEM) to trust besides the system's, for a collector with https.",
        at: \.otlp.certificateFile
    ) { path in path.isEmpty ? nil : .some(path) }

    static let otlpInterval = Setting(
        "otlp-interval", standard: "15s", accepts: "a duration from 1s to 10m",
        meaning: "Interval between two exports of the metrics by OTLP.", at: \.otlp.interval
    ) { duration($0, 1_000_000_000...600_000_000_000) }

    static let otlpShare = Setting(
        "otlp-share", standard: "0", accepts: "a number from 0 to 1",
        meaning: "Share of the sessions that neither failed nor were slow that gets a span as well.", at: \.otlp.share
    ) { text in Double(text).flatMap { (0...1).contains($0) ? $0 : nil } }

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
        "About \(bytes) bytes each, allocated on demand and never freed: \((bytes << 16) >> 20) MiB for 65536 of them."
}

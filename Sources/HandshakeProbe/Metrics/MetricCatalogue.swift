/// What a metric family is, in the words of the exposition formats.
public enum MetricType: String, Sendable {
    case counter, gauge, histogram, summary
}

/// A family's constant facts: name, type, unit, label names in their order, and help.
public struct MetricDescriptor: Sendable, Equatable {
    public let name: String
    public let type: MetricType
    /// The base unit that the name ends in; nil for plain numbers.
    public let unit: String?
    public let labels: [String]
    public let help: String

    init(_ name: String, _ type: MetricType, unit: String? = nil, labels: [String] = [], help: String) {
        self.name = name
        self.type = type
        self.unit = unit
        self.labels = labels
        self.help = help
    }
}

/// Every metric family that tlswatch serves: the one source of names, types, labels and help.
public enum MetricCatalogue {
    public static let handshakes = MetricDescriptor(
        "tlswatch_handshakes_total", .counter, labels: ["role", "stack", "outcome", "reason"],
        help: "TLS handshakes that ended, by outcome and reason (none where there was none).")
    public static let handshakeDuration = MetricDescriptor(
        "tlswatch_handshake_duration_seconds", .histogram, unit: "seconds",
        labels: ["role", "stack", "tls_version", "resumed"],
        help: "Wall time of completed handshakes, from the first call's entry to the last one's return.")
    public static let handshakeBusy = MetricDescriptor(
        "tlswatch_handshake_busy_seconds", .histogram, unit: "seconds", labels: ["role", "stack"],
        help: "Time that completed handshakes spent inside the TLS library's handshake calls.")
    /// A summary without sum and count: its series are a gauge's, but `quantile` is a label that only a summary may
    /// have, and promtool says so.
    public static let handshakeWindow = MetricDescriptor(
        "tlswatch_handshake_window_seconds", .summary, unit: "seconds",
        labels: ["role", "stack", "quantile", "window"],
        help: "Quantiles of the duration of the handshakes completed in the sliding window.")
    public static let handshakeWindowSessions = MetricDescriptor(
        "tlswatch_handshake_window_sessions", .gauge, labels: ["role", "stack", "window"],
        help: "Completed handshakes in the sliding window, on which its quantiles stand.")
    public static let handshakeParameters = MetricDescriptor(
        "tlswatch_handshake_parameters_total", .counter,
        labels: ["role", "tls_version", "cipher", "group", "alpn", "resumed"],
        help: "Completed handshakes by what was negotiated.")
    public static let keyExchanges = MetricDescriptor(
        "tlswatch_key_exchanges_total", .counter, labels: ["role", "group", "result"],
        help: "Key exchanges attempted, by result (success or failure).")
    public static let keyExchangeDuration = MetricDescriptor(
        "tlswatch_key_exchange_duration_seconds", .histogram, unit: "seconds", labels: ["role"],
        help: "Time from the peer's key share to the handshake traffic keys, for key exchanges that succeeded.")
    public static let keyExchangeFailureRatio = MetricDescriptor(
        "tlswatch_key_exchange_failure_ratio", .gauge, labels: ["role", "window"],
        help: "Failed over attempted key exchanges in the sliding window; NaN without an attempt in it.")
    public static let alpnNegotiation = MetricDescriptor(
        "tlswatch_alpn_negotiation_seconds", .histogram, unit: "seconds", labels: ["role"],
        help: "Time from the ClientHello with the ALPN offer to the protocol being decided, in completed handshakes.")
    public static let alpnShare = MetricDescriptor(
        "tlswatch_alpn_share_ratio", .gauge, labels: ["role", "window"],
        help: "ALPN time over handshake time, both summed over the sliding window's completed handshakes that "
            + "negotiated ALPN; NaN without one in it.")
    public static let tcpConnect = MetricDescriptor(
        "tlswatch_tcp_connect_seconds", .histogram, unit: "seconds", labels: ["role"],
        help: "TCP connection establishment before completed handshakes.")
    public static let firstRecordDelay = MetricDescriptor(
        "tlswatch_first_record_delay_seconds", .histogram, unit: "seconds", labels: ["role"],
        help: "Time from TCP establishment to this side's first TLS record, in completed handshakes.")
    public static let sessionsStarted = MetricDescriptor(
        "tlswatch_sessions_started_total", .counter, labels: ["role", "stack"],
        help: "TLS handshakes that started: those that ended, by any outcome, and those in flight.")
    public static let handshakesInFlight = MetricDescriptor(
        "tlswatch_handshakes_in_flight", .gauge, labels: ["role", "stack"],
        help: "TLS handshakes that have started and not ended.")
    public static let events = MetricDescriptor(
        "tlswatch_events_total", .counter, labels: ["program"],
        help: "Events that the kernel programs submitted.")
    public static let eventsDropped = MetricDescriptor(
        "tlswatch_events_dropped_total", .counter, labels: ["program", "reason"],
        help: "Events that the kernel programs could not submit.")
    public static let eventsRejected = MetricDescriptor(
        "tlswatch_events_rejected_total", .counter, labels: ["reason"],
        help: "Submitted events that were malformed and not decoded.")
    public static let eventsDecoded = MetricDescriptor(
        "tlswatch_events_decoded_total", .counter, help: "Submitted events that were decoded.")
    public static let probeHits = MetricDescriptor(
        "tlswatch_probe_hits_total", .counter, labels: ["stack", "library"],
        help: "Times a probe in a TLS library ran.")
    public static let probes = MetricDescriptor(
        "tlswatch_probes", .gauge, labels: ["stack", "library", "state"],
        help: "Probes in TLS libraries, by state.")
    public static let observedProcesses = MetricDescriptor(
        "tlswatch_observed_processes", .gauge, labels: ["state", "reason"],
        help: "Processes that use TLS, observed or not, and why not.")
    public static let windowIncomplete = MetricDescriptor(
        "tlswatch_window_incomplete", .gauge, labels: ["window"],
        help: "1 while the sliding window overlaps lost events, else 0.")
    public static let seriesCapped = MetricDescriptor(
        "tlswatch_series_capped_total", .counter,
        help: "Samples counted under the label value other because a cap on label values or series was reached.")
    public static let buildInfo = MetricDescriptor(
        "tlswatch_build_info", .gauge, labels: ["version"], help: "1, with the version of tlswatch.")
    public static let scrapes = MetricDescriptor(
        "tlswatch_scrapes_total", .counter, help: "Scrapes served before this one.")
    public static let scrapeDuration = MetricDescriptor(
        "tlswatch_scrape_duration_seconds", .gauge, unit: "seconds",
        help: "Time that the previous scrape took to serve.")
    public static let processCPU = MetricDescriptor(
        "process_cpu_seconds_total", .counter, unit: "seconds", help: "User and system CPU time of tlswatch itself.")
    public static let processResidentMemory = MetricDescriptor(
        "process_resident_memory_bytes", .gauge, unit: "bytes", help: "Resident memory of tlswatch itself.")
    public static let processVirtualMemory = MetricDescriptor(
        "process_virtual_memory_bytes", .gauge, unit: "bytes", help: "Virtual memory of tlswatch itself.")
    public static let processOpenDescriptors = MetricDescriptor(
        "process_open_fds", .gauge, help: "File descriptors that tlswatch itself has open.")
    public static let processDescriptorLimit = MetricDescriptor(
        "process_max_fds", .gauge, help: "File descriptors that tlswatch itself may have open.")
    public static let processStart = MetricDescriptor(
        "process_start_time_seconds", .gauge, unit: "seconds", help: "When tlswatch started, seconds since 1970.")

    /// Every family, for the documentation and its tests.
    public static let all: [MetricDescriptor] = [
        handshakes, handshakeDuration, handshakeBusy, handshakeWindow, handshakeWindowSessions, handshakeParameters,
        keyExchanges, keyExchangeDuration, keyExchangeFailureRatio, alpnNegotiation, alpnShare, tcpConnect,
        firstRecordDelay, sessionsStarted, handshakesInFlight, events, eventsDropped, eventsRejected, eventsDecoded,
        probeHits, probes, observedProcesses, windowIncomplete, seriesCapped, buildInfo, scrapes, scrapeDuration,
        processCPU, processResidentMemory, processVirtualMemory, processOpenDescriptors, processDescriptorLimit,
        processStart,
    ]
}

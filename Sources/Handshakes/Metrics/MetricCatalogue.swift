/// What a metric family is, in the words of the exposition formats.
package enum MetricType: String, Sendable {
    case counter, gauge, histogram, summary
}

/// A family's constant facts: name, type, unit, label names in their order, and help.
package struct MetricDescriptor: Sendable, Equatable {
    package let name: String
    package let type: MetricType
    /// The base unit that the name ends in; nil for plain numbers.
    package let unit: String?
    package let labels: [String]
    package let help: String
    /// How many series it makes, and from what: a phrase.
    package let cost: String

    package init(
        _ name: String, _ type: MetricType, unit: String? = nil, labels: [String] = [], help: String,
        cost: String = "1"
    ) {
        self.name = name
        self.type = type
        self.unit = unit
        self.labels = labels
        self.help = help
        self.cost = cost
    }

    /// The same family with labels that were asked for.
    package func adding(_ extra: [String]) -> MetricDescriptor {
        MetricDescriptor(name, type, unit: unit, labels: labels + extra, help: help, cost: cost)
    }
}

/// Every metric family that tlswatch serves: the one source of names, types, labels and help.
package enum MetricCatalogue {
    package static let handshakes = MetricDescriptor(
        "tlswatch_handshakes_total", .counter, labels: ["role", "stack", "outcome", "reason"],
        help: "Finished TLS handshakes, by outcome and reason (none if there was none).",
        cost: "104 for each stack, at 0 from the start, and 1 for each other role × stack × outcome × reason seen")
    package static let handshakeDuration = MetricDescriptor(
        "tlswatch_handshake_duration_seconds", .histogram, unit: "seconds",
        labels: ["role", "stack", "tls_version", "resumed"],
        help: "Wall time of completed handshakes, from the entry of the first call to the return of the last.",
        cost: "20 for each role × stack × version × resumed seen")
    package static let handshakeBusy = MetricDescriptor(
        "tlswatch_handshake_busy_seconds", .histogram, unit: "seconds", labels: ["role", "stack"],
        help:
            "Time that completed handshakes spent in the TLS library's handshake calls, without the time blocked in them.",
        cost: "20 for each role × stack")
    package static let handshakeTime = MetricDescriptor(
        "tlswatch_handshake_time_seconds_total", .counter, unit: "seconds", labels: ["role", "stack", "part"],
        help:
            "Time of completed handshakes by part: cpu (computing), runqueue (waiting for a processor), unread (the peer's "
            + "bytes were there and not read yet), peer (the network and the other side); of those where all are known.",
        cost: "4 for each role × stack, at 0 from the start")
    package static let slowHandshakes = MetricDescriptor(
        "tlswatch_slow_handshakes_total", .counter, labels: ["role", "cause"],
        help: "Completed handshakes that took at least as long as --slow, by cause: the largest part of their time.",
        cost: "16, at 0 from the start")
    package static let handshakeRetransmits = MetricDescriptor(
        "tlswatch_handshake_retransmits_total", .counter, labels: ["role"],
        help: "TCP segments that this side sent again during handshakes, and in establishing their connections.",
        cost: "2, at 0 from the start")
    /// A summary without sum and count: its series are a gauge's, but `quantile` is a label that only a summary may
    /// have, and promtool says so.
    package static let handshakeWindow = MetricDescriptor(
        "tlswatch_handshake_window_seconds", .summary, unit: "seconds",
        labels: ["role", "stack", "window", "quantile"],
        help: "Quantiles of the duration of the handshakes completed in the sliding window.",
        cost: "4 for each role × stack × window")
    package static let handshakeWindowSessions = MetricDescriptor(
        "tlswatch_handshake_window_sessions", .gauge, labels: ["role", "stack", "window"],
        help: "Completed handshakes in the sliding window, from which its quantiles are computed.",
        cost: "1 for each role × stack × window")
    package static let handshakeParameters = MetricDescriptor(
        "tlswatch_handshake_parameters_total", .counter,
        labels: ["role", "tls_version", "cipher", "group", "alpn", "resumed"],
        help: "Completed handshakes by what was negotiated.",
        cost: "1 for each combination seen")
    package static let keyExchanges = MetricDescriptor(
        "tlswatch_key_exchanges_total", .counter, labels: ["role", "group", "result"],
        help: "Key exchanges attempted, by result (success or failure).",
        cost: "28, and 2 for each role × other group seen")
    package static let keyExchangeDuration = MetricDescriptor(
        "tlswatch_key_exchange_duration_seconds", .histogram, unit: "seconds", labels: ["role"],
        help: "Time from the peer's key share to the handshake traffic keys, for key exchanges that succeeded.",
        cost: "20 for each role")
    package static let keyExchangeFailureRatio = MetricDescriptor(
        "tlswatch_key_exchange_failure_ratio", .gauge, labels: ["role", "window"],
        help: "Share of key exchanges in the sliding window that failed; NaN if there were none.",
        cost: "1 for each role × window")
    package static let alpnNegotiation = MetricDescriptor(
        "tlswatch_alpn_negotiation_seconds", .histogram, unit: "seconds", labels: ["role"],
        help: "Time from the ClientHello with the ALPN offer to the choice of the protocol, in completed handshakes.",
        cost: "20 for each role")
    package static let alpnShare = MetricDescriptor(
        "tlswatch_alpn_share_ratio", .gauge, labels: ["role", "window"],
        help: "ALPN time divided by handshake time, both summed over the completed handshakes with ALPN in the sliding "
            + "window; NaN if there were none.",
        cost: "1 for each role × window")
    package static let tcpConnect = MetricDescriptor(
        "tlswatch_tcp_connect_seconds", .histogram, unit: "seconds", labels: ["role"],
        help: "TCP connection establishment time of completed handshakes.",
        cost: "20 for each role")
    package static let firstRecordDelay = MetricDescriptor(
        "tlswatch_first_record_delay_seconds", .histogram, unit: "seconds", labels: ["role"],
        help: "Time from TCP establishment to this side's first TLS record, in completed handshakes.",
        cost: "20 for each role")
    package static let sessionsStarted = MetricDescriptor(
        "tlswatch_sessions_started_total", .counter, labels: ["role", "stack"],
        help: "Started TLS handshakes: all finished ones and those in flight.",
        cost: "1 for each role × stack")
    package static let handshakesInFlight = MetricDescriptor(
        "tlswatch_handshakes_in_flight", .gauge, labels: ["role", "stack"],
        help: "TLS handshakes in progress.",
        cost: "1 for each role × stack")
    package static let events = MetricDescriptor(
        "tlswatch_events_total", .counter, labels: ["program"],
        help: "Events submitted by the kernel programs.",
        cost: "9, one for each kernel program")
    package static let eventsDropped = MetricDescriptor(
        "tlswatch_events_dropped_total", .counter, labels: ["program", "reason"],
        help: "Events lost in the kernel programs: the ring buffer was full, or memory was short.",
        cost: "18, two for each kernel program")
    package static let eventsSkipped = MetricDescriptor(
        "tlswatch_events_skipped_total", .counter, labels: ["program", "reason"],
        help: "Probe hits that need no event, by reason; nothing is lost.",
        cost: "1 for each kernel program and reason seen")
    package static let eventsRejected = MetricDescriptor(
        "tlswatch_events_rejected_total", .counter, labels: ["reason"],
        help: "Submitted events that were rejected, by reason.",
        cost: "6, one for each reason")
    package static let eventsDecoded = MetricDescriptor(
        "tlswatch_events_decoded_total", .counter, help: "Submitted events that were decoded.")
    package static let probeHits = MetricDescriptor(
        "tlswatch_probe_hits_total", .counter, labels: ["stack", "library"],
        help: "Probe hits, by TLS library; stack=\"kernel\" are the tracepoints.",
        cost: "1 for each library, and 7")
    package static let probes = MetricDescriptor(
        "tlswatch_probes", .gauge, labels: ["stack", "library", "state"],
        help: "Probes in TLS libraries, by state.",
        cost: "1 or 2 for each library")
    package static let observedProcesses = MetricDescriptor(
        "tlswatch_observed_processes", .gauge, labels: ["state", "reason"],
        help: "Processes that use TLS, by state and the reason why they are not observed.",
        cost: "1, and 1 for each reason")
    package static let wireSessions = MetricDescriptor(
        "tlswatch_wire_sessions_total", .counter, labels: ["state"],
        help:
            "Handshakes seen in packets, by state: own (a session with stack=wire), merged (a library's session is "
            + "the same handshake), unmatched (perhaps one of a library's whose socket is unknown; not counted as a session), "
            + "untracked.",
        cost: "4 with --wire, at 0 from the start")
    package static let wirePackets = MetricDescriptor(
        "tlswatch_wire_packets_total", .counter, labels: ["path"],
        help:
            "Packets of the observed control groups, by how far they were looked at: old (64 KB both ways, or 256 "
            + "packets with data), done (40 packets with data, and no handshake), plain (no handshake so far), handshake, "
            + "other (neither TCP nor QUIC's handshakes). "
            + "Approximate: may miss some.",
        cost: "5 with --wire")
    package static let wireGroups = MetricDescriptor(
        "tlswatch_wire_cgroups", .gauge, help: "Control groups whose packets are looked at.", cost: "1 with --wire")
    package static let librariesEvicted = MetricDescriptor(
        "tlswatch_libraries_evicted_total", .counter,
        help: "Unused TLS libraries that were released to make room for others.")
    package static let windowIncomplete = MetricDescriptor(
        "tlswatch_window_incomplete", .gauge, labels: ["window"],
        help: "1 if events were lost during the sliding window, else 0.",
        cost: "1 for each window")
    package static let seriesCapped = MetricDescriptor(
        "tlswatch_series_capped_total", .counter,
        help: "Samples counted as other because a limit on label values or series was reached.")
    package static let seriesEvicted = MetricDescriptor(
        "tlswatch_series_evicted_total", .counter,
        help: "Idle window series that were replaced because the limit on series was reached.")
    package static let buildInfo = MetricDescriptor(
        "tlswatch_build_info", .gauge, labels: ["version", "revision"],
        help: "1, with the version of tlswatch and the commit that it was built from.")
    package static let configReloadSuccessful = MetricDescriptor(
        "tlswatch_config_last_reload_successful", .gauge,
        help: "1 if the last reload of the configuration succeeded, or there was none; else 0.")
    package static let scrapes = MetricDescriptor(
        "tlswatch_scrapes_total", .counter, help: "Scrapes served before this one.")
    package static let scrapeDuration = MetricDescriptor(
        "tlswatch_scrape_duration_seconds", .gauge, unit: "seconds",
        help: "Duration of the previous scrape.")
    package static let requestsRejected = MetricDescriptor(
        "tlswatch_http_requests_rejected_total", .counter, labels: ["reason"],
        help: "Rejected HTTP requests, by reason.", cost: "1 for each reason")
    package static let logLinesSuppressed = MetricDescriptor(
        "tlswatch_log_lines_suppressed_total", .counter,
        help: "Log lines suppressed by the rate limit.")
    package static let otlpExports = MetricDescriptor(
        "tlswatch_otlp_exports_total", .counter, labels: ["signal", "result"],
        help: "Requests to the OTLP collector, by signal (metrics or traces) and result.", cost: "6 with --otlp")
    package static let otlpSpans = MetricDescriptor(
        "tlswatch_otlp_spans_total", .counter, labels: ["result"],
        help: "Sessions that were to become OTLP spans, by what became of them.", cost: "4 with --otlp")
    package static let processCPU = MetricDescriptor(
        "process_cpu_seconds_total", .counter, unit: "seconds", help: "User and system CPU time of tlswatch itself.")
    package static let processResidentMemory = MetricDescriptor(
        "process_resident_memory_bytes", .gauge, unit: "bytes", help: "Resident memory of tlswatch itself.")
    package static let processVirtualMemory = MetricDescriptor(
        "process_virtual_memory_bytes", .gauge, unit: "bytes", help: "Virtual memory of tlswatch itself.")
    package static let processOpenDescriptors = MetricDescriptor(
        "process_open_fds", .gauge, help: "Open file descriptors of tlswatch itself.")
    package static let processDescriptorLimit = MetricDescriptor(
        "process_max_fds", .gauge, help: "Maximum number of open file descriptors of tlswatch itself.")
    package static let processStart = MetricDescriptor(
        "process_start_time_seconds", .gauge, unit: "seconds", help: "Start time of tlswatch, in seconds since 1970.")

    /// Every family, for the documentation and its tests.
    package static let all: [MetricDescriptor] = [
        handshakes, handshakeDuration, handshakeBusy, handshakeTime, slowHandshakes, handshakeRetransmits,
        handshakeWindow, handshakeWindowSessions, handshakeParameters,
        keyExchanges, keyExchangeDuration, keyExchangeFailureRatio, alpnNegotiation, alpnShare, tcpConnect,
        firstRecordDelay, sessionsStarted, handshakesInFlight, events, eventsDropped, eventsSkipped, eventsRejected,
        eventsDecoded, probeHits, probes, observedProcesses, wireSessions, wirePackets, wireGroups, librariesEvicted,
        windowIncomplete, seriesCapped,
        seriesEvicted,
        buildInfo, configReloadSuccessful, scrapes, scrapeDuration, requestsRejected, logLinesSuppressed, otlpExports,
        otlpSpans,
        processCPU,
        processResidentMemory, processVirtualMemory,
        processOpenDescriptors, processDescriptorLimit, processStart,
    ]
}

import HandshakeProbe
import Handshakes

/// What a reader must know before believing the figures, and the page before there are any.
extension StatusPage {
    static func notices(_ status: StatusSnapshot, metrics: String = "/metrics") -> HTML {
        var html: HTML = ""
        if status.incomplete {
            html += """
                <p class="notice warn" role="note"><strong>Incomplete window:</strong> events were lost in the last \
                \(DisplayText.span(status.window)). Some sessions are missing or truncated; quantiles cover the rest.</p>
                """
        }
        if status.lost > 0 {
            html += """
                <p class="notice" role="note">\(DisplayText.count(status.lost, "event was", "events were")) lost or \
                rejected since the start: see <code>tlswatch_events_dropped_total</code> and \
                <code>tlswatch_events_rejected_total</code> at \(link(metrics)) for the reason.</p>
                """
        }
        if status.observedProcesses == 0 { html += nothingObserved(status) }
        return html
    }

    private static func nothingObserved(_ status: StatusSnapshot) -> HTML {
        let missed = status.unobservedProcesses.values.reduce(0, +)
        guard missed > 0 else {
            return """
                <p class="notice" role="note"><strong>No process uses TLS now.</strong> No process has loaded a TLS \
                library that tlswatch knows. Programs that start later are observed from their start; \
                <code>tlswatch targets</code> lists what was found.</p>
                """
        }
        return """
            <p class="notice warn" role="note"><strong>Nothing is observed now.</strong> \
            \(DisplayText.count(missed, "process that may use TLS", "processes that may use TLS")) cannot be observed: \
            \(reasons(status)). Run <code>tlswatch doctor</code> to see what is missing.</p>
            """
    }

    /// `3 permission (…), 1 no_cheap_site (…)`
    static func reasons(_ status: StatusSnapshot) -> HTML {
        var html: HTML = ""
        for (index, (reason, count)) in sorted(status.unobservedProcesses).enumerated() {
            if index > 0 { html += ", " }
            html += "\(DisplayText.count(count)) <code>\(reason: reason)</code>"
            if let meaning = meaning(reason) { html += " (\(meaning))" }
        }
        return html
    }

    private static func sorted(_ counts: [String: UInt64]) -> [(key: String, value: UInt64)] {
        counts.filter { $0.value > 0 }.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
    }

    static func meaning(_ reason: String) -> String? {
        switch UnobservedReason(rawValue: reason) {
        case .permission?: "the kernel refused the probes: CAP_BPF, CAP_PERFMON or CAP_SYS_ADMIN is missing"
        case .noDescriptors?: "tlswatch ran out of file descriptors"
        case .unsupportedStack?: "a TLS stack that is not supported yet"
        case .goTooOld?: "made with Go before 1.18"
        case .thirtyTwoBit?: "32-bit programs are not supported yet"
        case .unreadable?:
            "a file that they map may not be read: CAP_SYS_PTRACE or CAP_DAC_READ_SEARCH is missing, or its file system "
                + "admits only its owner"
        case .fileSystemHangs?: "a file that they map is on a file system that does not answer"
        case .noCheapSite?: "its code has no place for a cheap probe"
        case .analysisFailed?: "its code could not be analysed"
        case .sanityCheckFailed?: "its first sessions were implausible, so the probes were removed"
        case .attachFailed?: "the kernel refused the probes"
        case .fileModified?: "its file was overwritten in place, so the probes were removed"
        case .tooManyLibraries?: "the table of libraries is full"
        case .noKnownLibrary?: "they have connections on well-known TLS ports but no known TLS library"
        case nil: nil
        }
    }

    /// The friendly empty page.
    static func noSession(_ status: StatusSnapshot) -> HTML {
        let inFlight: HTML =
            status.inFlight > 0
            ? "<p>\(DisplayText.count(status.inFlight, "handshake is", "handshakes are")) in progress.</p>" : ""
        return """
            <section class="panel empty"><h2>No handshake has ended yet</h2>\
            <p>tlswatch has been running for \(DisplayText.span(status.uptime)). The first TLS handshake of this host \
            will appear here within a second.</p>\(inFlight)<p>To make one, connect to any TLS server:</p>\
            <pre tabindex="0" id="try">curl -sS -o /dev/null https://example.com/</pre>\
            <p>Failed handshakes count too, with their reason.</p></section>
            """
    }
}

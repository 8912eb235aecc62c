/// The table: a row for each field, in the order in which they are written.
extension HandshakeField {
    package static let all = process + implementation + outcome + durations + parameters + phases + socket

    private static let process: [HandshakeField] = [
        HandshakeField(
            "time", .time, title: "start",
            "Start of the session, RFC 3339 in UTC with nine fractional digits, for display: durations come from the "
                + "monotonic clock"
        ) { .time($0.wallTime) },
        HandshakeField(
            "pid", .count(1...UInt64.max), title: "pid", "Process id, in the host's pid namespace",
            absentIf: "only the wire saw the session, and the process sent nothing: the peer ended the connection first"
        ) { $0.pid == 0 ? nil : .count(UInt64($0.pid)) },
        HandshakeField(
            "tid", .count(1...UInt64.max), title: "tid",
            "Thread id of the first call; of a session seen by the wire, the thread that first sent on its connection",
            absentIf: "`pid` is"
        ) { $0.pid == 0 ? nil : .count(UInt64($0.tid)) },
        HandshakeField(
            "comm", .text(.any), title: "process", "Name of the process (its main thread's)", absentIf: "`pid` is"
        ) { $0.pid == 0 ? nil : .text($0.comm) },
        HandshakeField(
            "thread", .text(.any), title: "thread", "Name of the thread that made the first call",
            absentIf: "it could not be read, or only the wire saw the session"
        ) { $0.thread.map(FieldValue.text) },
        HandshakeField(
            "exe", .text(.notEmpty), title: "program", "Path of the executable",
            absentIf: "it could not be read: the process ended too soon"
        ) { $0.exe.map(FieldValue.text) },
        HandshakeField(
            "container", .text(.pattern("^[0-9a-f]{12}$")), title: "container",
            "First twelve digits of the identifier of the process's container",
            absentIf: "the process runs in no container"
        ) { $0.container.map(FieldValue.text) },
        HandshakeField(
            "unit", .text(.atMost(255)), title: "unit",
            "The systemd unit of the process: `nginx.service`; of a service of a user's own manager, that manager's",
            absentIf: "the process belongs to no unit"
        ) { $0.unit.map(FieldValue.text) },
        HandshakeField(
            "pod", .text(.pattern("^[0-9a-f-]{32,36}$")), title: "pod", "UID of the process's Kubernetes pod",
            absentIf: "the process runs in no pod"
        ) { $0.pod.map(FieldValue.text) },
    ]

    private static let implementation: [HandshakeField] = [
        HandshakeField(
            "stack", .text(.notEmpty), title: "stack",
            "TLS implementation: `openssl`, `boringssl` (which stands for AWS-LC too), `go`, `gnutls`, `nss`, `wolfssl`, `mbedtls`, `rustls` or "
                + "`s2n`; `wire` where only packets were seen"
        ) { .text($0.stack) },
        HandshakeField(
            "observed_by", .words(Observer.self), title: "observed by",
            "What the start and the end of the session are taken from: `library` (the TLS library's calls) or `wire` (the "
                + "packets on its socket)"
        ) { .text($0.observedBy.rawValue) },
        HandshakeField(
            "library", .text(.notEmpty), title: "library", "Path of the library or binary that contains it",
            absentIf: "only the wire saw the session"
        ) { $0.observedBy == .wire ? nil : .text($0.library) },
        HandshakeField(
            "library_version", .text(.notEmpty), title: "library version", "Version of the library: `3.0.19`",
            absentIf: "the file does not contain one, or `library` is absent"
        ) { $0.libraryVersion.map(FieldValue.text) },
    ]

    private static let outcome: [HandshakeField] = [
        HandshakeField(
            "role", .words(Role.self), title: "role",
            "Side of the handshake that was observed: `client` or `server`"
        ) { .text($0.role.rawValue) },
        HandshakeField(
            "outcome", .words(Outcome.self), title: "outcome",
            "How the session ended: `completed`, `failed`, `abandoned` (the TLS object was freed, its socket closed or its "
                + "process ended before the handshake did) or `timeout` (idle longer than `--handshake-timeout`)"
        ) { .text($0.outcome.rawValue) },
        HandshakeField(
            "reason", .text(.pattern("^[a-z0-9_]+$")), title: "reason",
            "Why it did not complete, in snake case: the IANA name of the alert if there was one; else `peer_closed`, "
                + "`connection_reset`, `transport_error`, a library error, or `unknown`; of Go, for a certificate that was "
                + "refused, what was wrong with it, and `canceled` (by its context), `closed_locally`, `deadline_exceeded`, `not_tls`; of packets "
                + "`encrypted_alert` and `not_tls`. For abandoned sessions: `events_lost` or `session_table_full`; of packets "
                + "`peer_closed`, `connection_reset`, `closed`, `not_followed` or, of QUIC, `silent`",
            absentIf: "the session completed, timed out, or was abandoned without a known reason"
        ) { $0.reason.map(FieldValue.text) },
        HandshakeField(
            "alert", .count(0...255), title: "alert", "Code of the TLS alert", absentIf: "no alert was seen"
        ) { $0.alert.map { .count(UInt64($0)) } },
        HandshakeField(
            "alert_direction", .words(AlertDirection.self), title: "alert direction",
            "`sent` (the library raised the alert; an application that does its own I/O may not have transmitted it) or "
                + "`received`",
            absentIf: "no alert was seen"
        ) { $0.alertDirection.map { .text($0.rawValue) } },
        HandshakeField(
            "library_reason", .text(.pattern("^[a-z0-9_]+$")), title: "library's reason",
            "The library's own reason for the failure, in snake case, where it says more than `reason`: "
                + "`no_shared_cipher`, or the result of certificate verification: `hostname_mismatch`",
            absentIf: "the session did not fail, the alert was received, or the library said no more"
        ) { $0.libraryReason.map(FieldValue.text) },
        HandshakeField(
            "end_confidence", .words(EndConfidence.self), title: "end confidence",
            "How surely packets show the end and the outcome: `exact` or `inferred` (TLS 1.3 encrypts most of what ends a "
                + "handshake)",
            absentIf: "a library's calls show them"
        ) { $0.endConfidence.map { .text($0.rawValue) } },
    ]

    private static let durations: [HandshakeField] = [
        HandshakeField("duration_ns", .nanoseconds, title: "handshake", "Wall time from start to end") {
            .nanoseconds($0.duration)
        },
        HandshakeField(
            "busy_ns", .nanoseconds, title: "busy",
            "Time in the library's handshake calls without the time blocked in them: `cpu_ns` plus `runqueue_ns`; in Go, where "
                + "those are not known, the time in the call without its waits for the socket",
            absentIf: "one of the two is; in Go, if no socket of the session's own is known"
        ) { $0.busy.map(FieldValue.nanoseconds) },
        HandshakeField(
            "wait_ns", .nanoseconds, title: "wait",
            "Time between the calls and blocked in them: `duration_ns` minus `busy_ns`",
            absentIf: "`busy_ns` is"
        ) { $0.wait.map(FieldValue.nanoseconds) },
        HandshakeField(
            "calls", .count(1...UInt64.max), title: "calls",
            "Number of calls into the library's handshake state machine",
            absentIf: "only the wire saw the session, or the stack has no such call (rustls)"
        ) { $0.calls > 0 ? .count(UInt64(clamping: $0.calls)) : nil },
        HandshakeField(
            "cpu_ns", .nanoseconds, title: "CPU",
            "Time in which the thread computed inside the library's handshake calls",
            absentIf:
                "the entry or the end of a call was not seen (an asynchronous job, a call that the process's end cut "
                + "off), events were lost meanwhile, the recording is of an earlier release, or the library is Go's: "
                + "goroutines share threads"
        ) { $0.parts.cpu.map(FieldValue.nanoseconds) },
        HandshakeField(
            "runqueue_ns", .nanoseconds, title: "run queue",
            "Time in which the thread was ready to compute there and waited for a processor",
            absentIf: "`cpu_ns` is, or the kernel does not keep it (CONFIG_SCHED_INFO)"
        ) { $0.parts.runqueue.map(FieldValue.nanoseconds) },
        HandshakeField(
            "unread_ns", .nanoseconds, title: "unread",
            "Part of the wait in which the peer's bytes lay in the socket and the program had not read them yet",
            absentIf: "`wait_ns` is, or no call read a TCP socket of the session's own (memory BIO, QUIC)"
        ) { $0.parts.unread.map(FieldValue.nanoseconds) },
        HandshakeField(
            "peer_ns", .nanoseconds, title: "peer",
            "Rest of the wait: the network and the other side. `duration_ns` is the sum of `busy_ns`, `unread_ns` and "
                + "`peer_ns`. Of a session that only the wire saw: the time before each segment of the peer's",
            absentIf:
                "`unread_ns` is; of one that only the wire saw, if a segment was retransmitted or missed, with early data, "
                + "or in QUIC"
        ) { $0.parts.peer.map(FieldValue.nanoseconds) },
        HandshakeField(
            "cause", .words(HandshakeCause.self), title: "cause",
            "What the duration is mostly due to, by the rule in docs/sessions.md: `compute`, `cpu_starved`, `program_late`, "
                + "`network`, `loss`, `peer`, or `none` for a session shorter than the median",
            absentIf: "`unread_ns` is, or the largest part is not known (Go: `busy_ns` is larger than the others)"
        ) { $0.cause.map { .text($0.rawValue) } },
        HandshakeField(
            "rtt_ns", .nanoseconds, title: "round trip",
            "TCP's smoothed round-trip time at the last I/O of the session, to the microsecond",
            absentIf: "the socket is unknown or not TCP, or there was no round trip to measure"
        ) { $0.rtt.map(FieldValue.nanoseconds) },
        HandshakeField(
            "retransmits", .count(0...UInt64.max), title: "retransmissions",
            "Number of TCP segments that this side sent again during the session; in the first session of a connection "
                + "since its SYN, so that a SYN or SYN-ACK that was sent again counts",
            absentIf: "the socket is unknown or not TCP"
        ) { $0.retransmits.map(FieldValue.count) },
    ]

    private static let parameters: [HandshakeField] = [
        HandshakeField(
            "tls_version", .text(.pattern(#"^(SSLv3|D?TLSv1\.[0-3])$"#)), title: "TLS version",
            "Negotiated protocol version: `TLSv1.3`, `DTLSv1.2`",
            absentIf: "the handshake ended before it was negotiated, or it could not be read"
        ) { $0.tlsVersion.map(FieldValue.text) },
        HandshakeField(
            "cipher", .text(.notEmpty), title: "cipher", "IANA name of the negotiated cipher suite",
            absentIf: "the session did not complete, or it could not be read"
        ) { $0.cipher.map(FieldValue.text) },
        HandshakeField(
            "group", .text(.notEmpty), title: "group", "IANA name of the key-exchange group: `x25519`",
            absentIf: "the session did not complete, the handshake used none, or it could not be read"
        ) { $0.group.map(FieldValue.text) },
        HandshakeField(
            "alpn", .text(.atMost(255)), title: "ALPN",
            "Protocol negotiated by ALPN, as the peer sent it, with unsafe characters replaced",
            absentIf: "the session did not complete, no protocol was negotiated, or it could not be read"
        ) { $0.alpn.map(FieldValue.text) },
        HandshakeField(
            "alpn_offered", .text(.atMost(255)), title: "ALPN offered",
            "Protocols that the client offered, with commas between them and unsafe characters replaced",
            absentIf: "none were offered, or the ClientHello was not seen by the wire"
        ) {
            // Of scalars: a character may be of any length.
            $0.alpnOffered.map {
                .text(String(String.UnicodeScalarView($0.joined(separator: ",").unicodeScalars.prefix(255))))
            }
        },
        HandshakeField(
            "sni", .text(.atMost(255)), title: "server name",
            "Server name requested by the client, with unsafe characters replaced",
            absentIf: "the client sent none, or it could not be read"
        ) { $0.sni.map(FieldValue.text) },
        HandshakeField(
            "resumed", .flag, title: "resumed", "Whether an earlier session was resumed",
            absentIf: "the session did not complete, or it could not be read"
        ) { $0.resumed.map(FieldValue.flag) },
        HandshakeField(
            "early_data", .words(EarlyData.self), title: "early data",
            "Outcome of the client's 0-RTT data: `accepted` or `rejected`",
            absentIf: "none was offered, or it could not be read"
        ) { $0.earlyData.map { .text($0.rawValue) } },
        HandshakeField(
            "hello_retry_request", .flag, title: "HelloRetryRequest",
            "Whether the handshake contained a HelloRetryRequest",
            absentIf: "the version is not TLS 1.3, the session did not complete, or it could not be read"
        ) { $0.helloRetryRequest.map(FieldValue.flag) },
        HandshakeField(
            "client_certificate_requested", .flag, title: "client certificate",
            "Whether the server requested a client certificate in this handshake",
            absentIf: "the session did not complete, or it could not be read"
        ) { $0.clientCertificateRequested.map(FieldValue.flag) },
        HandshakeField(
            "client_certificate_given", .flag, title: "client certificate given", "Whether the client sent one",
            absentIf: "none was requested, or it could not be read"
        ) { $0.clientCertificateGiven.map(FieldValue.flag) },
        HandshakeField(
            "transport", .words(HandshakeTransport.self), title: "transport", "`quic` if QUIC carried the handshake",
            absentIf: "the handshake used TLS or DTLS records"
        ) { $0.transport.map { .text($0.rawValue) } },
    ]

    private static let phases: [HandshakeField] = [
        HandshakeField(
            "tcp_connect_ns", .nanoseconds, title: "TCP connect",
            "TCP connection establishment: SYN to ESTABLISHED",
            absentIf:
                "the socket is unknown, it was established before tlswatch started, or it carried an earlier session"
        ) { $0.tcpConnect.map(FieldValue.nanoseconds) },
        HandshakeField(
            "first_record_delay_ns", .nanoseconds, title: "first-record delay",
            "Time from ESTABLISHED to the first TLS record sent by this side",
            absentIf: "as for `tcp_connect_ns`, or this side sent nothing"
        ) { $0.firstRecordDelay.map(FieldValue.nanoseconds) },
        HandshakeField(
            "key_exchange_ns", .nanoseconds, title: "key exchange",
            "Time from the availability of the peer's key share to the installation of the handshake traffic keys",
            absentIf: "there was no key exchange, it did not finish, or with `--phases off`"
        ) { $0.keyExchange.map(FieldValue.nanoseconds) },
        HandshakeField(
            "key_exchange_compute_ns", .nanoseconds, title: "key agreement (CPU)",
            "Time in the key agreement itself",
            absentIf: "as for `key_exchange_ns`, the agreement could not be probed, or without `--phases full`"
        ) { $0.keyExchangeCompute.map(FieldValue.nanoseconds) },
        HandshakeField(
            "alpn_negotiation_ns", .nanoseconds, title: "ALPN negotiation",
            "Time from the ClientHello with the ALPN offer to the choice of the protocol on this side",
            absentIf: "no protocol was negotiated, or with `--phases off`"
        ) { $0.alpnNegotiation.map(FieldValue.nanoseconds) },
        HandshakeField(
            "finished_ns", .nanoseconds, title: "until Finished verified",
            "Server with TLS 1.3: start to verification of the client's Finished; the rest of the duration is session "
                + "tickets",
            absentIf: "on a client, below TLS 1.3, or without `--phases full`"
        ) { $0.finished.map(FieldValue.nanoseconds) },
        HandshakeField(
            "alpn_share", .ratio, title: "ALPN share",
            "`alpn_negotiation_ns` divided by `duration_ns`, six decimal places",
            absentIf: "as for `alpn_negotiation_ns`"
        ) { $0.alpnShare.map(FieldValue.ratio) },
    ]

    private static let socket: [HandshakeField] = [
        HandshakeField(
            "local", .address, title: "local", "Address and port of this side: `127.0.0.1:443`, `[::1]:443`",
            absentIf: "the socket is unknown"
        ) { $0.local.map(FieldValue.text) },
        HandshakeField(
            "remote", .address, title: "remote", "Address and port of the peer", absentIf: "the socket is unknown"
        ) { $0.remote.map(FieldValue.text) },
        HandshakeField(
            "socket_confidence", .words(SocketConfidence.self), title: "socket confidence",
            "How reliably the socket is known: `exact` (the TLS object holds its descriptor, or the ClientHello was seen on "
                + "it inside a call), `inferred` (a server's first receive, or records of a TLS connection that carries this "
                + "one) or `unknown`"
        ) { .text($0.socketConfidence.rawValue) },
    ]
}

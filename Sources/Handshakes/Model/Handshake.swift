/// Which side of the handshake the observed process is.
public enum Role: String, Sendable, Codable, CaseIterable {
    case client, server
}

/// How a session ended: exactly one of these.
public enum Outcome: String, Sendable, Codable, CaseIterable {
    case completed
    case failed
    /// The TLS object was freed, its socket closed or its process ended before the handshake did.
    case abandoned
    /// Idle longer than the handshake timeout.
    case timeout
}

/// What a session's start and end are taken from.
public enum Observer: String, Sendable, Codable, CaseIterable {
    /// The TLS library's calls.
    case library
    /// Packets on the socket.
    case wire
}

/// How surely it is known when a session ended, and how: of sessions that the wire saw.
public enum EndConfidence: String, Sendable, Codable, CaseIterable {
    /// Messages that cannot be anything else.
    case exact
    /// What packets show is mostly this, and may be something else.
    case inferred
}

/// How surely a session's socket is known.
public enum SocketConfidence: String, Sendable, Codable, CaseIterable {
    /// The TLS object holds the socket's descriptor, or the ClientHello was seen on it inside a handshake call.
    case exact
    /// A server's first receive in a handshake call, or records of another TLS object's connection, where the object does not tell.
    case inferred
    case unknown
}

/// Whether an alert was sent or received by the observed side.
public enum AlertDirection: String, Sendable, Codable, CaseIterable {
    case sent, received
}

/// What became of a client's 0-RTT data (RFC 8446 section 2.3).
public enum EarlyData: String, Sendable, Codable, CaseIterable {
    case accepted, rejected
}

/// What carries the handshake's messages, where it is not TLS's own record layer.
public enum HandshakeTransport: String, Sendable, Codable, CaseIterable {
    /// RFC 9001.
    case quic
}

/// One finished session: the only value that leaves `Sessions` for windows, metrics and output formats.
///
/// Durations are nanoseconds of the monotonic clock. What could not be observed is `nil`, never zero.
public struct Handshake: Sendable, Equatable {
    /// Wall-clock time of the start, nanoseconds since 1970, for display only.
    public var wallTime: Int64
    /// Monotonic time of the first call's entry.
    public var start: UInt64
    /// Monotonic time of the end.
    public var end: UInt64

    public var pid: UInt32
    public var tid: UInt32
    /// Its texts are properties of the session as well: `comm`, `thread`, `exe`, `container`, `unit`, `pod`.
    package var process: HandshakeProcess

    /// The same: `stack`, `library`, `libraryVersion`.
    package var implementation: HandshakeImplementation
    public var observedBy: Observer

    public var role: Role
    public var outcome: Outcome
    /// Snake case; an IANA alert's name where there was an alert (RFC 8446 section 6).
    public var reason: String?
    /// The alert's code, where one was seen.
    public var alert: UInt8?
    public var alertDirection: AlertDirection?
    /// The library's own word for the failure where it says more than `reason`: `no_shared_cipher`, `hostname_mismatch`.
    public var libraryReason: String?

    /// Of sessions that the wire saw.
    public var endConfidence: EndConfidence?

    /// Start to end.
    public var duration: UInt64
    /// 0 where packets were seen and no calls.
    public var calls: Int
    /// Where the duration went.
    public var parts = HandshakeParts.unknown
    /// Set where the largest part is known.
    public var cause: HandshakeCause?
    /// TCP's smoothed round-trip time, at the session's last I/O.
    public var rtt: UInt64?
    /// Segments that this side sent again in the session; in the first one of a connection, since its SYN.
    public var retransmits: UInt64?

    /// `TLSv1.3`.
    public var tlsVersion: String?
    /// IANA's name, `TLS_AES_256_GCM_SHA384`.
    public var cipher: String?
    /// IANA's name, `x25519`.
    public var group: String?
    /// As the peer sent it, made safe for output: at most 255 bytes of valid UTF-8, no control characters.
    public var alpn: String?
    /// Whether the place of the protocol was read: without one in it, none was negotiated.
    public var alpnWasRead = false
    public var sni: String?
    /// The protocols that the client offered, where its ClientHello was seen; each made safe like `alpn`.
    public var alpnOffered: [String]?
    public var resumed: Bool?
    /// Set where the client offered early data.
    public var earlyData: EarlyData?
    /// Whether a HelloRetryRequest took part (RFC 8446 section 4.1.4); TLS 1.3 only.
    public var helloRetryRequest: Bool?
    /// Whether the server asked for a certificate in this handshake, and if so, whether it got one.
    public var clientCertificateRequested: Bool?
    public var clientCertificateGiven: Bool?
    public var transport: HandshakeTransport?

    public var tcpConnect: UInt64?
    public var firstRecordDelay: UInt64?
    public var keyExchange: UInt64?
    public var keyExchangeCompute: UInt64?
    /// Set where a key exchange was attempted: whether it came to handshake traffic keys.
    public var keyExchangeSucceeded: Bool?
    public var alpnNegotiation: UInt64?
    /// Server, TLS 1.3: start to the client's Finished verified. What is left of the duration is session tickets.
    public var finished: UInt64?
    /// The moments behind the durations above.
    public var timeline = HandshakeTimeline()

    /// The socket's two ends: `local`, `remote`.
    package var localName: SocketName?
    package var remoteName: SocketName?
    public var socketConfidence: SocketConfidence

    /// Whether it failed, timed out, or took at least `slow` nanoseconds to complete: what is kept and told one by one.
    /// Sessions that were abandoned are not: port scans and health checks would push out the others.
    package func failedOrWasSlow(_ slow: UInt64) -> Bool {
        switch outcome {
        case .completed: duration >= slow
        case .failed, .timeout: true
        case .abandoned: false
        }
    }

    /// In calls and not blocked in them.
    public var busy: UInt64? { parts.busy }
    /// Between the calls, or blocked in them.
    public var wait: UInt64? { parts.wait }

    /// ALPN negotiation over the handshake's duration.
    public var alpnShare: Double? {
        guard let alpnNegotiation, duration > 0 else { return nil }
        return Double(alpnNegotiation) / Double(duration)
    }

    public init(
        wallTime: Int64, start: UInt64, end: UInt64, pid: UInt32, tid: UInt32, comm: String,
        stack: String, library: String, role: Role, outcome: Outcome, duration: UInt64, calls: Int
    ) {
        self.init(
            start: start, end: end, wallClockOffset: 0, pid: pid, tid: tid, process: HandshakeProcess(comm: comm),
            implementation: HandshakeImplementation(stack: stack, library: library, version: nil), role: role,
            outcome: outcome)
        self.wallTime = wallTime
        self.duration = duration
        self.calls = calls
    }

    /// One that has lasted from its start to its end.
    ///
    /// - Parameter wallClockOffset: added to a monotonic time gives wall-clock nanoseconds.
    package init(
        start: UInt64, end: UInt64, wallClockOffset: Int64, pid: UInt32, tid: UInt32, process: HandshakeProcess,
        implementation: HandshakeImplementation, role: Role, outcome: Outcome
    ) {
        wallTime = Int64(bitPattern: start) &+ wallClockOffset
        self.start = start
        self.end = end
        self.pid = pid
        self.tid = tid
        self.process = process
        self.implementation = implementation
        self.role = role
        self.outcome = outcome
        duration = end &- min(start, end)
        calls = 0
        observedBy = .library
        socketConfidence = .unknown
    }
}

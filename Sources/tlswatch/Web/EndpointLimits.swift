import NIOCore

/// What one peer, and all of them together, may take from the HTTP side.
struct EndpointLimits: Sendable {
    /// Request line and headers, bytes: Prometheus sends less than one KiB, a browser with cookies some.
    var headBytes = 16 << 10
    /// Header fields: a request has ten to thirty.
    var headerFields = 100
    /// Request body, bytes: none is needed, a small one is read and dropped.
    var bodyBytes = 4 << 10
    /// From a request's first byte (or the TLS handshake's) to its last: Prometheus sends them in one segment.
    var readTimeout: TimeAmount = .seconds(10)
    /// For a peer to take an answer: a scraper that needs longer has given up (its own timeout is 10 s by default).
    var writeTimeout: TimeAmount = .seconds(30)
    /// A connection without a request. Longer than the usual interval of scrapes, one minute, so that they keep theirs.
    var idleTimeout: TimeAmount = .seconds(75)
    /// For a peer to close after the last answer, so that it can read it, and for open answers when tlswatch stops.
    var lingerTimeout: TimeAmount = .seconds(2)
    /// Far more than the scrapers of one host. Past it the one that has waited longest is closed.
    var openConnections = 64
    /// The same with those that are being answered, which nobody closes: more wait in the kernel's queue. Below the 1,024
    /// descriptors that a process has by default.
    var mostConnections: Int { 4 * openConnections }
    /// Answers being made or taken, each up to some MiB.
    var concurrentScrapes = 16
    /// Passwords that wait for the one thread that hashes them: some tenths of a second each.
    var waitingPasswords = 8
    /// Of an answer that nobody reads, the kernel holds this much; more than a usual answer.
    var sendBufferBytes = 256 << 10
}

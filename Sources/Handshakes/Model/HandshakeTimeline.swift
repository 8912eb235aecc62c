/// When the parts of a session began and ended: monotonic nanoseconds. What was not seen is `nil`.
public struct HandshakeTimeline: Sendable, Equatable {
    /// The TCP connection's SYN, and its establishment: before the session's start, on the server possibly long before.
    public var connecting, established: UInt64?
    /// The ClientHello: sent by a client, read by a server.
    public var clientHello: UInt64?
    /// From the peer's key share to handshake traffic keys.
    public var keyExchangeBegin, keyExchangeEnd: UInt64?
    /// The protocol was decided on this side.
    public var alpnDecided: UInt64?
    /// Server, TLS 1.3: the client's Finished was verified.
    public var finished: UInt64?

    public init() {}
}

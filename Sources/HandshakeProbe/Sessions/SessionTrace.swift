/// What tells a finished session among the handshakes that packets show.
struct SessionTrace: Equatable {
    /// Of the library that told it.
    var profile: UInt16
    /// The last eight bytes of the ClientHello's random.
    var random: UInt64?
    /// Its connection, where its socket is known.
    var socket: SocketPair?
}

import Handshakes

/// What the numbers of a TLS stack's records mean: the part of a stack that the session table asks.
///
/// Plain functions instead of a protocol, so that nothing existential stands on the hot path.
struct SessionRules: Sendable {
    /// What an entry into the state machine begins.
    var entry: @Sendable (_ state: EntryState) -> EntryKind
    /// What a return from it means.
    var exit: @Sendable (_ state: ExitState) -> ExitKind
    /// Which keys a key change installed.
    var keyChange: @Sendable (_ argument: Int32) -> KeyChange
    /// Whether what is waited for (`Fact.want`) is the application's to give, not the transport's.
    var waitsForApplication: @Sendable (_ want: UInt32) -> Bool
    /// Whether a failure with this reason code before there were keys is one of the key exchange: the peer's share was there
    /// and was refused, or was not come to any more.
    var failsKeyExchange: @Sendable (_ reason: Int32, _ version: UInt32?, _ role: Role) -> Bool
    /// Why a handshake failed, from the library's alert and reason codes.
    var failure: @Sendable (_ alert: Int32, _ reason: Int32, _ version: UInt32?) -> FailureReason
    /// The library's own word for a failure; `nil` where it says no more than the alert that was received.
    ///
    /// - Parameter verification: what verifying the peer's certificate gave, where that is known.
    var libraryReason: @Sendable (_ reason: Int32, _ verification: UInt32?) -> String?
    /// Message-flow states for the kernel side's early tests (`tlswatch_profile`).
    var startStates: UInt32
    var endStates: UInt32
    /// In these a freed object has no handshake in progress.
    var overStates: UInt32
    /// An entry in one of these returns at once.
    var deadStates: UInt32
    /// The value of `Fact.want` with which a call that ends nothing waits for nothing.
    var idleWant: UInt32
    /// Bits of `Fact.shutdown`: the peer has ended the connection.
    var overShutdown: UInt32
    /// Bit of `Fact.flags`: QUIC carries the handshake.
    var quicFlag: UInt32
}

struct EntryState {
    var flow: UInt32?
    var hand: UInt32?
    var version: UInt32?
    /// The state that a renegotiation begins with; 0 if none was asked for.
    var request: UInt32?
    var server: UInt32
}

enum EntryKind: Equatable {
    /// A handshake begins, or the state machine is entered where none is to be made: what the call does will tell.
    case start
    /// The same on a connection that has had its handshake.
    case renegotiate
    /// A call of a handshake that goes on.
    case proceed
    /// A message after the handshake (session ticket, key update), or a call after a failure: no handshake.
    case unrelated
    /// Values that no build of the stack has: the probe or the facts' places are wrong.
    case implausible
}

struct ExitState {
    var result: Int32
    var flow: UInt32?
    var hand: UInt32?
    var version: UInt32?
    /// The last receive in the call, or its failed send: bytes, 0 at end of file, -errno; `nil` where there was none.
    var io: Int32?
    /// What the library waits for, in its own numbers.
    var want: UInt32?
    /// The peer has ended the connection in the protocol's own way.
    var peerHasEnded = false
}

enum ExitKind: Equatable {
    case completed
    /// It waits for the peer, the network or the application.
    case wants
    case failed
    case implausible
}

enum KeyChange {
    /// TLS 1.3 handshake traffic keys, or the one set of TLS 1.2.
    case handshake
    /// A server's application keys for reading: the client's Finished was verified (TLS 1.3).
    case peerFinished
    /// Other application traffic or early data keys of TLS 1.3.
    case other
}

struct FailureReason: Equatable {
    /// Snake case.
    var reason: String
    var alert: UInt8?
    var direction: AlertDirection?
}

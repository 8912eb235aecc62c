import Handshakes

/// What the numbers of a TLS stack's records mean: the part of a stack that the session table asks.
///
/// Plain functions instead of a protocol, so that nothing existential stands on the hot path.
package struct SessionRules: Sendable {
    /// What an entry into the state machine begins.
    var entry: @Sendable (_ state: EntryState) -> EntryKind
    /// What a return from it means.
    var exit: @Sendable (_ state: ExitState) -> Exit
    /// Which keys a key change installed.
    var keyChange: @Sendable (_ argument: Int32) -> KeyChange
    /// The facts of an ended handshake, of this side.
    var facts: @Sendable (_ event: borrowing CallReturn, _ role: Role, _ isRenegotiation: Bool) -> SessionFacts
    /// Whether a failure with this reason code before there were keys is one of the key exchange: the peer's share was there
    /// and was refused, or was not come to any more.
    var failsKeyExchange: @Sendable (_ reason: Int32, _ version: UInt32?, _ role: Role) -> Bool
    /// Why a handshake failed, from the library's alert and reason codes.
    var failure: @Sendable (_ alert: Int32, _ reason: Int32, _ version: UInt32?) -> FailureReason
    /// The library's own word for a failure; `nil` where it says no more than the alert that was received.
    ///
    /// - Parameter verification: what verifying the peer's certificate gave, where that is known.
    var libraryReason: @Sendable (_ reason: Int32, _ verification: UInt32?) -> String?
    /// Why handshakes fail besides the alerts, as far as that is known beforehand.
    var usualReasons: [String]
    /// For the programs' own early tests.
    var states: KernelStates
    /// What a failed return itself tells, as alert and reason for `failure`; `nil` where nothing.
    var fatal: @Sendable (_ event: borrowing CallReturn) -> (alert: Int32, reason: Int32)? = { _ in nil }
    /// Whether the application may still send the alert that belongs to a failure with this reason code: the session waits for it.
    var alertMayFollow: @Sendable (_ reason: Int32) -> Bool = { _ in false }
    /// Whether what the library raised ends the handshake, by its two numbers: a warning does not.
    var isFatal: @Sendable (_ alert: Int32, _ reason: Int32) -> Bool = { _, _ in true }
    /// Whether a call that was entered as `tentative` or `look`, and has not completed a handshake, was none.
    var isNone: @Sendable (_ event: borrowing CallReturn, _ role: Role) -> Bool = { _, _ in false }
    /// Whether calls report an error of the connection. Where they do not, the one that it had when it was closed is the failure.
    var reportsConnectionErrors = true
    /// Where handshakes are told by their messages: what is sent that is no handshake message.
    var sent: @Sendable (_ what: SentEnvelope) -> SentMessage? = { _ in nil }
}

/// What a library sends besides handshake messages.
enum SentMessage: Equatable {
    case changeCipherSpec
    /// The number on the wire.
    case fatalAlert(UInt8)
}

/// What the programs test themselves, so that a hit that tells nothing makes no record: in `struct tlswatch_profile`. States
/// are values of `Fact.state`, 255 at most.
struct KernelStates: Sendable {
    /// (fact & mask) == value.
    struct Test: Sendable, Equatable {
        var fact: Fact
        var mask: UInt32
        var value: UInt32

        func holds(_ values: StateValues) -> Bool { values[fact].map { $0 & mask == value } ?? false }
    }

    /// An entry in one of these may begin a handshake; `nil`: any may.
    var start: Set<UInt8>?
    /// A return in one of these may end it.
    var end: Set<UInt8>
    /// In these a freed object has no handshake in progress.
    var over: Set<UInt8> = []
    /// A freed object without a state has none either.
    var overWithoutState = false
    /// An entry in one of these returns at once, past the exit's probe.
    var dead: Set<UInt8> = []
    /// A return that ends nothing by its state ends it all the same if one of these holds; two at most, of `isOfState` facts.
    var ended: [Test] = []
    /// An entry where all of these hold comes after the handshake, and is none of it; three at most, of `isOfState` facts.
    var after: [Test] = []
    /// Holds of `Fact.role`, or of the call's own argument, on a server.
    var server = Test(fact: .role, mask: ~0, value: 1)
    /// What a call returns that has completed the handshake.
    var doneResult: Int32 = 1
    /// What it returns where the handshake goes on, and in no other case; four at most, none of them 0. Empty: the states tell.
    var waitResults: [Int32] = []
}

struct EntryState {
    var values: StateValues
    var isServer: Bool
}

enum EntryKind: Equatable {
    /// A handshake begins, or the state machine is entered where none is to be made: what the call does will tell.
    case start
    /// The object is as before a handshake: one begins, unless a call before this one has only waited for it.
    case startUnlessWaiting
    /// As `start`, but the return may show that none was to take place.
    case tentative
    /// The same on a connection that has had its handshake.
    case renegotiate
    /// The object may be there only for a look at the ClientHello, and be thrown away: `Exit.isUnderWay` tells.
    case look
    /// Nothing has been exchanged: a handshake begins, or goes on whose calls have come back as they went so far.
    case untouched
    /// A call of a handshake that goes on.
    case proceed
    /// A message after the handshake (session ticket, key update), or a call after a failure: no handshake.
    case unrelated
    /// Values that no build of the stack has: the probe or the facts' places are wrong.
    case implausible
}

struct ExitState {
    var result: Int32
    var values: StateValues
    /// The last receive in the call, or its failed send: bytes, 0 at end of file, -errno; `nil` where there was none.
    var io: Int32?
}

/// What a return means, and what the session has to know besides.
struct Exit {
    enum Kind: Equatable {
        case completed
        /// It waits for the peer, the network or the application.
        case wants
        case failed
        case implausible
    }

    var kind: Kind
    /// The application has to give something (a certificate, a private key) before it can go on.
    var isSuspended = false
    /// More was done than to look at a ClientHello.
    var isUnderWay = true
    /// The peer has ended the connection in the protocol's own way.
    var peerHasEnded = false
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

    /// An alert that came: of libraries in whose numbers of reasons it is counted from `offset`. `nil` for any other reason.
    static func received(_ reason: Int32, from offset: Int32) -> FailureReason? {
        guard let code = UInt8(exactly: Int64(reason) - Int64(offset)) else { return nil }
        return FailureReason(reason: IANA.alert(code), alert: code, direction: .received)
    }

    /// An alert that was sent.
    ///
    /// - Parameter named: the library's own reason, where that says more than `internal_error` does.
    static func sent(_ code: UInt8, named: String? = nil) -> FailureReason {
        FailureReason(
            reason: code == 80 ? named ?? IANA.alert(code) : IANA.alert(code), alert: code, direction: .sent)
    }
}

import CEvents
import Handshakes

/// A session's key: never the thread. Addresses are reused in a process and equal across processes.
struct SessionKey: Hashable {
    var pid: UInt32
    var processStart: UInt64
    var object: UInt64

    init(_ header: tlswatch_header) {
        pid = header.pid
        processStart = header.process_start_ns
        object = header.object
    }

    /// One number for all three: addresses tell most keys apart, and nobody gains by a collision but itself.
    func hash(into hasher: inout Hasher) {
        hasher.combine(object ^ processStart &* 0x9E37_79B9_7F4A_7C15 ^ UInt64(pid) << 40)
    }
}

/// How a handshake has failed, as the library told it.
struct ToldFailure {
    /// The call's return: the session's end.
    var time: UInt64
    var facts: SessionFacts
    var io: Int32?
    var peerHasEnded: Bool
    var random: UInt64?
    var inOneCall: Bool
}

/// Parts of a session that are seldom there. Its session's alone.
final class SessionExtras {
    var messages: SessionMessages?
    var told: ToldFailure?
    var refusedName: String?

    var hasTold: Bool { told != nil }
}

/// A handshake in flight. Times are monotonic nanoseconds; 0 means "not seen" throughout.
struct Session {
    let start: UInt64
    let profile: UInt16
    let role: Role
    let tid: UInt32
    /// The first call, as it was entered.
    let entry: tlswatch_call_enter
    /// What its first entry was taken for.
    let kind: EntryKind
    /// A further handshake on a connection that has one (below TLS 1.3).
    var isRenegotiation: Bool { kind == .renegotiate }
    /// A handshake is known to take place. Until then it is in no count: a connection that has had its handshake enters the
    /// state machine also where there is to be none, after a shutdown or for a renegotiation that is refused.
    var isConfirmed = false
    /// It is a handshake unless its end says that it was none.
    var isTentative: Bool { kind == .tentative }
    /// The last return has shown that it is none, as far as it has come.
    var isNone = false
    /// Its calls have left it in the state in which it began.
    var isUntouched = true
    var lastActivity: UInt64

    // Calls
    var callEnter: UInt64
    var calls = 1
    var parts = SessionParts()
    var firstReturn: UInt64 = 0

    /// When the kernel's side of the socket closed, while the library may still have a word to say.
    var closed: UInt64?
    /// By the peer, while the descriptor stays: the application has not given it up.
    var isReset = false
    /// What the socket had failed with, as a transport's result; 0 nothing.
    var connectionError: Int32 = 0
    /// `parts` as they stood then, once a call has come back after it.
    var partsAtClose: SessionParts?

    // Socket
    private(set) var socket: tlswatch_socket?
    /// TCP's smoothed round-trip time, as it was told last; 0 not known.
    var rtt: UInt64 = 0
    /// Segments that were sent again on the socket: before the session, and as told last; TLSWATCH_NO_COUNT not known.
    private(set) var retransmitsBefore = TLSWATCH_NO_COUNT
    var retransmitsNow = TLSWATCH_NO_COUNT
    var firstSend: UInt64 = 0

    // Phases
    /// The input that a suspended call left for the next one to go on with.
    var keptInput: UInt64 = 0
    var helloRead: UInt64 = 0
    var alpnDecided: UInt64 = 0
    var keyExchangeBegin: UInt64 = 0
    var keyExchangeEnd: UInt64 = 0
    var keyExchangeCompute: UInt64 = 0
    var agreed = false
    var agreementFailed = false
    /// The peer's share was used for a master secret (below TLS 1.3).
    var hasMasterSecret = false
    var peerFinished: UInt64 = 0
    /// Of a library that does not keep it: the group of the key share that this side has made last, how many it has made, and
    /// whether one was for a HelloRetryRequest.
    var shareGroup: UInt32?
    var shares = 0
    var hasRetried = false

    // Failure
    var fatal: (alert: Int32, reason: Int32)?
    /// The fatal alert that the application has sent, where it is its affair.
    var alertSent: Int32?

    /// What few sessions have, and all the others would carry along; `nil` where it has none of it.
    var extras: SessionExtras?
    /// Of a handshake that is told by its messages: what they show.
    var messages: SessionMessages? { extras?.messages }
    mutating func keep(_ messages: SessionMessages) { allExtras().messages = messages }
    /// The library has told of the failure, and the application may still send the alert.
    var toldFailure: ToldFailure? { extras?.told }
    var hasToldFailure: Bool { extras?.hasTold ?? false }
    mutating func keep(_ failure: ToldFailure) { allExtras().told = failure }
    /// The server name of a ClientHello that was refused while it was read.
    var refusedName: String? { extras?.refusedName }
    mutating func keep(refusedName name: String?) { allExtras().refusedName = name }

    private mutating func allExtras() -> SessionExtras {
        if let extras { return extras }
        let new = SessionExtras()
        extras = new
        return new
    }

    init(_ event: tlswatch_call_enter, _ kind: EntryKind) {
        self.kind = kind
        start = event.header.time_ns
        profile = event.header.profile
        role = event.server == 0 ? .client : .server
        tid = event.header.tid
        entry = event
        lastActivity = event.header.time_ns
        callEnter = event.header.time_ns
    }

    /// Takes `event`'s socket for the session's own.
    mutating func own(_ event: tlswatch_socket) {
        if socket?.number != event.number { retransmitsNow = TLSWATCH_NO_COUNT }
        socket = event
        // The first handshake on a connection that was seen to begin has all of it: a SYN that was sent again, too.
        let isFirst = event.connecting_ns != 0 || event.established_ns != 0
        retransmitsBefore = isFirst ? 0 : event.retransmits
    }

    /// The socket's proof, which a later use of it has told.
    mutating func prove(_ proof: UInt16) { socket?.proof = proof }

    /// Segments that this side sent again in the session.
    var retransmits: UInt64? {
        guard retransmitsBefore != TLSWATCH_NO_COUNT, retransmitsNow != TLSWATCH_NO_COUNT,
            retransmitsNow >= retransmitsBefore
        else { return nil }
        return UInt64(retransmitsNow - retransmitsBefore)
    }

    /// A call came back at `time`, or the thread left it.
    mutating func leaveCall(at time: UInt64) {
        callEnter = 0
        if firstReturn == 0 { firstReturn = time }
        lastActivity = max(lastActivity, time)
    }

    /// Whether these states, of a return or inside a call, show that a message of a renegotiation was read or written. Its
    /// library may begin to read for one (the message flow) and never come to it: the state of the handshake itself has to
    /// have moved, where that is known.
    func hasMoved(state: UInt32?, detail: UInt32?) -> Bool {
        let entered = entry.values
        if let detail, let before = entered[.detail] { return detail != before }
        guard let state, let before = entered[.state] else { return true }
        return state != before
    }

    /// Whether a step shows that a renegotiation takes place.
    func isShown(by step: tlswatch_step) -> Bool {
        switch HookKind(rawValue: step.hook) {
        case .keyChange, .newKeys, .masterSecret, .keyAgreement, .keyAgreementFailed, .alpnSelect, .alpnAnswer,
            .helloRetry:
            return true
        // Reading a connection that has been shut down fails too.
        case .fatal:
            return step.detail != UInt16(TLSWATCH_NO_STATE) && hasMoved(state: nil, detail: UInt32(step.detail))
        // A client makes a share for its hello, sent or not.
        case .group: return false
        case .call, .callExit, .keyAgreementExit, .objectFree, .pause, .messageReceived, .messageSent, .stateDropped,
            .completed, .failed, .alertSent, nil:
            return false
        }
    }

    /// Its calls so far have come back without having sent anything.
    var hasOnlyWaited: Bool {
        callEnter == 0 && firstSend == 0 && (closed == nil || isReset) && !hasToldFailure
    }

    /// The entry of the call in which this socket is used, if it is another handshake's: this one has waited for its first message
    /// on a socket that is closed, and its object stands for another connection by now. A socket that was reset has a number of
    /// its own when it is used again, and the same peer, or none.
    func entry(ofAnother event: tlswatch_socket) -> tlswatch_call_enter? {
        guard isUntouched, let closed, callEnter > closed, let socket, !event.isInferred, event.remote_port != 0,
            event.remote_port != socket.remote_port
        else { return nil }
        var entry = entry
        entry.header.time_ns = callEnter
        return entry
    }

    /// When this side's ClientHello went out: the first send, or for a program that carries the bytes itself
    /// (memory BIO) the return of the call that produced them.
    var helloSent: UInt64 { firstSend != 0 ? firstSend : firstReturn }
}

extension tlswatch_call_enter {
    /// The facts of the state, as found on entry.
    var values: StateValues {
        let (a, b, c, d, e, f, g, h) = state
        return StateValues(present: present, values: [a, b, c, d, e, f, g, h])
    }
}

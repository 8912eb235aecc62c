import CBPF

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

/// A handshake in flight. Times are monotonic nanoseconds; 0 means "not seen" throughout.
struct Session {
    let start: UInt64
    let profile: UInt16
    let role: Role
    let tid: UInt32
    let comm: tlswatch_call_enter
    var lastActivity: UInt64

    // Calls
    var callEnter: UInt64
    var busy: UInt64 = 0
    var calls = 1
    var firstReturn: UInt64 = 0

    /// When the kernel's side of the socket closed, while the library may still have a word to say.
    var closed: UInt64?

    // Socket
    var socket: tlswatch_socket?
    var firstSend: UInt64 = 0

    // Phases
    var helloRead: UInt64 = 0
    var alpnDecided: UInt64 = 0
    var keyExchangeBegin: UInt64 = 0
    var keyExchangeEnd: UInt64 = 0
    var keyExchangeCompute: UInt64 = 0
    var agreed = false
    var agreementFailed = false
    var peerHelloRead = false
    var peerFinished: UInt64 = 0

    // Failure
    var fatal: (alert: Int32, reason: Int32)?

    init(_ event: tlswatch_call_enter) {
        start = event.header.time_ns
        profile = event.header.profile
        role = event.server == 0 ? .client : .server
        tid = event.header.tid
        comm = event
        lastActivity = event.header.time_ns
        callEnter = event.header.time_ns
    }

    /// A call came back at `time`; it was entered at `enter`.
    mutating func leaveCall(enter: UInt64, at time: UInt64) {
        busy &+= time &- min(enter, time)
        callEnter = 0
        if firstReturn == 0 { firstReturn = time }
        lastActivity = max(lastActivity, time)
    }

    /// When this side's ClientHello went out: the first send, or for a program that carries the bytes itself
    /// (memory BIO) the return of the call that produced them.
    var helloSent: UInt64 { firstSend != 0 ? firstSend : firstReturn }
}

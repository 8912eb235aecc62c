import CEvents
import Handshakes

/// The meaning of NSS's states (lib/ssl/sslimpl.h) and alerts.
extension SessionRules {
    static let nss = SessionRules(
        entry: { entry in
            let state = NSSState(entry.values)
            guard state.isSane else { return .implausible }
            // The application may give a socket up before it has done anything.
            return state.wait == NSSState.idle ? .tentative : .proceed
        },
        exit: { exit in
            let state = NSSState(exit.values)
            guard state.isSane else { return Exit(kind: .implausible) }
            return state.exit(result: exit.result, io: exit.io)
        },
        keyChange: { _ in .handshake },
        facts: { event, role, _ in SessionFacts(nss: event, role: role) },
        failsKeyExchange: { _, _, _ in false },
        failure: { alert, level, _ in NSSState.failure(alert: alert, level: level) },
        libraryReason: { _, _ in nil },
        usualReasons: [],
        states: KernelStates(
            start: [UInt8(NSSState.idle)], end: [], over: [UInt8(NSSState.idle)],
            after: [
                KernelStates.Test(fact: NSSFact.wait, mask: ~0, value: NSSState.idle),
                KernelStates.Test(fact: NSSFact.step, mask: ~0, value: 0),
            ],
            doneResult: NSSState.done),
        isFatal: { alert, level in NSSState.isFatal(alert: alert, level: level) },
        isNone: { event, _ in NSSState(event.state).wait == NSSState.idle },
        reportsConnectionErrors: false
    )
}

/// What an `sslSocket`'s state fields hold.
struct NSSState {
    let wait: UInt32?
    private let role: UInt32?
    private let version: UInt32?

    init(_ values: StateValues) {
        wait = values[NSSFact.wait]
        role = values[.role]
        version = values[NSSFact.version]
    }

    /// `idle_handshake`.
    static let idle: UInt32 = 0
    /// `ssl_FinishHandshake` was called: that site has no result.
    static let done: Int32 = TLSWATCH_NO_RESULT
    /// `SSL_NEXT_PROTO_NEGOTIATED`, `SSL_NEXT_PROTO_SELECTED`.
    static let agreed: Set<UInt32> = [1, 3]

    /// `sslZeroRttState` at the end: none, sent, accepted, ignored, done.
    static func earlyData(_ state: UInt32) -> EarlyData? {
        switch state {
        case 2, 4: .accepted
        case 3: .rejected
        default: nil
        }
    }

    /// Set in a state of TLS 1.3.
    private static let modern: UInt32 = 0x80

    /// Whether the values can be those of a socket; there are some 20 messages to wait for.
    var isSane: Bool {
        (wait.map { $0 & ~Self.modern <= 64 } ?? true) && (role.map { $0 <= 1 } ?? true)
            && (version.map { $0 == 0 || $0 >> 8 == 3 } ?? true)
    }

    /// What a return means. A result says nothing: to wait is a failure like any other.
    func exit(result: Int32, io: Int32?) -> Exit {
        if result == Self.done { return Exit(kind: .completed) }
        guard let io else {
            // No socket was used that is known to be its own. Before its first step it cannot even begin.
            return wait == Self.idle ? Exit(kind: .failed) : Exit(kind: .wants)
        }
        return Exit(kind: io == 0 || (io < 0 && !TransportError.isRetry(io)) ? .failed : .wants)
    }

    // MARK: alerts

    private static let warning: Int32 = 1
    private static let fatal: Int32 = 2
    private static let closeNotify: Int32 = 0

    /// An alert's description, level, and direction, from the two numbers of a site: the description of a fatal one that is sent;
    /// of one that was received the description and the level, or both in the first.
    private static func alert(_ first: Int32, _ second: Int32) -> (code: Int32, level: Int32, AlertDirection) {
        if second == warning || second == fatal { return (first & 0xff, second, .received) }
        let level = first & 0xff
        if first >> 8 != 0 || level == warning || level == fatal { return (first >> 8 & 0xff, level, .received) }
        return (level, fatal, .sent)
    }

    /// A warning ends no handshake, but for the peer's farewell.
    static func isFatal(alert first: Int32, level second: Int32) -> Bool {
        let (code, level, direction) = alert(first, second)
        return level == fatal || (code == closeNotify && direction == .received)
    }

    static func failure(alert first: Int32, level second: Int32) -> FailureReason {
        let (code, _, direction) = alert(first, second)
        let number = UInt8(truncatingIfNeeded: code)
        return FailureReason(reason: IANA.alert(number), alert: number, direction: direction)
    }
}

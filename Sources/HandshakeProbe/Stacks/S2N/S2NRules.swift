import CEvents
import Handshakes

/// The meaning of s2n's states and errors (s2n.h, tls/s2n_handshake_type.h).
extension SessionRules {
    static let s2n = SessionRules(
        entry: { entry in
            let state = S2NState(entry.values)
            guard state.isSane else { return .implausible }
            // A server that has not heard of its client comes back as it went.
            return state.message == S2NState.first ? .untouched : .proceed
        },
        exit: { exit in
            let state = S2NState(exit.values)
            guard state.isSane else { return Exit(kind: .implausible) }
            return state.exit(result: exit.result, io: exit.io)
        },
        keyChange: { _ in .other },
        facts: { event, role, _ in SessionFacts(s2n: event, role: role) },
        failsKeyExchange: { _, _, _ in false },
        failure: { alert, reason, _ in S2NState.failure(alert: alert, reason: reason) },
        libraryReason: { _, _ in nil },
        usualReasons: S2NState.usualReasons,
        states: KernelStates(
            start: [UInt8(S2NState.first)], end: [],
            ended: [KernelStates.Test(fact: S2NFact.readClosed, mask: ~0, value: 1)],
            // Called again after a failure, at its first message.
            after: [KernelStates.Test(fact: S2NFact.readClosed, mask: ~0, value: 1)],
            server: KernelStates.Test(fact: .role, mask: ~0, value: 0), doneResult: 0,
            waitResults: S2NState.waits.map { S2NState.errorBase + $0 }),
        fatal: { event in S2NState.fatal(event) }
    )
}

/// What a connection's fields, and the results of its calls, mean.
struct S2NState {
    /// Which of the handshake's messages it is at; 0 again where the connection is cleared.
    let message: UInt32?
    private let role: UInt32?
    private let readClosed: UInt32?

    init(_ values: StateValues) {
        message = values[.state]
        role = values[.role]
        readClosed = values[S2NFact.readClosed]
    }

    static let first: UInt32 = 0
    /// Of a handshake, at most.
    private static let messages: UInt32 = 32

    var isSane: Bool {
        guard let message, message < Self.messages else { return false }
        return role.map { $0 <= 1 } ?? true && readClosed.map { $0 <= 1 } ?? true
    }

    // MARK: results

    /// Added to an error number, so that none is 0.
    static let errorBase: Int32 = 1 << 29
    /// Error numbers have their type (`s2n_error_type`) above this many bits.
    private static let typeShift: Int32 = 26

    private enum ErrorType: Int32 {
        case ok, io, closed, blocked, alert, proto, `internal`, usage

        init?(of error: Int32) { self.init(rawValue: error >> S2NState.typeShift) }
    }

    /// `S2N_ERR_IO_BLOCKED`, `S2N_ERR_ASYNC_BLOCKED`, `S2N_ERR_EARLY_DATA_BLOCKED`, `S2N_ERR_APP_DATA_BLOCKED`.
    static let waits: [Int32] = (0..<4).map { ErrorType.blocked.rawValue << typeShift + $0 }
    private static let asynchronous = waits[1]

    /// An error's number by its type and its number in that.
    static func error(type: Int32, _ number: Int32) -> Int32 { type << typeShift + number }

    /// The error number that a result is; `nil` where the result is what the function returns.
    static func error(_ result: Int32) -> Int32? { result >= errorBase ? result - errorBase : nil }

    func exit(result: Int32, io: Int32?) -> Exit {
        if result == 0 { return Exit(kind: .completed) }
        guard let error = Self.error(result) else {
            if readClosed == 1 { return Exit(kind: .failed) }
            return Exit(kind: io.map { $0 == 0 || ($0 < 0 && !TransportError.isRetry($0)) } ?? false ? .failed : .wants)
        }
        guard ErrorType(of: error) == .blocked else { return Exit(kind: .failed) }
        var exit = Exit(kind: .wants)
        exit.isSuspended = error == Self.asynchronous
        return exit
    }

    // MARK: failures

    /// Reasons from it on are alerts received; those below are error numbers, and 0 is none.
    private static let receivedAlertOffset: Int32 = 1 << 30
    private static let alertSize: UInt32 = 2

    /// Why a handshake failed; `nil` where the transport tells.
    static func fatal(_ event: borrowing CallReturn) -> (alert: Int32, reason: Int32)? {
        let type = error(event.fixed.result).flatMap { ErrorType(of: $0) }
        // A farewell closes as the end of the stream does; all other alerts are fatal.
        if type == nil || type == .alert || type == .closed, event.scalar(S2NFact.alertLength) == alertSize,
            let alert = event.scalar(S2NFact.alert)
        {
            return (-1, receivedAlertOffset + Int32(alert & 0xff))
        }
        // What the transport said stands beside it, unless the application carries the bytes.
        let hasTransport = event.fixed.io_result != TLSWATCH_NO_RESULT
        guard let type, !hasTransport || (type != .io && type != .closed) else { return nil }
        return (-1, error(event.fixed.result) ?? 0)
    }

    static func failure(alert: Int32, reason: Int32) -> FailureReason {
        if let received = FailureReason.received(reason, from: receivedAlertOffset) { return received }
        return switch ErrorType(of: reason) {
        case .proto: FailureReason(reason: protocolError)
        case .internal: FailureReason(reason: internalError)
        case .closed: FailureReason(reason: "peer_closed")
        case .io: FailureReason(reason: "transport_error")
        default: FailureReason(reason: libraryError)
        }
    }

    private static let protocolError = "protocol_error"
    private static let internalError = "internal_error"
    private static let libraryError = "library_error"
    static let usualReasons = [protocolError, libraryError]

    // MARK: facts

    // s2n_handshake_type_flag, and of TLS 1.3 one more.
    static let negotiated: UInt32 = 1
    static let full: UInt32 = 2
    static let clientAuthentication: UInt32 = 4
    static let noClientCertificate: UInt32 = 8
    static let helloRetryRequest: UInt32 = 16
    /// `s2n_psk_type`.
    static let resumption: UInt32 = 0

    static func version(_ number: UInt32) -> UInt32? { (30...34).contains(number) ? 0x0300 + number - 30 : nil }

    /// Whether a cipher suite below TLS 1.3 agrees on a key by elliptic curves (RFC 8422, 5289, 7905).
    static func isEphemeral(_ cipher: UInt16) -> Bool { cipher >> 8 == 0xc0 || cipher == 0xcca8 || cipher == 0xcca9 }
}

import Handshakes
import CEvents
import Glibc

/// The phases inside a session: what each event moves.
extension Session {
    mutating func enterCall(at time: UInt64) {
        // One that was entered and did not come back.
        if callEnter != 0 { parts.loseTrack() }
        callEnter = time
        lastActivity = max(lastActivity, time)
    }

    /// A return whose entry made no record of its own still counts the call, and those without effect before it.
    mutating func returnFromCall(_ event: tlswatch_call_return, isSuspended: Bool) {
        if firstSend == 0 { firstSend = event.first_send_ns }
        calls += Int(event.idle_calls)
        lastActivity = max(lastActivity, event.header.time_ns)
        addParts(of: event)
        guard event.enter_ns != 0 else {
            // It came back to a call that it had left: the call was counted, and what ran since is not known.
            if callEnter != 0 { leaveCall(at: event.header.time_ns) }
            return
        }
        keptInput = isSuspended ? input(event.input_ns, of: event.enter_ns) : 0
        if event.enter_ns != start { calls += 1 }
        leaveCall(at: event.header.time_ns)
    }

    private mutating func addParts(of event: tlswatch_call_return) {
        if event.rtt_us != 0 { rtt = UInt64(event.rtt_us) * 1_000 }
        if event.retransmits != TLSWATCH_NO_COUNT { retransmitsNow = event.retransmits }
        if let closed, partsAtClose == nil {
            // If the close turns out to be the end, this call is no part of it, or in part and nobody knows which.
            var parts = parts
            if event.enter_ns < closed { parts.loseTrack() }
            partsAtClose = parts
        }
        parts.add(event)
        // Another call was entered last: that one did not come back, or is still to.
        if callEnter != 0, callEnter != event.enter_ns { parts.loseTrack() }
    }

    /// When what a step works on was read. A call that is entered again after the application has held it up (a certificate
    /// to be fetched, a private key elsewhere) goes on with what an earlier one read.
    ///
    /// - Parameters:
    ///   - time: the last receive on the own socket in the call, else the call's entry; 0 where it is not known.
    ///   - enter: the call's entry.
    private func input(_ time: UInt64, of enter: UInt64) -> UInt64 {
        keptInput != 0 && (time == 0 || time == enter) ? keptInput : time
    }

    mutating func useSocket(_ event: tlswatch_socket) {
        lastActivity = max(lastActivity, event.header.time_ns)
        if let known = socket {
            if known.number == event.number {
                // The connection came about after its first bytes were sent (TCP Fast Open).
                if known.established_ns == 0, event.established_ns != 0 { own(event) }
                // Its first use told nothing, and a later one does.
                if known.isInferred { prove(event.proof) }
            } else if known.isInferred, !event.isInferred {
                own(event)
            }
        } else {
            own(event)
        }
        if UInt32(event.direction) == TLSWATCH_SEND.rawValue, firstSend == 0 {
            firstSend = event.header.time_ns
        }
    }

    /// - Parameter enter: when the call was entered that the step is in; 0 where that is not known.
    mutating func step(_ event: tlswatch_step, in enter: UInt64, rules: SessionRules) {
        let time = event.time_ns
        let input = input(event.input_ns, of: enter)
        lastActivity = max(lastActivity, time)
        switch HookKind(rawValue: event.hook) {
        case .keyChange: changeKeys(event, at: time, input: input, rules: rules)
        case .masterSecret:
            hasMasterSecret = true
            // A client's offer of TLS 1.3 has a share of its own, which is used for nothing below.
            if role == .client { shareGroup = nil }
            if keyExchangeBegin == 0 { keyExchangeBegin = input }
        case .keyAgreement:
            agreed = true
            if keyExchangeBegin == 0 { keyExchangeBegin = input }
            keyExchangeCompute &+= UInt64(event.duration_ns)
            if event.argument2 <= 0 { agreementFailed = true }
        case .keyAgreementFailed:
            agreed = true
            agreementFailed = true
        case .alpnSelect where role == .server:
            helloRead = input
            alpnDecided = time
        // A function that serves both roles.
        case .alpnAnswer where role == .client, .alpnSelect where role == .client:
            if alpnDecided == 0 { alpnDecided = time }
        case .fatal:
            // The first one is the cause; what follows comes of it.
            if fatal == nil, rules.isFatal(event.argument, event.argument2) {
                fatal = (event.argument, event.argument2)
            }
        case .group:
            shareGroup = UInt32(bitPattern: event.argument) & 0xffff
            shares += 1
        case .helloRetry: hasRetried = true
        case .alertSent:
            if event.argument2 == Self.fatalLevel, alertSent == nil { alertSent = event.argument }
        case .pause:
            // What it computed up to here is not told, nor what its job does from here on.
            parts.loseTrack()
            if callEnter != 0 { leaveCall(at: time) }
            keptInput = input
        case .alpnSelect, .alpnAnswer, .newKeys, .call, .callExit, .keyAgreementExit, .objectFree, .messageReceived,
            .messageSent, .stateDropped, .completed, .failed, nil:
            break
        }
    }

    /// Of an alert (RFC 5246 section 7.2).
    private static let fatalLevel: Int32 = 2

    private mutating func changeKeys(_ event: tlswatch_step, at time: UInt64, input: UInt64, rules: SessionRules) {
        if alpnDecided == 0, event.argument2 > 0 {
            // Decided earlier in this call, and not seen when: the first sight of it.
            alpnDecided = time
            if role == .server, helloRead == 0 { helloRead = input }
        }
        let change = rules.keyChange(event.argument)
        if change == .peerFinished, peerFinished == 0 { peerFinished = time }
        // Below TLS 1.3 those are a server's first keys.
        guard keyExchangeEnd == 0, change == .handshake || change == .peerFinished else { return }
        keyExchangeEnd = time
        if keyExchangeBegin == 0 { keyExchangeBegin = input }
    }

    /// Whether the alert that belongs to its failure may still be sent.
    func awaitsAlert(rules: SessionRules) -> Bool {
        alertSent == nil && fatal.map { rules.alertMayFollow($0.reason) } ?? false
    }

    /// Why it failed, from what the library said first, or from the transport.
    func failure(rules: SessionRules, io: Int32?, version: UInt32?, closeNotify: Bool) -> FailureReason {
        if let fatal {
            return rules.failure(alertSent ?? fatal.alert, fatal.reason, version)
        }
        // SSL_OP_IGNORE_UNEXPECTED_EOF makes an end of file look like a close_notify: only bytes that came can be one.
        if closeNotify, let io, io > 0 {
            return FailureReason(reason: "close_notify", alert: 0, direction: .received)
        }
        if io == nil, closeNotify { return FailureReason(reason: "peer_closed") }
        return FailureReason(reason: io.flatMap(TransportError.reason) ?? "unknown")
    }
}

/// What a transport's results mean: of send and receive, bytes or -errno.
enum TransportError {
    /// It may be asked again.
    static func isRetry(_ io: Int32) -> Bool { io == -EAGAIN || io == -EINTR }

    /// A failure's reason; `nil` where the transport did not fail.
    static func reason(_ io: Int32) -> String? {
        switch io {
        case 0, -EPIPE: "peer_closed"
        case -ECONNRESET: "connection_reset"
        case ..<0 where !isRetry(io): "transport_error"
        default: nil
        }
    }
}

extension tlswatch_socket_closed {
    /// From a connection straight to none (include/net/tcp_states.h: ESTABLISHED, CLOSE_WAIT, CLOSE).
    var isReset: Bool { new_state == 7 && (old_state == 1 || old_state == 8) }
}

extension tlswatch_socket {
    /// Neither the object's descriptor nor a handshake record tells that the socket is its own.
    var isInferred: Bool { UInt32(proof) == TLSWATCH_INFERRED.rawValue }
}

extension FailureReason {
    /// A failure without an alert.
    init(reason: String) {
        self.init(reason: reason, alert: nil, direction: nil)
    }
}

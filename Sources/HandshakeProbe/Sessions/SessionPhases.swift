import CBPF

/// The phases inside a session: what each event moves.
extension Session {
    mutating func enterCall(at time: UInt64) {
        callEnter = time
        lastActivity = max(lastActivity, time)
    }

    /// A return whose entry made no record of its own still counts the call.
    mutating func returnFromCall(_ event: tlswatch_call_return) {
        if firstSend == 0 { firstSend = event.first_send_ns }
        guard event.enter_ns != 0 else {
            // It came back to a call that it had left: the call was counted, and what ran since is not known.
            if callEnter != 0 { leaveCall(enter: callEnter, at: event.header.time_ns) }
            lastActivity = max(lastActivity, event.header.time_ns)
            return
        }
        if event.enter_ns != start { calls += 1 }
        leaveCall(enter: event.enter_ns, at: event.header.time_ns)
    }

    mutating func useSocket(_ event: tlswatch_socket) {
        lastActivity = max(lastActivity, event.header.time_ns)
        if socket == nil { socket = event }
        if event.direction == TLSWATCH_SEND.rawValue, firstSend == 0 {
            firstSend = event.header.time_ns
        }
    }

    mutating func notePeerHello(handState: UInt32, rules: SessionRules) {
        if rules.peerHelloRead(handState, role) { peerHelloRead = true }
    }

    mutating func step(_ event: tlswatch_step, rules: SessionRules) {
        let time = event.time_ns
        lastActivity = max(lastActivity, time)
        switch HookKind(rawValue: event.hook) {
        case .keyChange: changeKeys(event, at: time, rules: rules)
        case .keyAgreement:
            if !agreed {
                agreed = true
                keyExchangeBegin = event.input_ns
            }
            keyExchangeCompute &+= UInt64(event.duration_ns)
            if event.argument2 <= 0 { agreementFailed = true }
        case .alpnSelect where role == .server:
            helloRead = event.input_ns
            alpnDecided = time
        case .alpnAnswer where role == .client:
            if alpnDecided == 0 { alpnDecided = time }
        case .fatal:
            // The first one is the cause; what follows comes of it.
            if fatal == nil {
                fatal = (event.argument, event.argument2)
                if event.hand_state != UInt16(TLSWATCH_NO_STATE) {
                    notePeerHello(handState: UInt32(event.hand_state), rules: rules)
                }
            }
        case .pause:
            if callEnter != 0 { leaveCall(enter: callEnter, at: time) }
        case .alpnSelect, .alpnAnswer, .stateMachine, .stateMachineExit, .keyAgreementExit, .objectFree, nil: break
        }
    }

    private mutating func changeKeys(_ event: tlswatch_step, at time: UInt64, rules: SessionRules) {
        if alpnDecided == 0, event.argument2 > 0 {
            // Decided earlier in this call, and not seen when: the first sight of it.
            alpnDecided = time
            if role == .server, helloRead == 0 { helloRead = event.input_ns }
        }
        let change = rules.keyChange(event.argument)
        if change == .peerFinished, peerFinished == 0 { peerFinished = time }
        guard keyExchangeEnd == 0, change == .handshake else { return }
        keyExchangeEnd = time
        peerHelloRead = true
        if keyExchangeBegin == 0 { keyExchangeBegin = event.input_ns }
    }

    /// Why it failed, from what the library said first, or from the transport.
    func failure(rules: SessionRules, io: Int32?, version: UInt32?, closeNotify: Bool) -> FailureReason {
        if let fatal {
            return rules.failure(fatal.alert, fatal.reason, version)
        }
        // SSL_OP_IGNORE_UNEXPECTED_EOF makes an end of file look like a close_notify: only bytes that came can be one.
        if closeNotify, let io, io > 0 {
            return FailureReason(reason: "close_notify", alert: 0, direction: .received)
        }
        switch io {
        case nil where closeNotify: return FailureReason(reason: "peer_closed")
        case 0?, .some(-32): return FailureReason(reason: "peer_closed")
        case .some(-104): return FailureReason(reason: "connection_reset")
        case .some(let code) where code < 0 && code != -11 && code != -4:
            return FailureReason(reason: "transport_error")
        default: return FailureReason(reason: "unknown")
        }
    }
}

extension FailureReason {
    /// A failure without an alert.
    init(reason: String) {
        self.init(reason: reason, alert: nil, direction: nil)
    }
}

import CEvents
import Handshakes

/// What the decoder tells of sessions (`EventSink`), by way of `Correlation`.
extension SessionTable {
    @discardableResult mutating func callEntered(_ event: tlswatch_call_enter) -> Rejection? {
        guard let profile = entry(event.header.profile) else { return .unknownProfile }
        if !profile.identity.isEmpty, !profile.identity.contains(where: { $0.holds(event.values) }) {
            return implausible(event.header.profile)
        }
        let kind = profile.rules.entry(EntryState(values: event.values, isServer: event.server != 0))
        switch kind {
        case .start, .tentative, .renegotiate, .look:
            sane(event.header.profile)
            begin(event, kind)
        case .startUnlessWaiting:
            sane(event.header.profile)
            if let place = sessions.place(of: SessionKey(event.header)), sessions[place].hasOnlyWaited {
                sessions[place].enterCall(at: event.header.time_ns)
            } else {
                begin(event, .start)
            }
        case .untouched:
            sane(event.header.profile)
            guard let place = sessions.place(of: SessionKey(event.header)), sessions[place].isUntouched,
                !sessions[place].hasToldFailure
            else {
                begin(event, .start)
                break
            }
            sessions[place].enterCall(at: event.header.time_ns)
        case .proceed:
            guard let place = sessions.place(of: SessionKey(event.header)), !sessions[place].hasToldFailure else {
                return nil
            }
            sessions[place].enterCall(at: event.header.time_ns)
        case .unrelated: break
        case .implausible: return implausible(event.header.profile)
        }
        return nil
    }

    @discardableResult mutating func callReturned(_ event: borrowing CallReturn) -> Rejection? {
        guard let profile = entry(event.fixed.header.profile) else { return .unknownProfile }
        let key = SessionKey(event.fixed.header)
        guard let place = sessions.place(of: key) else { return nil }
        guard !sessions[place].hasToldFailure else {
            // Called again after it has failed.
            endFailed(key)
            return nil
        }
        let role = sessions[place].role
        let time = event.fixed.header.time_ns
        let io = event.fixed.io_result == TLSWATCH_NO_RESULT ? nil : event.fixed.io_result
        let state = event.state
        let exit = profile.rules.exit(ExitState(result: event.fixed.result, values: state, io: io))
        var kind = exit.kind
        if kind == .implausible { return implausible(event.fixed.header.profile) }
        sane(event.fixed.header.profile)
        for index in 0..<Int(event.fixed.steps) {
            step(event.step(index), at: place, in: event.fixed.enter_ns, rules: profile.rules)
        }
        if !sessions[place].isConfirmed {
            sessions[place].isNone = kind != .completed && profile.rules.isNone(event, role)
            let isShown =
                switch sessions[place].kind {
                case .tentative: kind != .failed && !sessions[place].isNone
                case .renegotiate: sessions[place].hasMoved(state: state[.state], detail: state[.detail])
                default: exit.isUnderWay
                }
            if isShown {
                confirm(place)
            } else if kind != .wants, sessions[place].isRenegotiation {
                withdraw(key)
                return nil
            }
        }
        // The record layer's own errors leave the state machine where it was.
        if kind == .wants, sessions[place].fatal != nil { kind = .failed }
        if state[.state] != sessions[place].entry.values[.state] { sessions[place].isUntouched = false }
        let whole = event.fixed.enter_ns == sessions[place].start
        sessions[place].returnFromCall(event.fixed, isSuspended: exit.isSuspended)
        switch kind {
        case .completed:
            let facts = profile.rules.facts(event, role, sessions[place].isRenegotiation)
            end(key, at: time, outcome: .completed, facts: facts, random: event.random, inOneCall: whole)
        case .failed:
            if !sessions[place].isConfirmed {
                if sessions[place].isNone {
                    withdraw(key)
                    return nil
                }
                confirm(place)
            }
            if sessions[place].fatal == nil { sessions[place].fatal = profile.rules.fatal(event) }
            let told = ToldFailure(
                time: time, facts: profile.rules.facts(event, role, sessions[place].isRenegotiation), io: io,
                peerHasEnded: exit.peerHasEnded, random: event.random, inOneCall: whole)
            if sessions[place].awaitsAlert(rules: profile.rules), sessions[place].closed == nil {
                sessions[place].keep(told)
            } else {
                end(key, told, profile.rules)
            }
        case .wants:
            if sessions[place].socket == nil { health[Int(event.fixed.header.profile)].hasUnknownSockets = true }
        case .implausible: break
        }
        return nil
    }

    @discardableResult mutating func stepped(_ event: tlswatch_step_record) -> Rejection? {
        guard let profile = entry(event.header.profile) else { return .unknownProfile }
        if let end = MessageEnd(event) { return messagesEnded(event, end, profile) }
        let key = SessionKey(event.header)
        guard let place = sessions.place(of: key) else { return nil }
        if event.header.hook == HookKind.objectFree.rawValue {
            sessions[place].calls += Int(max(0, event.step.argument))
            sessions[place].parts.addIdle(event.step.input_ns, until: event.header.time_ns)
            abandon(key, at: event.header.time_ns)
        } else {
            step(event.step, at: place, in: 0, rules: profile.rules)
            if sessions[place].hasToldFailure, sessions[place].alertSent != nil { endFailed(key) }
        }
        return nil
    }

    private mutating func step(
        _ event: tlswatch_step, at place: Int, in enter: UInt64, rules: SessionRules
    ) {
        if !sessions[place].isConfirmed, sessions[place].isShown(by: event) { confirm(place) }
        sessions[place].step(event, in: enter, rules: rules)
    }

    @discardableResult mutating func failedNamed(_ event: tlswatch_name) -> Rejection? {
        guard let profile = entry(event.header.profile) else { return .unknownProfile }
        guard let place = sessions.place(of: SessionKey(event.header)) else { return nil }
        step(event.step, at: place, in: 0, rules: profile.rules)
        var text = event.text
        let count = min(Int(event.length), Int(TLSWATCH_TEXT_SIZE) - 1)
        let name = unsafe withUnsafeBytes(of: &text) { bytes in
            unsafe count > 0 ? PeerText.clean(UnsafeRawBufferPointer(rebasing: bytes.prefix(count))) : nil
        }
        sessions[place].keep(refusedName: name)
        return nil
    }

    mutating func socketUsed(_ event: tlswatch_socket) {
        guard var place = sessions.place(of: SessionKey(event.header)) else { return }
        if let entry = sessions[place].entry(ofAnother: event) {
            sessions[place].callEnter = 0
            place = begin(entry, .start)
        }
        if sessions[place].isTentative { confirm(place) }
        sessions[place].useSocket(event)
    }

    mutating func socketClosed(_ event: tlswatch_socket_closed) {
        guard let place = sessions.place(of: SessionKey(event.header)),
            sessions[place].socket?.number == event.number, sessions[place].closed == nil
        else { return }
        if sessions[place].hasToldFailure {
            endFailed(SessionKey(event.header))
            return
        }
        // The library may still have the last word: the peer's alert or Finished may wait to be read, or a call is
        // on its way. Its return tells how the handshake ended; where none comes, this moment was the end.
        sessions[place].closed = event.header.time_ns
        sessions[place].isReset = event.isReset
        sessions[place].connectionError = -Int32(event.error)
    }
}

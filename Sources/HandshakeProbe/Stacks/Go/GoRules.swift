import Handshakes

/// The meaning of what a Go handshake leaves in its Conn and in its error.
extension SessionRules {
    static let go = SessionRules(
        entry: { entry in
            guard entry.values.isGoConnection, entry.values[.state] == 0,
                entry.values[.role] == (entry.isServer ? 0 : 1)
            else { return .implausible }
            return .tentative
        },
        exit: { exit in
            guard exit.values.isGoConnection else { return Exit(kind: .implausible) }
            switch (exit.result, exit.values[.state]) {
            case (0, 1): return Exit(kind: .completed)
            case (0, _): return Exit(kind: .implausible)
            default: return Exit(kind: .failed)
            }
        },
        // What the step returned: an error, or none.
        keyChange: { $0 == 0 ? .handshake : .other },
        facts: { event, role, _ in SessionFacts(go: event, role: role) },
        failsKeyExchange: { _, _, _ in false },
        failure: { alert, reason, _ in
            GoFailure(alert: alert, reason: reason).told
        },
        libraryReason: { reason, _ in GoFailure(alert: -1, reason: reason).word },
        usualReasons: GoFailure.usualReasons,
        states: KernelStates(
            end: [0, 1], over: [1], server: KernelStates.Test(fact: .role, mask: 0xff, value: 0), doneResult: 0),
        fatal: { event in GoFailure(event).map { ($0.alert, $0.reason) } },
        isNone: { event, role in
            guard let carrier = event.scalar(.carrier), carrier & GoFailure.usesSocket == 0,
                let failure = GoFailure(event)
            else { return false }
            // Read or Write of a connection that was closed before.
            if failure.value == .closed || failure.value == .canceled { return true }
            // A server on an object that is thrown away, to look at a ClientHello that was read elsewhere.
            return role == .server && failure.received == nil && carrier & 0xff != UInt32(GoValue.socket.rawValue)
                && !SessionFacts(go: event, role: role).isQUIC
        }
    )
}

/// Why a Go handshake failed: the innermost error that is known of the one returned, and the alerts of both directions.
struct GoFailure {
    /// The peer's alert plus `receivedFlag`, or the one that was sent; -1 none.
    let alert: Int32
    /// A `GoValue`, and from the ninth bit on its detail.
    let reason: Int32

    private static let receivedFlag: Int32 = 0x100
    /// Of the fact `carrier`: the call has used a socket; its context was canceled.
    static let usesSocket: UInt32 = 0x100
    static let isCanceled: UInt32 = 0x200

    init(alert: Int32, reason: Int32) { (self.alert, self.reason) = (alert, reason) }

    /// `nil` where no error was returned.
    init?(_ event: borrowing CallReturn) {
        guard let error = event.scalar(.error) else { return nil }
        func alert(_ fact: Fact) -> Int32? {
            guard let value = event.scalar(fact), value & 0xff == UInt32(GoValue.alert.rawValue) else { return nil }
            return Int32(value >> 8 & 0xff)
        }
        let (received, sent) = (alert(.incomingError), alert(.outgoingError))
        // What is sent for a bad record stands in both.
        if let sent, received == nil || received == sent || alert(.error) == sent {
            self.alert = sent
        } else {
            self.alert = received.map { $0 | Self.receivedFlag } ?? -1
        }
        // A context that is canceled closes the connection, and this is what the call finds.
        let wasCanceled = event.scalar(.carrier).map { $0 & Self.isCanceled != 0 } ?? false
        let isClosed = error & 0xff == UInt32(GoValue.closed.rawValue)
        reason = Int32(bitPattern: isClosed && wasCanceled ? UInt32(GoValue.canceled.rawValue) : error)
    }

    var value: GoValue? { GoValue(rawValue: UInt8(truncatingIfNeeded: reason)) }
    private var detail: UInt32 { UInt32(bitPattern: reason) >> 8 }

    var received: UInt8? { alert >= Self.receivedFlag ? UInt8(truncatingIfNeeded: alert) : nil }
    private var sent: UInt8? { alert >= 0 && alert < Self.receivedFlag ? UInt8(truncatingIfNeeded: alert) : nil }

    var told: FailureReason {
        if let received { return FailureReason(reason: IANA.alert(received), alert: received, direction: .received) }
        let word = certificateReason ?? transportReason
        if let sent {
            // On QUIC the transport ends it with 0: nothing was refused.
            if sent == 0 { return FailureReason(reason: "canceled") }
            return FailureReason(reason: certificateReason ?? IANA.alert(sent), alert: sent, direction: .sent)
        }
        return FailureReason(reason: word ?? "unknown")
    }

    /// A certificate that is refused: Go sends the same alert for all of these.
    private var certificateReason: String? {
        switch value {
        case .unknownAuthority: "unknown_ca"
        case .hostname: "hostname_mismatch"
        case .certificateInvalid: detail == 1 ? "certificate_expired" : "bad_certificate"
        case .constraint, .systemRoots, .criticalExtension, .algorithm, .verification: "certificate_verify_failed"
        default: nil
        }
    }

    /// The lengths and beginnings of io.EOF's and io.ErrUnexpectedEOF's texts.
    private static let endOfFile: Set<UInt32> = [text("EOF"), text("unexpected EOF")]

    private static func text(_ text: StaticString) -> UInt32 {
        unsafe UInt32(text.utf8Start[0]) | UInt32(text.utf8Start[1]) << 8 | UInt32(text.utf8CodeUnitCount) << 16
    }

    private var transportReason: String? {
        switch value {
        case .text: Self.endOfFile.contains(detail) ? "peer_closed" : nil
        case .errno: TransportError.reason(-Int32(detail & 0xffff)) ?? "transport_error"
        case .deadline: "deadline_exceeded"
        case .canceled: "canceled"
        case .closed: "closed_locally"
        case .recordHeader: "not_tls"
        case .echRejected: "ech_required"
        default: nil
        }
    }

    /// The library's own word for what it refused.
    var word: String? {
        switch value {
        case .unknownAuthority: "unknown_authority"
        case .hostname: "hostname"
        case .certificateInvalid: Self.invalid.indices.contains(Int(detail)) ? Self.invalid[Int(detail)] : nil
        case .constraint: "constraint_violation"
        case .systemRoots: "system_roots"
        case .criticalExtension: "unhandled_critical_extension"
        case .algorithm: "insecure_algorithm"
        case .echRejected: "ech_rejection"
        default: nil
        }
    }

    /// x509.InvalidReason.
    private static let invalid = [
        "not_authorized_to_sign", "expired", "ca_not_authorized_for_this_name", "too_many_intermediates",
        "incompatible_usage", "name_mismatch", "name_constraints_without_sans", "unconstrained_name",
        "too_many_constraints", "ca_not_authorized_for_ext_key_usage", "no_valid_chains",
    ]

    /// Besides the alerts.
    static let usualReasons = [
        "hostname_mismatch", "certificate_verify_failed", "peer_closed", "connection_reset", "transport_error",
        "deadline_exceeded", "canceled", "closed_locally", "not_tls",
    ]
}

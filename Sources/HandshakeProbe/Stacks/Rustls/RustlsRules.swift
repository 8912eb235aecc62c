import Handshakes

/// The meaning of what rustls's functions are handed.
extension SessionRules {
    static let rustls = SessionRules(
        // No call is seen.
        entry: { _ in .implausible },
        exit: { _ in Exit(kind: .implausible) },
        keyChange: { _ in .other },
        facts: { _, _, _ in SessionFacts() },
        failsKeyExchange: { _, _, _ in false },
        failure: { alert, reason, _ in RustlsFailure(alert: alert, reason: reason).told },
        libraryReason: { reason, _ in RustlsFailure(alert: -1, reason: reason).word },
        usualReasons: RustlsFailure.usualReasons,
        states: KernelStates(end: []),
        sent: { first, second in RustlsPayload.sent(first, second) }
    )
}

/// What rustls sends, by the payload of its Message: an enumeration whose number stands where a handshake message has the
/// capacity of its bytes, which never has the highest bit set.
enum RustlsPayload {
    /// The second one in releases in which the first is that of a message whose bytes are borrowed (0.23.12).
    private static let alerts: Set<UInt64> = [1 << 63, 1 << 63 | 1]
    private static let changeCipherSpec: UInt64 = 1 << 63 | 3
    /// AlertLevel::Fatal.
    private static let fatal: UInt64 = 1

    /// - Parameter second: of an alert the level's number, a byte that is of an unknown one, and the description's number.
    static func sent(_ first: UInt64, _ second: UInt64) -> SentMessage? {
        if first == changeCipherSpec { return .changeCipherSpec }
        guard alerts.contains(first), second & 0xff == fatal else { return nil }
        return RustlsAlert.number(UInt8(second >> 16 & 0xff)).map { .fatalAlert($0) }
    }
}

/// rustls's AlertDescription: in the order of its declaration.
enum RustlsAlert {
    private static let numbers: [UInt8] = [
        0, 10, 20, 21, 22, 30, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 60, 70, 71, 80, 86, 90, 100, 109, 110,
        111,
        112, 113, 114, 115, 116, 120, 121,
    ]

    /// The number on the wire; `nil` of one that rustls has no name for.
    static func number(_ index: UInt8) -> UInt8? {
        Int(index) < numbers.count ? numbers[Int(index)] : nil
    }
}

/// Why a connection of rustls failed: its Error's number, and in the next byte what it holds.
struct RustlsFailure {
    /// The alert that this side has sent; -1 none.
    let alert: Int32
    private let variant: Int
    private let detail: UInt8

    init(alert: Int32, reason: Int32) {
        self.alert = alert
        variant = Int(reason & 0xff)
        detail = UInt8(truncatingIfNeeded: reason >> 8)
    }

    private static let alertReceived = 10

    /// rustls's Error, in the order of its declaration.
    private static let words = [
        "inappropriate_message", "inappropriate_handshake_message", "invalid_encrypted_client_hello", "invalid_message",
        "no_certificates_presented", "unsupported_name_type", "decrypt_error", "encrypt_error", "peer_incompatible",
        "peer_misbehaved", "alert_received", "invalid_certificate", "invalid_crl", "general", "no_current_time",
        "no_random_bytes", "handshake_not_complete", "peer_sent_oversized_record", "no_application_protocol",
        "bad_max_fragment_size", "inconsistent_keys", "other",
    ]

    /// The library's own word; `nil` for what says no more than the alert that was received.
    var word: String? {
        variant == Self.alertReceived || !Self.words.indices.contains(variant) ? nil : Self.words[variant]
    }

    var told: FailureReason {
        if variant == Self.alertReceived {
            guard let number = RustlsAlert.number(detail) else { return FailureReason(reason: "unknown") }
            return FailureReason(reason: IANA.alert(number), alert: number, direction: .received)
        }
        guard alert >= 0 else { return FailureReason(reason: word ?? "unknown") }
        let number = UInt8(truncatingIfNeeded: alert)
        return FailureReason(reason: IANA.alert(number), alert: number, direction: .sent)
    }

    /// Besides the alerts.
    static let usualReasons = ["decrypt_error", "invalid_message", "peer_misbehaved"]
}

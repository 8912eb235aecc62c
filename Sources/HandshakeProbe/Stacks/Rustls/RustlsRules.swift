import Handshakes

/// The meaning of what rustls's functions are handed.
extension SessionRules {
    /// - Parameter release: `nil` where it is not known; the errors' numbers then tell nothing.
    static func rustls(_ release: RustlsRelease?) -> SessionRules {
        SessionRules(
            // No call is seen.
            entry: { _ in .implausible },
            exit: { _ in Exit(kind: .implausible) },
            keyChange: { _ in .other },
            facts: { _, _, _ in SessionFacts() },
            failsKeyExchange: { _, _, _ in false },
            failure: { alert, reason, _ in RustlsFailure(alert: alert, reason: reason, release).told },
            libraryReason: { reason, _ in RustlsFailure(alert: -1, reason: reason, release).word },
            usualReasons: RustlsFailure.usualReasons,
            states: KernelStates(end: []),
            sent: { RustlsPayload.sent($0, series: release?.series) }
        )
    }
}

/// What rustls sends, by the payload of its Message: an enumeration. Newer compilers put its number where a handshake message has
/// the capacity of its bytes, which never has the highest bit set; older ones far behind, where the site finds it.
enum RustlsPayload {
    private static let base: UInt64 = 1 << 63
    /// AlertLevel::Fatal.
    private static let fatal: UInt64 = 1

    static func sent(_ what: SentEnvelope, series: Int?) -> SentMessage? {
        switch what.variant {
        case nil:
            // In 0.23 one stands before it: that of a message whose bytes are borrowed, or of a flight.
            let isOld = series.map { $0 < 23 } ?? false
            if what.first == (isOld ? base | 2 : base | 3) { return .changeCipherSpec }
            return what.first == base || what.first == base | 1 && !isOld ? alert(what.second) : nil
        case 0: return alert(what.first)
        case 2: return .changeCipherSpec
        default: return nil
        }
    }

    /// - Parameter word: the level's number, a byte that is of an unknown one, and the description's number.
    private static func alert(_ word: UInt64) -> SentMessage? {
        guard word & 0xff == fatal else { return nil }
        return RustlsAlert.number(UInt8(word >> 16 & 0xff)).map { .fatalAlert($0) }
    }
}

/// Why a connection of rustls failed: its Error's number, and in the next byte what it holds.
struct RustlsFailure {
    /// The alert that this side has sent; -1 none.
    let alert: Int32
    private let release: RustlsRelease?
    private let variant: Int
    private let detail: UInt8

    init(alert: Int32, reason: Int32, _ release: RustlsRelease?) {
        self.alert = alert
        self.release = release
        variant = Int(reason & 0xff)
        detail = UInt8(truncatingIfNeeded: reason >> 8)
    }

    private var isAlert: Bool { release.map { $0.alertReceived == Int64(variant) } ?? false }

    /// The library's own word; `nil` for what says no more than the alert that was received.
    var word: String? {
        guard !isAlert, let words = release?.words, words.indices.contains(variant) else { return nil }
        return words[variant]
    }

    var told: FailureReason {
        if isAlert {
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

/// Why a handshake took as long as it did, in one word: its largest part, by a rule that docs/sessions.md gives.
public enum HandshakeCause: String, Sendable, CaseIterable {
    /// Peer, with a segment sent again, and long enough to hold a retransmission timeout.
    case loss
    case peer
    /// Peer, and no longer than the handshake's round trips.
    case network
    /// Unread.
    case programLate = "program_late"
    /// Run queue.
    case cpuStarved = "cpu_starved"
    /// CPU.
    case compute
    /// It took less than half of its like do.
    case none

    /// The kernel's least retransmission timeout (TCP_RTO_MIN), nanoseconds.
    static let leastRetransmissionTimeout: UInt64 = 200_000_000

    /// The cause of a session; `nil` where its largest part is not known.
    ///
    /// - Parameter median: the P50 of its like, nanoseconds; `nil` where there are too few.
    init?(of handshake: borrowing Handshake, median: UInt64?) {
        guard let largest = handshake.parts.largest else { return nil }
        if let median, handshake.duration < median {
            self = .none
            return
        }
        switch largest.part {
        case .cpu: self = .compute
        case .runqueue: self = .cpuStarved
        case .unread: self = .programLate
        case .peer:
            if handshake.retransmits ?? 0 > 0, largest.duration >= Self.leastRetransmissionTimeout {
                self = .loss
            } else if let rtt = handshake.rtt, largest.duration <= handshake.roundTrips &* rtt {
                self = .network
            } else {
                self = .peer
            }
        }
    }
}

extension Handshake {
    /// Round trips that its messages need after the TCP connection: one in TLS 1.3 and where a session is resumed, two in a
    /// full handshake below, and one more with a HelloRetryRequest. One where the version is not known.
    var roundTrips: UInt64 {
        let isShort = resumed == true || tlsVersion.map { $0 == "TLSv1.3" || $0 == "DTLSv1.3" } ?? true
        return (isShort ? 1 : 2) + (helloRetryRequest == true ? 1 : 0)
    }
}

/// How long one end waited for the other, by the packets alone: the time before each segment of the peer's is the peer's and the
/// network's. Whether the rest was computed, or was spent before the program read, packets do not tell.
///
/// Not known where a segment is missing in the account: where one was sent again, where records were missed, and where the peer's
/// record ends in a segment that was not told and this side answered.
struct PeerTime {
    private struct Turn {
        var time: UInt64
        /// The peer's time up to it.
        var sum: UInt64
    }

    /// More than a handshake has.
    private static let limit = 64
    private var turns: [Turn] = []
    private var isKnown = true
    private var wasPeers: Bool
    private var continued = false

    /// - Parameter isPeers: whether the ClientHello, which begins it, is the peer's.
    init(start: UInt64, isPeers: Bool) {
        turns = [Turn(time: start, sum: 0)]
        wasPeers = isPeers
    }

    /// Follows a segment.
    ///
    /// - Parameters:
    ///   - continues: its last record ends in a later one.
    ///   - followsGap: records before it may have been missed.
    mutating func take(at time: UInt64, isPeers: Bool, continues: Bool, followsGap: Bool) {
        guard isKnown, let last = turns.last else { return }
        guard turns.count < Self.limit, !followsGap, isPeers || !wasPeers || !continued else {
            isKnown = false
            return
        }
        // Of two processors one may be told first.
        let time = max(time, last.time)
        turns.append(Turn(time: time, sum: isPeers ? last.sum + (time - last.time) : last.sum))
        (wasPeers, continued) = (isPeers, continues)
    }

    /// Nanoseconds up to the segment with which the handshake ended; `nil` where that is not known, or it ended at none.
    func total(until end: UInt64) -> UInt64? {
        guard isKnown else { return nil }
        return turns.last { $0.time == end }?.sum
    }
}

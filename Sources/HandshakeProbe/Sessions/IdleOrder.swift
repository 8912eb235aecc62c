/// Which session of a full table has been idle longest.
///
/// A flood of handshakes that are begun and left makes every new one push out an old one. Looking at the whole table
/// each time would then stall the consumer, so the oldest few are found together and used up one after the other.
/// The answer is exact all the same: a session that has not moved since is still older than all that have.
struct IdleOrder {
    private struct Candidate {
        var key: SessionKey
        var lastActivity: UInt64
    }

    /// The longest idle last.
    private var candidates: [Candidate] = []
    /// How often the whole table was looked at.
    private(set) var surveys = 0

    /// The key of the session idle longest; `nil` for an empty table.
    mutating func longestIdle(of sessions: SessionStore) -> SessionKey? {
        if let key = next(of: sessions) { return key }
        guard !sessions.isEmpty else { return nil }
        surveys += 1
        let all = sessions.map { Candidate(key: $0, lastActivity: $1.lastActivity) }
            .sorted { $0.lastActivity < $1.lastActivity }
        candidates = all.prefix(max(1, all.count / 64)).reversed()
        return next(of: sessions)
    }

    /// The next candidate that is still there and has not moved since the survey.
    private mutating func next(of sessions: SessionStore) -> SessionKey? {
        while let candidate = candidates.popLast() {
            if sessions[candidate.key]?.lastActivity == candidate.lastActivity { return candidate.key }
        }
        return nil
    }
}

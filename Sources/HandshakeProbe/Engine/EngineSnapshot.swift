import Handshakes

/// What the engine has seen, at one instant.
package struct EngineSnapshot: Sendable {
    package var metrics: MetricsSnapshot
    /// Worked out once a second.
    package var status: StatusSnapshot?
    package var outcomes: [Outcome: UInt64]
    package var inFlight: Int
    /// Events that were lost: the ring was full, or memory was short.
    package var lost: UInt64
    package var rejected: UInt64
    /// Monotonic nanoseconds of the ring's last drain: stands still when the consumer does.
    package var drained: UInt64
    /// The last failed and slow sessions; `nil` where none are kept.
    package var recent: RecentSessions?
}

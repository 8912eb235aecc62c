/// What the engine has seen, at one instant.
public struct EngineSnapshot: Sendable {
    public var metrics: MetricsSnapshot
    /// Worked out once a second.
    public var status: StatusSnapshot?
    public var outcomes: [Outcome: UInt64]
    public var inFlight: Int
    /// Events that were lost: the ring was full, or memory was short.
    public var lost: UInt64
    public var rejected: UInt64
    /// Monotonic nanoseconds of the ring's last drain: stands still when the consumer does.
    public var drained: UInt64
}

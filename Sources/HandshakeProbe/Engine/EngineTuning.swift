import Synchronization

/// What of the options a running engine can change.
public struct EngineTuning: Sendable, Equatable {
    /// Nanoseconds; `EngineOptions.handshakeTimeout`.
    public var handshakeTimeout: UInt64
    /// Nanoseconds; `EngineOptions.sweepInterval`.
    public var sweepInterval: UInt64

    public init(_ options: EngineOptions) {
        handshakeTimeout = options.handshakeTimeout
        sweepInterval = options.sweepInterval
    }
}

/// The tuning in force: written by any thread, read by the engine's own at each turn.
final class SharedTuning: Sendable {
    private let tuning: Mutex<EngineTuning>

    init(_ options: EngineOptions) { tuning = Mutex(EngineTuning(options)) }

    var value: EngineTuning { tuning.withLock { $0 } }
    func set(_ next: EngineTuning) { tuning.withLock { $0 = next } }
}

/// What a session in flight takes.
public enum SessionMemory {
    /// Bytes of the table's storage for each: what grows by doubling has at least half of its places in use.
    public static let bytes = 2 * (2 * MemoryLayout<SessionKey>.stride + 8 + MemoryLayout<Session>.stride)
}

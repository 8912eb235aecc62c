import Synchronization

/// What of the options a running engine can change.
package struct EngineTuning: Sendable, Equatable {
    /// Nanoseconds; `EngineOptions.handshakeTimeout`.
    package var handshakeTimeout: UInt64
    /// Nanoseconds; `EngineOptions.sweepInterval`.
    package var sweepInterval: UInt64

    package init(_ options: EngineOptions) {
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
package enum SessionMemory {
    /// Bytes of the table's storage for each: what grows by doubling has at least half of its places in use.
    package static let bytes = 2 * (2 * MemoryLayout<SessionKey>.stride + 8 + MemoryLayout<Session>.stride)
}

import NIOCore
import Synchronization

/// The endpoint's connections. Past the limit the one that has kept a place longest without a whole request makes room:
/// who connects and says nothing, or says it slowly, keeps nobody out. Any thread.
final class OpenConnections: Sendable {
    private struct Entry {
        /// Counts up with each change of any connection: lower is longer ago.
        var turn: UInt64
        /// Whether it waits for a request, or for the rest of one.
        var waits: Bool
        let close: @Sendable () -> Void
    }

    private struct State {
        var entries: [ObjectIdentifier: Entry] = [:]
        var turn: UInt64 = 0
    }

    private let limit: Int
    private let state = Mutex(State())

    init(limit: Int) {
        self.limit = limit
    }

    /// A connection is there, and waits. `close` may be called from any thread, once.
    func opened(_ connection: AnyObject, close: @escaping @Sendable () -> Void) {
        let evicted = state.withLock { state -> (@Sendable () -> Void)? in
            var evicted: (@Sendable () -> Void)?
            if state.entries.count >= limit,
                let longest = state.entries.filter({ $0.value.waits }).min(by: { $0.value.turn < $1.value.turn })
            {
                evicted = state.entries.removeValue(forKey: longest.key)?.close
            }
            state.turn += 1
            state.entries[ObjectIdentifier(connection)] = Entry(turn: state.turn, waits: true, close: close)
            return evicted
        }
        evicted?()
    }

    /// It has a request to be answered, or waits for the next one.
    func changed(_ connection: AnyObject, waits: Bool) {
        state.withLock { state in
            state.turn += 1
            let turn = state.turn
            state.entries[ObjectIdentifier(connection)]?.turn = turn
            state.entries[ObjectIdentifier(connection)]?.waits = waits
        }
    }

    func closed(_ connection: AnyObject) {
        state.withLock { _ = $0.entries.removeValue(forKey: ObjectIdentifier(connection)) }
    }
}

import Dispatch
import Handshakes
import Synchronization

/// Finished sessions on their way from the thread that replays a recording to the one that takes them, in the order in which
/// they finished. A few batches wait at most: a recording may hold millions.
final class ReplayHandoff: Sendable {
    private struct State {
        var batches: [[Handshake]] = []
        var isWanted = true
        var ending: Replay.Ending?
    }

    private static let places = 4

    private let state = Mutex(State())
    private let free = DispatchSemaphore(value: 0)
    private let waiting = DispatchSemaphore(value: 0)

    init() { for _ in 0..<Self.places { free.signal() } }

    // MARK: the thread that replays

    /// Hands a batch over once there is a place for it. False where no more are wanted.
    func give(_ batch: [Handshake]) -> Bool {
        free.wait()
        let isWanted = state.withLock { state in
            if state.isWanted { state.batches.append(batch) }
            return state.isWanted
        }
        waiting.signal()
        return isWanted
    }

    /// Nothing comes after this.
    func end(_ ending: Replay.Ending) {
        state.withLock { $0.ending = ending }
        waiting.signal()
    }

    // MARK: the thread that takes

    /// The next batch; `nil` at the end.
    func take() -> [Handshake]? {
        waiting.wait()
        let batch = state.withLock { $0.batches.isEmpty ? nil : $0.batches.removeFirst() }
        if batch != nil { free.signal() }
        return batch
    }

    /// No more are wanted. What was said at the end, which may still have to come.
    func stop() -> Replay.Ending {
        state.withLock {
            $0.isWanted = false
            $0.batches.removeAll()
        }
        free.signal()
        while true {
            if let ending = state.withLock({ $0.ending }) { return ending }
            waiting.wait()
        }
    }
}

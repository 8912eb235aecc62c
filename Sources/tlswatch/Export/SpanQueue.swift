import Handshakes
import Synchronization

/// Sessions that are to become spans, until they are taken. Bounded: what comes when it is full is counted and let go, so that
/// nobody who measures waits for a collector.
final class SpanQueue: Sendable {
    /// Sessions, of some 2 kB each.
    static let limit = 2_048

    private struct State {
        var waiting: [Handshake] = []
        var random: SplitMix
    }

    private let slow: UInt64
    private let share: Double
    private let accounts: OTLPAccounts
    private let state: Mutex<State>

    /// - Parameter slow: nanoseconds from which on a completed session is slow.
    /// - Parameter share: of the others, from 0 to 1.
    init(slow: UInt64, share: Double, accounts: OTLPAccounts, seed: UInt64 = .random(in: 0 ... .max)) {
        self.slow = slow
        self.share = share
        self.accounts = accounts
        state = Mutex(State(random: SplitMix(state: seed)))
    }

    /// Keeps those that are wanted. The ring's thread: a comparison for each that is not.
    func offer(_ sessions: [Handshake]) {
        guard share > 0 || sessions.contains(where: { $0.failedOrWasSlow(slow) }) else { return }
        let lost = state.withLock { state in
            var lost = 0
            for session in sessions {
                guard session.failedOrWasSlow(slow) || share > 0 && state.random.fraction() < share else { continue }
                if state.waiting.count < Self.limit { state.waiting.append(session) } else { lost += 1 }
            }
            return lost
        }
        accounts.spans(.queueFull, lost)
    }

    var count: Int { state.withLock { $0.waiting.count } }

    /// All that wait, the oldest first.
    func take() -> [Handshake] {
        state.withLock { state in
            let taken = state.waiting
            state.waiting = []
            return taken
        }
    }
}

/// A generator of numbers for a sample (Steele, Lea, Flood: "Fast splittable pseudorandom number generators").
private struct SplitMix {
    var state: UInt64

    /// From 0 up to 1.
    mutating func fraction() -> Double {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return Double((mixed ^ (mixed >> 31)) >> 11) * 0x1p-53
    }
}

import HandshakeProbe
import Kernel
import Synchronization

/// How many lines this process may log: a burst, then some each second. What other programs do makes most of them, and
/// other programs may do anything. Any thread.
final class LogBudget: Sendable {
    /// The logging system is the process's own, and so is its budget.
    static let process = LogBudget()

    private let limiter: RateLimiter
    private let left = Mutex((pending: UInt64(0), total: UInt64(0)))

    /// - Parameter limit: 200 lines at once and 10 each second, unless told otherwise.
    init(_ limit: RateLimit = .init(interval: 100_000_000, burst: 200), now: UInt64 = monotonicNow()) {
        limiter = RateLimiter(limit, now: now)
    }

    /// Whether a line may be written, and how many were left out before it.
    func admit(now: UInt64 = monotonicNow()) -> (admitted: Bool, leftOut: UInt64) {
        let admitted = limiter.admits(now: now)
        return left.withLock { left in
            guard admitted else {
                left.pending += 1
                left.total += 1
                return (false, 0)
            }
            defer { left.pending = 0 }
            return (true, left.pending)
        }
    }

    /// A line that was admitted could not be written.
    func leftOut() {
        left.withLock { left in
            left.pending += 1
            left.total += 1
        }
    }

    /// Lines left out since the start.
    var total: UInt64 { left.withLock { $0.total } }
}

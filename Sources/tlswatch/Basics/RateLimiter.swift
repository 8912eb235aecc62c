import HandshakeProbe
import Kernel
import Synchronization

/// One request each `interval` nanoseconds, and `burst` of them at once.
struct RateLimit: Sendable, Equatable {
    var interval: UInt64
    var burst: Int
}

/// A token bucket: one request each interval, and a burst of them. For any thread.
final class RateLimiter: Sendable {
    private struct Bucket {
        var tokens: Double
        var filled: UInt64
    }

    private let limit: RateLimit
    private let bucket: Mutex<Bucket>

    /// - Parameter now: monotonic nanoseconds.
    init(_ limit: RateLimit, now: UInt64 = monotonicNow()) {
        self.limit = limit
        bucket = Mutex(Bucket(tokens: Double(limit.burst), filled: now))
    }

    func admits(now: UInt64 = monotonicNow()) -> Bool {
        bucket.withLock { bucket in
            // Two threads' readings may come in the wrong order.
            let elapsed = now > bucket.filled ? now - bucket.filled : 0
            bucket.filled += elapsed
            bucket.tokens = min(Double(limit.burst), bucket.tokens + Double(elapsed) / Double(limit.interval))
            guard bucket.tokens >= 1 else { return false }
            bucket.tokens -= 1
            return true
        }
    }
}

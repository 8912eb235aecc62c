import HandshakeProbe
import Handshakes
import Synchronization

/// Why a request was not served: the label `reason` of `tlswatch_http_requests_rejected_total`.
enum RequestRejection: String, CaseIterable, Sendable {
    /// Neither GET nor HEAD.
    case method
    case headersTooLarge = "headers_too_large"
    case bodyTooLarge = "body_too_large"
    case malformed
    case unauthorized
    /// The web configuration's `rate_limit`.
    case rateLimited = "rate_limited"
    /// Too many scrapes, or passwords to check, at a time.
    case busy
    /// It did not arrive in time.
    case readTimeout = "read_timeout"
    /// It kept a connection that others needed, without a whole request on it.
    case evicted
    /// Its answer was not taken in time.
    case writeTimeout = "write_timeout"
}

/// The HTTP side's account of itself. For any thread.
final class EndpointAccounts: Sendable {
    private struct State {
        var served: UInt64 = 0
        var lastDuration: UInt64?
        var rejected: [RequestRejection: UInt64] = [:]
    }

    private let state = Mutex(State())

    func sample() -> ScrapeSample {
        let state = state.withLock { $0 }
        var sample = ScrapeSample(served: state.served, lastDuration: state.lastDuration)
        sample.suppressedLogLines = LogBudget.process.total
        sample.rejected = RequestRejection.allCases.map { .init(reason: $0.rawValue, count: state.rejected[$0] ?? 0) }
        return sample
    }

    /// One scrape was made, in `duration` nanoseconds.
    func served(in duration: UInt64) {
        state.withLock { state in
            state.served += 1
            state.lastDuration = duration
        }
    }

    func rejected(_ reason: RequestRejection) {
        state.withLock { $0.rejected[reason, default: 0] += 1 }
    }
}

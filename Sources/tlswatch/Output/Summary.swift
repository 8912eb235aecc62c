import HandshakeProbe
import Handshakes

/// What a capture saw, in a few lines.
struct Summary {
    private struct Key: Hashable {
        var role: Role
        var stack: String
    }

    /// Completed sessions whose time is known by part, and the sums of their parts, nanoseconds.
    private struct Times {
        var sessions: UInt64 = 0
        var cpu: UInt64 = 0
        var runqueue: UInt64 = 0
        var unread: UInt64 = 0
        var peer: UInt64 = 0

        /// `nil` without a session.
        var text: String? {
            guard sessions > 0 else { return nil }
            let parts = [("cpu", cpu), ("runqueue", runqueue), ("unread", unread), ("peer", peer)]
            let whole = parts.reduce(0) { $0 &+ $1.1 }
            return parts.map { "\($0) \(DisplayText.share($1, of: whole).replacing("\u{a0}", with: " "))" }
                .joined(separator: ", ")
        }
    }

    private var times: [Key: Times] = [:]
    private var durations: [Key: DurationSample] = [:]
    private var outcomes: [Outcome: UInt64] = [:]
    private var reasons: [String: UInt64] = [:]
    private(set) var sessions: UInt64 = 0
    private let exactLimit: Int

    /// - Parameter exactLimit: durations of a role and stack that are kept for exact quantiles.
    init(exactLimit: Int = DurationSample.standardLimit) {
        self.exactLimit = exactLimit
    }

    mutating func add(_ handshake: Handshake) {
        sessions += 1
        outcomes[handshake.outcome, default: 0] += 1
        if handshake.outcome == .completed {
            let key = Key(role: handshake.role, stack: handshake.stack)
            durations[key, default: DurationSample(limit: exactLimit)].insert(handshake.duration)
            add(handshake.parts, to: &times[key, default: Times()])
        } else if handshake.outcome == .failed {
            reasons[handshake.reason ?? "unknown", default: 0] += 1
        }
    }

    private func add(_ parts: HandshakeParts, to times: inout Times) {
        guard let cpu = parts.cpu, let runqueue = parts.runqueue, let unread = parts.unread, let peer = parts.peer
        else {
            return
        }
        times.sessions += 1
        times.cpu &+= cpu
        times.runqueue &+= runqueue
        times.unread &+= unread
        times.peer &+= peer
    }

    /// - Parameters:
    ///   - inFlight: handshakes that had not ended.
    ///   - lost: events lost; above zero the figures are incomplete, and the text says so.
    ///   - unprinted: sessions that nobody took in time, which are in none of the figures.
    ///   - passedOver: sessions that did not meet the condition; `nil` where there is none.
    func text(inFlight: Int, lost: UInt64, unprinted: UInt64 = 0, passedOver: UInt64? = nil) -> String {
        let counts = Outcome.allCases.map { "\(outcomes[$0] ?? 0) \($0.rawValue)" }.joined(separator: ", ")
        var lines = [
            "\(sessions) session\(sessions == 1 ? "" : "s"): \(counts)"
                + (inFlight > 0 ? "; \(inFlight) still in flight" : "")
        ]
        for (key, sample) in durations.sorted(by: {
            ($0.key.role.rawValue, $0.key.stack) < ($1.key.role.rawValue, $1.key.stack)
        }) {
            var sample = sample
            let quantiles = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)].compactMap { name, quantile in
                sample.quantile(quantile).map { "\(name) \(DurationText.compact($0))" }
            }
            let error = sample.isExact ? "" : " (within 0.5 %: more than \(exactLimit) values)"
            lines.append(
                "\(key.role.rawValue) \(key.stack): \(sample.count) completed, "
                    + quantiles.joined(separator: ", ") + error)
            if let known = times[key], let text = known.text {
                let count = known.sessions < sample.count ? " (\(known.sessions) of \(sample.count) sessions)" : ""
                lines.append("\(key.role.rawValue) \(key.stack): time spent: \(text)\(count)")
            }
        }
        for (reason, count) in reasons.sorted(by: { ($1.value, $0.key) < ($0.value, $1.key) }) {
            lines.append("failed \(reason): \(count)")
        }
        if let passedOver {
            lines.append("\(DisplayText.count(passedOver, "session", "sessions")) excluded by --where")
        }
        if lost > 0 {
            lines.append("INCOMPLETE: \(lost) events were lost; some sessions are missing or truncated")
        }
        if unprinted > 0 {
            lines.append("INCOMPLETE: \(unprinted) sessions were discarded because the output was not read in time")
        }
        return lines.joined(separator: "\n") + "\n"
    }
}

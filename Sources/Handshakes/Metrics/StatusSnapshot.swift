/// What the status page shows, at one instant: immutable, for any thread.
///
/// Durations are nanoseconds. What is not known is `nil`, never zero.
package struct StatusSnapshot: Sendable, Equatable {
    /// The completed handshakes of one role in the window.
    package struct Figures: Sendable, Equatable {
        package var role: Role
        /// How many the quantiles stand on.
        package var sessions: UInt64
        /// `nil` while the window holds none.
        package var p50, p90, p99: UInt64?
        /// `pointSeconds(window:)` apart, oldest first: the last is for the time now running. Fewer than the window has
        /// before it has passed once.
        package var points: [Point]

        package init(role: Role, sessions: UInt64, p50: UInt64?, p90: UInt64?, p99: UInt64?, points: [Point]) {
            self.role = role
            self.sessions = sessions
            (self.p50, self.p90, self.p99) = (p50, p90, p99)
            self.points = points
        }
    }

    /// The window's quantiles as they stood at one time, and the handshakes completed since the point before.
    package struct Point: Sendable, Equatable {
        package var completed: UInt64
        package var p50, p90, p99: UInt64?

        package init(completed: UInt64, p50: UInt64?, p90: UInt64?, p99: UInt64?) {
            self.completed = completed
            (self.p50, self.p90, self.p99) = (p50, p90, p99)
        }
    }

    /// Sessions that ended, since the start.
    package struct Ended: Sendable, Equatable {
        package var role: Role
        package var outcome: Outcome
        /// As in `tlswatch_handshakes_total`; `nil` for completed ones.
        package var reason: String?
        package var count: UInt64

        package init(role: Role, outcome: Outcome, reason: String?, count: UInt64) {
            self.role = role
            self.outcome = outcome
            self.reason = reason
            self.count = count
        }
    }

    /// A TLS library or binary that was found.
    package struct Library: Sendable, Equatable {
        package var stack: String
        package var path: String
        package var version: String?
        /// How many processes map it now.
        package var processes: Int
        /// Why it is not observed; `nil` where it is.
        package var unobserved: String?
        /// The reason in a sentence.
        package var detail: String?

        package init(
            stack: String, path: String, version: String?, processes: Int, unobserved: String?, detail: String?
        ) {
            self.stack = stack
            self.path = path
            self.version = version
            self.processes = processes
            self.unobserved = unobserved
            self.detail = detail
        }
    }

    /// Points of a chart, at most.
    private static let pointLimit: UInt64 = 120

    /// Seconds from point to point of a window of so many: one, where it is no longer than two minutes.
    package static func pointSeconds(window: UInt64) -> UInt64 { max(1, (window + pointLimit - 1) / pointLimit) }

    /// Nanoseconds since 1970, for display.
    package var wallTime: Int64
    /// Seconds since observation began.
    package var uptime: UInt64
    /// Length of the window, seconds.
    package var window: UInt64
    /// Whether the window overlaps lost events.
    package var incomplete: Bool
    /// By role, client first; a role without a session has an entry too.
    package var figures: [Figures]
    /// By role, outcome and count, the most frequent first.
    package var ended: [Ended]
    package var inFlight: UInt64
    /// The slowest completed ones that ended in the window, slowest first, at most ten.
    package var slowest: [Handshake]
    package var libraries: [Library]
    /// Processes that use TLS and are observed, and those that are not, by reason.
    package var observedProcesses: UInt64
    package var unobservedProcesses: [String: UInt64]
    /// Events lost or rejected since the start.
    package var lost: UInt64

    package init(
        wallTime: Int64, uptime: UInt64, window: UInt64, incomplete: Bool, figures: [Figures], ended: [Ended],
        inFlight: UInt64, slowest: [Handshake], libraries: [Library], observedProcesses: UInt64,
        unobservedProcesses: [String: UInt64], lost: UInt64
    ) {
        self.wallTime = wallTime
        self.uptime = uptime
        self.window = window
        self.incomplete = incomplete
        self.figures = figures
        self.ended = ended
        self.inFlight = inFlight
        self.slowest = slowest
        self.libraries = libraries
        self.observedProcesses = observedProcesses
        self.unobservedProcesses = unobservedProcesses
        self.lost = lost
    }
}

/// The sessions' part of a status, as the registry knows it.
package struct SessionStatus: Sendable {
    package var window: UInt64
    package var incomplete: Bool
    package var figures: [StatusSnapshot.Figures]
    package var ended: [StatusSnapshot.Ended]
    package var slowest: [Handshake]

    /// One entry for each role, outcome and reason, the most frequent first within an outcome.
    static func merged(_ ended: [StatusSnapshot.Ended]) -> [StatusSnapshot.Ended] {
        var merged: [StatusSnapshot.Ended] = []
        for entry in ended {
            let known = merged.firstIndex {
                ($0.role, $0.outcome, $0.reason) == (entry.role, entry.outcome, entry.reason)
            }
            if let known { merged[known].count &+= entry.count } else { merged.append(entry) }
        }
        func rank(_ outcome: Outcome) -> Int { Outcome.allCases.firstIndex(of: outcome) ?? 0 }
        return merged.sorted {
            ($0.role.rawValue, rank($0.outcome), $1.count, $0.reason ?? "")
                < ($1.role.rawValue, rank($1.outcome), $0.count, $1.reason ?? "")
        }
    }
}

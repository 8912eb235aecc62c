/// What the status page shows, at one instant: immutable, for any thread.
///
/// Durations are nanoseconds. What is not known is `nil`, never zero.
public struct StatusSnapshot: Sendable, Equatable {
    /// The completed handshakes of one role in the window.
    public struct Figures: Sendable, Equatable {
        public var role: Role
        /// How many the quantiles stand on.
        public var sessions: UInt64
        /// `nil` while the window holds none.
        public var p50, p90, p99: UInt64?
        /// `pointSeconds(window:)` apart, oldest first: the last is for the time now running. Fewer than the window has
        /// before it has passed once.
        public var points: [Point]

        public init(role: Role, sessions: UInt64, p50: UInt64?, p90: UInt64?, p99: UInt64?, points: [Point]) {
            self.role = role
            self.sessions = sessions
            (self.p50, self.p90, self.p99) = (p50, p90, p99)
            self.points = points
        }
    }

    /// The window's quantiles as they stood at one time, and the handshakes completed since the point before.
    public struct Point: Sendable, Equatable {
        public var completed: UInt64
        public var p50, p90, p99: UInt64?

        public init(completed: UInt64, p50: UInt64?, p90: UInt64?, p99: UInt64?) {
            self.completed = completed
            (self.p50, self.p90, self.p99) = (p50, p90, p99)
        }
    }

    /// Sessions that ended, since the start.
    public struct Ended: Sendable, Equatable {
        public var role: Role
        public var outcome: Outcome
        /// As in `tlswatch_handshakes_total`; `nil` for completed ones.
        public var reason: String?
        public var count: UInt64

        public init(role: Role, outcome: Outcome, reason: String?, count: UInt64) {
            self.role = role
            self.outcome = outcome
            self.reason = reason
            self.count = count
        }
    }

    /// A TLS library or binary that was found.
    public struct Library: Sendable, Equatable {
        public var stack: String
        public var path: String
        public var version: String?
        /// How many processes map it now.
        public var processes: Int
        /// Why it is not observed; `nil` where it is.
        public var unobserved: String?
        /// The reason in a sentence.
        public var detail: String?

        public init(
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
    public static func pointSeconds(window: UInt64) -> UInt64 { max(1, (window + pointLimit - 1) / pointLimit) }

    /// Nanoseconds since 1970, for display.
    public var wallTime: Int64
    /// Seconds since observation began.
    public var uptime: UInt64
    /// Length of the window, seconds.
    public var window: UInt64
    /// Whether the window overlaps lost events.
    public var incomplete: Bool
    /// By role, client first; a role without a session has an entry too.
    public var figures: [Figures]
    /// By role, outcome and count, the most frequent first.
    public var ended: [Ended]
    public var inFlight: UInt64
    /// The slowest completed ones that ended in the window, slowest first, at most ten.
    public var slowest: [Handshake]
    public var libraries: [Library]
    /// Processes that use TLS and are observed, and those that are not, by reason.
    public var observedProcesses: UInt64
    public var unobservedProcesses: [String: UInt64]
    /// Events lost or rejected since the start.
    public var lost: UInt64

    public init(
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
public struct SessionStatus: Sendable {
    public var window: UInt64
    public var incomplete: Bool
    public var figures: [StatusSnapshot.Figures]
    public var ended: [StatusSnapshot.Ended]
    public var slowest: [Handshake]

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

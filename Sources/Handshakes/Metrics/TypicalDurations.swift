/// How long sessions of a role and stack take: the P50 of those completed in the sliding window, for the causes.
///
/// Goes by the sessions' own times, so that a recording gives what the live events gave. Owned by the registry's thread.
struct TypicalDurations: Sendable {
    private struct Line: Sendable {
        let role: Role
        let stack: String
        var window: SlidingWindow
        /// As it was worked out last, and from how many.
        var median: UInt64?
        var sessions: UInt64 = 0
        var judged: UInt64 = 0

        /// In place: the window's slots are not to be copied.
        mutating func update(now: UInt64, scratch: inout [UInt64]) -> UInt64? {
            let count = window.count(now: now)
            if count < TypicalDurations.leastSessions {
                median = nil
            } else if median == nil || now - judged >= TypicalDurations.interval || count / 2 >= sessions {
                median = window.quantiles([0.5], now: now, scratch: &scratch).first
                (sessions, judged) = (count, now)
            }
            return median
        }
    }

    /// Fewer completed sessions have no P50 that another one could be held against.
    static let leastSessions: UInt64 = 10
    /// Nanoseconds for which a P50 holds, unless twice as many sessions are there.
    private static let interval: UInt64 = 200_000_000

    private let length: WindowLength
    /// A few: a stack has two.
    private var lines: [Line] = []
    /// The latest end of a session so far.
    private var now: UInt64 = 0
    private var scratch: [UInt64] = []

    init(_ length: WindowLength) { self.length = length }

    /// The P50 of the sessions before this one, nanoseconds; `nil` if they are fewer than `leastSessions`. A completed one
    /// is among those of the next.
    mutating func median(before handshake: borrowing Handshake) -> UInt64? {
        now = max(now, handshake.end)
        let place = place(handshake.role, handshake.stack)
        let median = lines[place].update(now: now, scratch: &scratch)
        if handshake.outcome == .completed {
            lines[place].window.insert(handshake.duration, at: handshake.end, now: now)
        }
        return median
    }

    private mutating func place(_ role: Role, _ stack: String) -> Int {
        if let place = lines.firstIndex(where: { $0.role == role && $0.stack == stack }) { return place }
        lines.append(
            Line(
                role: role, stack: stack,
                window: SlidingWindow(window: length.nanoseconds, slotLength: length.slotLength)))
        return lines.count - 1
    }
}

/// What the status page shows beyond the metrics: each role's quantiles over the last window, second by second, and the
/// slowest sessions in it. Owned by the registry's thread.
struct StatusBoard: Sendable {
    private struct Line: Sendable {
        let role: Role
        var window: SlidingWindow
        var points: [StatusSnapshot.Point] = []
        /// In the step now running.
        var completed: UInt64 = 0
        var scratch: [UInt64] = []

        /// The point of the step now running.
        mutating func point(now: UInt64) -> StatusSnapshot.Point {
            let found = window.quantiles([0.5, 0.9, 0.99], now: now, scratch: &scratch)
            func value(_ index: Int) -> UInt64? { index < found.count ? found[index] : nil }
            return StatusSnapshot.Point(completed: completed, p50: value(0), p90: value(1), p99: value(2))
        }

        mutating func endStep(at time: UInt64, keeping kept: Int) {
            points.append(point(now: time))
            completed = 0
            if points.count > kept { points.removeFirst(points.count - kept) }
        }
    }

    private let length: WindowLength
    /// Nanoseconds from point to point.
    private let step: UInt64
    private var lines: [Line]
    private var slowest: SlowestSessions
    /// The number of the step now running.
    private var number: UInt64?

    init(_ length: WindowLength) {
        self.length = length
        step = StatusSnapshot.pointSeconds(window: length.seconds) * 1_000_000_000
        slowest = SlowestSessions(window: length.nanoseconds)
        lines = Role.allCases.map {
            Line(role: $0, window: SlidingWindow(window: length.nanoseconds, slotLength: length.slotLength))
        }
    }

    /// The window's length.
    var seconds: UInt64 { length.seconds }

    mutating func completed(_ handshake: Handshake, now: UInt64) {
        advance(to: now)
        for index in lines.indices where lines[index].role == handshake.role {
            lines[index].window.insert(handshake.duration, at: handshake.end, now: now)
            lines[index].completed &+= 1
        }
        slowest.insert(handshake, now: now)
    }

    mutating func figures(now: UInt64) -> [StatusSnapshot.Figures] {
        advance(to: now)
        return lines.indices.map { index in
            let point = lines[index].point(now: now)
            return StatusSnapshot.Figures(
                role: lines[index].role, sessions: lines[index].window.count(now: now), p50: point.p50, p90: point.p90,
                p99: point.p99, points: lines[index].points + [point])
        }
    }

    mutating func slowest(now: UInt64) -> [Handshake] { slowest.list(now: now) }

    /// Ends the steps that have passed: each point is as the window stood when its step ended.
    private mutating func advance(to now: UInt64) {
        let current = now / step
        defer { number = max(number ?? 0, current) }
        guard let number, current > number else { return }
        let kept = Int(length.nanoseconds / step) - 1
        for ended in max(number, current - min(current, UInt64(kept) + 1))..<current {
            for index in lines.indices { lines[index].endStep(at: (ended + 1) * step - 1, keeping: kept) }
        }
    }
}

/// The slowest completed sessions of a window, to a twelfth of its length. Bounded.
struct SlowestSessions: Sendable {
    static let limit = 10
    private static let slots: UInt64 = 12

    private var ring: SlotRing
    /// By slot, slowest first.
    private var kept: [[Handshake]]

    init(window: UInt64) {
        ring = SlotRing(window: window, slotLength: window / Self.slots)
        kept = [[Handshake]](repeating: [], count: ring.count)
    }

    mutating func insert(_ handshake: Handshake, now: UInt64) {
        expire(now: now)
        guard let slot = ring.slot(of: handshake.end) else { return }
        let position = ring.position(of: slot)
        if let last = kept[position].last, kept[position].count == Self.limit, last.duration >= handshake.duration {
            return
        }
        let place = kept[position].firstIndex { $0.duration < handshake.duration } ?? kept[position].endIndex
        kept[position].insert(handshake, at: place)
        if kept[position].count > Self.limit { kept[position].removeLast() }
    }

    /// The slowest, slowest first.
    mutating func list(now: UInt64) -> [Handshake] {
        expire(now: now)
        return Array(kept.joined().sorted { $0.duration > $1.duration }.prefix(Self.limit))
    }

    private mutating func expire(now: UInt64) {
        for slot in ring.advance(to: now) { kept[ring.position(of: slot)].removeAll(keepingCapacity: true) }
    }
}

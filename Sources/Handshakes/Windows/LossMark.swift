/// Remembers the newest loss of events, for as long as a window overlaps it.
package struct LossMark: Sendable {
    private var ring: SlotRing
    private var lastLoss: UInt64?

    /// Nanoseconds both.
    package init(window: UInt64, slotLength: UInt64) {
        ring = SlotRing(window: window, slotLength: slotLength)
    }

    /// Events were lost, the last of them at `time`.
    package mutating func mark(at time: UInt64, now: UInt64) {
        _ = ring.advance(to: now)
        lastLoss = max(lastLoss ?? 0, min(time, now))
    }

    /// Whether the window that ends at `now` overlaps a loss.
    package mutating func isIncomplete(now: UInt64) -> Bool {
        _ = ring.advance(to: now)
        guard let lastLoss else { return false }
        return ring.slot(of: lastLoss) != nil
    }
}

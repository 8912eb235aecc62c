/// Quantiles, count and sum of the durations of the last `window` nanoseconds.
///
/// Each slot (a second) has a histogram and all of them a running total, from which the expiring slot is subtracted.
/// Up to `exactLimit` values in the window, quantiles are exact by nearest rank; beyond, within 0.39 % of the value.
/// Both agree on what is in the window, since both go by slots: a value leaves with its slot, at most one slot early.
///
/// Never reads a clock: every call takes `now`, monotonic nanoseconds. A late value goes to the slot of its own time;
/// one older than the window is refused and counted. Owned by one thread; no allocation in the steady state.
public struct SlidingWindow: Sendable {
    /// The largest count that is answered exactly.
    public static let exactLimit = 256

    private var ring: SlotRing
    private var slots: [LogHistogram]
    private var total = LogHistogram()
    private var recent = RecentValues(capacity: SlidingWindow.exactLimit)
    private var sorted: [UInt64] = []
    private var loss: LossMark

    /// Values refused because they were older than the window when they came.
    public private(set) var expiredOnArrival: UInt64 = 0

    /// Nanoseconds both; the window is rounded up to whole slots.
    public init(window: UInt64 = 60_000_000_000, slotLength: UInt64 = 1_000_000_000) {
        ring = SlotRing(window: window, slotLength: slotLength)
        loss = LossMark(window: window, slotLength: slotLength)
        slots = [LogHistogram](repeating: LogHistogram(), count: ring.count)
        sorted.reserveCapacity(Self.exactLimit)
    }

    /// Bytes of bucket storage held now, for all slots and the total.
    public var storageBytes: Int {
        slots.reduce(total.storageBytes) { $0 + $1.storageBytes }
    }

    /// Counts a duration of `nanoseconds` that ended at `time`; false when it was older than the window.
    @discardableResult
    public mutating func insert(_ nanoseconds: UInt64, at time: UInt64, now: UInt64) -> Bool {
        expire(now: now)
        guard let slot = ring.slot(of: time) else {
            expiredOnArrival &+= 1
            return false
        }
        slots[ring.position(of: slot)].insert(nanoseconds)
        total.insert(nanoseconds)
        recent.insert(nanoseconds, slot: slot)
        return true
    }

    /// How many values are in the window.
    public mutating func count(now: UInt64) -> UInt64 {
        expire(now: now)
        return total.count
    }

    /// The sum of the values in the window, nanoseconds.
    public mutating func sum(now: UInt64) -> UInt64 {
        expire(now: now)
        return total.sum
    }

    /// The values of nearest rank ceil(q × count), nanoseconds, one for each of `wanted` (0...1); empty when the window
    /// is, or when a wanted quantile is not within 0...1.
    public mutating func quantiles(_ wanted: [Double], now: UInt64) -> [UInt64] {
        expire(now: now)
        let count = total.count
        let exact = count <= UInt64(Self.exactLimit)
        if exact { recent.sortNewest(Int(count), into: &sorted) }
        var found: [UInt64] = []
        found.reserveCapacity(wanted.count)
        for quantile in wanted {
            guard let rank = nearestRank(quantile, of: count) else { return [] }
            if exact {
                found.append(sorted[Int(rank) - 1])
            } else if let value = total.value(atRank: rank) {
                found.append(value)
            }
        }
        return found
    }

    /// Events were lost, the last of them at `time`: what the window says is a part of the truth until it has left.
    public mutating func markLoss(at time: UInt64, now: UInt64) {
        loss.mark(at: time, now: now)
    }

    /// Whether the window that ends at `now` overlaps lost events.
    public mutating func isIncomplete(now: UInt64) -> Bool {
        loss.isIncomplete(now: now)
    }

    private mutating func expire(now: UInt64) {
        for slot in ring.advance(to: now) {
            let position = ring.position(of: slot)
            guard slots[position].count > 0 else { continue }
            total.subtract(slots[position])
            slots[position].reset()
        }
        // Lets go of pages that only expired outliers had needed.
        if total.count == 0 { total.reset() }
    }
}

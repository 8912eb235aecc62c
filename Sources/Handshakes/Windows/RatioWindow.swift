/// A summed numerator over a summed denominator in the last `window` nanoseconds: failures over attempts, ALPN time
/// over handshake time.
///
/// A value counts at once and leaves with its slot, at most one slot early: the slot's length is how stale the ratio
/// can be. Never reads a clock: `now` is monotonic nanoseconds. Owned by one thread; no allocation after `init`.
public struct RatioWindow: Sendable {
    private struct Pair: Sendable {
        var numerator: UInt64 = 0
        var denominator: UInt64 = 0
    }

    private var ring: SlotRing
    private var slots: [Pair]
    private var total = Pair()

    /// Values refused because they were older than the window when they came.
    public private(set) var expiredOnArrival: UInt64 = 0

    /// Nanoseconds both; the window is rounded up to whole slots.
    public init(window: UInt64 = 60_000_000_000, slotLength: UInt64 = 250_000_000) {
        ring = SlotRing(window: window, slotLength: slotLength)
        slots = [Pair](repeating: Pair(), count: ring.count)
    }

    /// Adds to both sums what belongs to `time`; false when it was older than the window.
    @discardableResult
    public mutating func add(numerator: UInt64, denominator: UInt64, at time: UInt64, now: UInt64) -> Bool {
        expire(now: now)
        guard let slot = ring.slot(of: time) else {
            expiredOnArrival &+= 1
            return false
        }
        let position = ring.position(of: slot)
        slots[position].numerator &+= numerator
        slots[position].denominator &+= denominator
        total.numerator &+= numerator
        total.denominator &+= denominator
        return true
    }

    /// The ratio of the sums; nil while the denominator is zero.
    public mutating func ratio(now: UInt64) -> Double? {
        expire(now: now)
        guard total.denominator > 0 else { return nil }
        return Double(total.numerator) / Double(total.denominator)
    }

    private mutating func expire(now: UInt64) {
        for slot in ring.advance(to: now) {
            let position = ring.position(of: slot)
            total.numerator &-= slots[position].numerator
            total.denominator &-= slots[position].denominator
            slots[position] = Pair()
        }
    }
}

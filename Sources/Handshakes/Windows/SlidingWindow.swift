/// Quantiles and count of the durations of the last `window` nanoseconds.
///
/// Up to `exactLimit` values in the window, they are all kept, and quantiles are exact by nearest rank; beyond, each
/// slot (a second) counts cells, and all of them have a running total, from which the expiring slot is subtracted: then
/// a quantile is within 0.32 % of the value. Both go by slots: a value leaves with its slot, at most one slot early.
///
/// Never reads a clock: every call takes `now`, monotonic nanoseconds. A late value goes to the slot of its own time;
/// one older than the window is refused and counted. Memory comes with the values and goes when the window is empty, so
/// that a window for each of thousands of label sets is cheap. Owned by one thread.
public struct SlidingWindow: Sendable {
    /// The largest count that is answered exactly.
    public static let exactLimit = 256

    private var ring: SlotRing
    private var recent = RecentValues(capacity: SlidingWindow.exactLimit)
    /// While the window holds more than `exactLimit` values, and until it is empty.
    private var dense: DenseWindow?
    /// In the window, while `dense` is nil: the newest so many of `recent`.
    private var exactCount = 0

    /// Changes with what the window holds.
    package private(set) var version: UInt64 = 0

    /// Values refused because they were older than the window when they came.
    public private(set) var expiredOnArrival: UInt64 = 0

    /// Nanoseconds both; the window is rounded up to whole slots.
    public init(window: UInt64 = 60_000_000_000, slotLength: UInt64 = 1_000_000_000) {
        ring = SlotRing(window: window, slotLength: slotLength)
    }

    /// Bytes of storage held now.
    public var storageBytes: Int { recent.storageBytes + (dense?.storageBytes ?? 0) }

    /// Counts a duration of `nanoseconds` that ended at `time`; false when it was older than the window.
    @discardableResult
    public mutating func insert(_ nanoseconds: UInt64, at time: UInt64, now: UInt64) -> Bool {
        expire(now: now)
        guard let slot = ring.slot(of: time) else {
            expiredOnArrival &+= 1
            return false
        }
        version &+= 1
        if dense == nil {
            if exactCount < Self.exactLimit {
                exactCount += 1
            } else {
                dense = DenseWindow(slots: ring.count)
                for index in recent.count - Self.exactLimit..<recent.count {
                    _ = dense?.insert(recent[index].value, at: ring.position(of: recent[index].slot))
                }
                exactCount = 0
            }
        }
        // A window with a slot of more than are answered exactly is not answered exactly: such a slot's need not be kept.
        let isCounted = dense?.insert(nanoseconds, at: ring.position(of: slot)) ?? false
        if !isCounted { recent.insert(nanoseconds, slot: slot) }
        return true
    }

    /// How many values are in the window.
    public mutating func count(now: UInt64) -> UInt64 {
        expire(now: now)
        return held
    }

    /// The values of nearest rank ceil(q × count), nanoseconds, one for each of `wanted` (0...1); empty when the window
    /// is, or when a wanted quantile is not within 0...1. `scratch` is any array, kept between calls for its storage.
    public mutating func quantiles(_ wanted: [Double], now: UInt64, scratch: inout [UInt64]) -> [UInt64] {
        expire(now: now)
        let exact = held <= UInt64(Self.exactLimit)
        if exact { recent.sortNewest(Int(held), into: &scratch) }
        var found: [UInt64] = []
        found.reserveCapacity(wanted.count)
        for quantile in wanted {
            guard let rank = nearestRank(quantile, of: held) else { return [] }
            if exact {
                found.append(scratch[Int(rank) - 1])
            } else if let value = dense?.total.value(atRank: rank) {
                found.append(value)
            }
        }
        return found
    }

    private var held: UInt64 { dense?.total.count ?? UInt64(exactCount) }

    private mutating func expire(now: UInt64) {
        let begun = ring.advance(to: now)
        guard !begun.isEmpty, held > 0 else { return }
        let before = held
        if dense != nil {
            for slot in begun { dense?.clear(ring.position(of: slot)) }
            if dense?.total.count == 0 { dense = nil }
        } else {
            while exactCount > 0, ring.slot(ofNumber: recent[recent.count - exactCount].slot) == nil { exactCount -= 1 }
        }
        if held != before { version &+= 1 }
        if held == 0 { recent.removeAll() }
    }
}

/// A window of many values: what each slot holds, and the total.
private struct DenseWindow: Sendable {
    /// Past so many, a slot's values are counted by cell instead of listed.
    private static let listLimit = SlidingWindow.exactLimit

    /// The cells of each slot's values, one by one.
    private var listed: [[UInt16]]
    /// For slots of more, their counts; empty until one has.
    private var counted: [LogHistogram] = []
    private(set) var total = LogHistogram()
    private let scale = DurationScale.shared

    init(slots: Int) {
        listed = [[UInt16]](repeating: [], count: slots)
    }

    var storageBytes: Int {
        listed.reduce(total.storageBytes + listed.capacity * MemoryLayout<[UInt16]>.stride) { $0 + 2 * $1.capacity }
            + counted.reduce(counted.capacity * MemoryLayout<LogHistogram>.stride) { $0 + $1.storageBytes }
    }

    /// Whether the slot at `position` holds more than `listLimit` values.
    mutating func insert(_ nanoseconds: UInt64, at position: Int) -> Bool {
        let cell = scale.cell(of: nanoseconds)
        total.insert(cell: cell)
        if !counted.isEmpty, counted[position].count > 0 {
            counted[position].insert(cell: cell)
            return true
        }
        if listed[position].count < Self.listLimit {
            listed[position].append(UInt16(truncatingIfNeeded: cell))
            return false
        }
        if counted.isEmpty { counted = [LogHistogram](repeating: LogHistogram(), count: listed.count) }
        for cell in listed[position] { counted[position].insert(cell: Int(cell)) }
        counted[position].insert(cell: cell)
        listed[position].removeAll(keepingCapacity: true)
        return true
    }

    mutating func clear(_ position: Int) {
        for cell in listed[position] { total.remove(cell: Int(cell)) }
        listed[position].removeAll(keepingCapacity: true)
        guard !counted.isEmpty, counted[position].count > 0 else { return }
        total.subtract(counted[position])
        counted[position].reset()
    }
}

/// The time arithmetic that every window shares: monotonic time cut into slots, the newest `count` of which are in the
/// window.
///
/// A value of time t is in the window at `now` while `now`'s slot number minus t's is below `count`: it stays for more
/// than window − slot and never longer than the window. Time that goes back is taken as standing still.
struct SlotRing: Sendable {
    /// Nanoseconds in a slot.
    let slotLength: UInt64
    let count: Int
    /// The newest slot's number; nil before the first call.
    private var newest: UInt64?
    /// When the newest slot began, and where it is kept: nearly every value belongs to it, and divisions are slow.
    private var newestStart: UInt64 = 0
    private var newestPosition = 0

    /// `window` and `slotLength` in nanoseconds; a slot has at least 1 µs, and the window is rounded up to whole slots.
    init(window: UInt64, slotLength: UInt64) {
        self.slotLength = max(1_000, slotLength)
        self.count = max(1, Int(clamping: window.dividedRoundingUp(by: self.slotLength)))
    }

    /// Moves to `now` and returns the numbers of the slots that begin: the position of each still holds the slot that
    /// expires for it. At most `count` of them, however far the jump.
    mutating func advance(to now: UInt64) -> Range<UInt64> {
        if let newest, now &- newestStart < slotLength || now < newestStart { return newest..<newest }
        let number = now / slotLength
        newestStart = number * slotLength
        newestPosition = Int(truncatingIfNeeded: number % UInt64(count))
        defer { newest = number }
        guard let newest else { return number..<number }
        return number - min(number - newest, UInt64(count)) + 1..<number + 1
    }

    /// The number of `time`'s slot; nil when it is older than the window. A time yet to come belongs to the newest.
    func slot(of time: UInt64) -> UInt64? {
        guard let newest else { return nil }
        return time >= newestStart ? newest : slot(ofNumber: time / slotLength)
    }

    /// `number`, a slot not after the newest; nil when it is no longer in the window.
    func slot(ofNumber number: UInt64) -> UInt64? {
        guard let newest, newest - number < UInt64(count) else { return nil }
        return number
    }

    /// Where slot `number` is kept in an array of `count`.
    func position(of number: UInt64) -> Int {
        number == newest ? newestPosition : Int(truncatingIfNeeded: number % UInt64(count))
    }
}

extension UInt64 {
    fileprivate func dividedRoundingUp(by divisor: UInt64) -> UInt64 {
        self / divisor + (self % divisor == 0 ? 0 : 1)
    }
}

@testable import Handshakes

/// A class only because `#expect` cannot call a mutating method.
final class SlidingWindowBox {
    private var base: SlidingWindow
    private var scratch: [UInt64] = []

    init(window: UInt64 = 60_000_000_000) { base = SlidingWindow(window: window) }

    var expiredOnArrival: UInt64 { base.expiredOnArrival }
    var storageBytes: Int { base.storageBytes }

    @discardableResult
    func insert(_ value: UInt64, at time: UInt64, now: UInt64) -> Bool { base.insert(value, at: time, now: now) }
    func count(now: UInt64) -> UInt64 { base.count(now: now) }
    func quantiles(_ wanted: [Double], now: UInt64) -> [UInt64] {
        base.quantiles(wanted, now: now, scratch: &scratch)
    }
    var version: UInt64 { base.version }
}

/// As above.
final class LossMarkBox {
    private var base: LossMark

    init(window: UInt64) { base = LossMark(window: window, slotLength: 1_000_000_000) }

    func mark(at time: UInt64, now: UInt64) { base.mark(at: time, now: now) }
    func isIncomplete(now: UInt64) -> Bool { base.isIncomplete(now: now) }
}

/// As above.
final class RatioWindowBox {
    private var base: RatioWindow

    init(window: UInt64) { base = RatioWindow(window: window) }

    var expiredOnArrival: UInt64 { base.expiredOnArrival }

    @discardableResult
    func add(numerator: UInt64, denominator: UInt64, at time: UInt64, now: UInt64) -> Bool {
        base.add(numerator: numerator, denominator: denominator, at: time, now: now)
    }
    func ratio(now: UInt64) -> Double? { base.ratio(now: now) }
}

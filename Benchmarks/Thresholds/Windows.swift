import HandshakeProbe
import Handshakes

private let second: UInt64 = 1_000_000_000

/// Durations around 2 ms, the same in every run.
let durations: [UInt64] = (0..<4_096).map { index in 1_000_000 + UInt64(index) &* 0x9E37_79B9 % 2_000_000 }

func expectWindows(_ report: inout Report) {
    var now = 100 * second
    for (name, interval) in [("3 a second, exact", second / 3), ("10,000 a second", second / 10_000)] {
        var window = SlidingWindow()
        func insert(_ count: Int) {
            for index in 0..<count {
                now += interval
                window.insert(durations[index & 4_095], at: now, now: now)
            }
        }
        // Every slot has been through once.
        insert(Int(130 * second / interval))
        report.expect(
            "allocations, 1,000 insertions into a window: \(name)", allocations { insert(20_000) } / 20, atMost: 0)
    }
    var ratio = RatioWindow()
    func add(_ count: Int) {
        for _ in 0..<count {
            now += second / 10_000
            ratio.add(numerator: 1, denominator: 10, at: now, now: now)
        }
    }
    add(1_300_000)
    report.expect("allocations, 1,000 additions to a ratio", allocations { add(20_000) } / 20, atMost: 0)
}

/// An insertion against keeping the last 65,536 values and their sum, which is the least that a window can do.
func expectInsertionTime(_ report: inout Report) {
    var now = 100 * second
    var window = SlidingWindow()
    var last = [UInt64](repeating: 0, count: 65_536)
    var sum: UInt64 = 0
    let insertion = report.ratio(
        of: {
            for index in 0..<50_000 {
                now += 100_000
                window.insert(durations[index & 4_095], at: now, now: now)
            }
            return window.count(now: now)
        },
        to: {
            for index in 0..<50_000 {
                let value = durations[index & 4_095]
                sum = sum &+ value &- last[index & 65_535]
                last[index & 65_535] = value
            }
            return sum
        })
    report.expect("time, an insertion into a window by one into a ring of values", insertion, atMost: 50)
}

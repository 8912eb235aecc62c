import TestSupport
import Testing

@testable import HandshakeProbe

@Suite("When a new program is looked at") struct LookScheduleTests {
    private static let millisecond: UInt64 = 1_000_000

    @Test("A program is looked at when its libraries should be mapped, and once more")
    func aProgramIsLookedAtTwice() {
        var schedule = LookSchedule()
        #expect(schedule.next == nil)
        schedule.add([7], at: 0)
        schedule.add([8], at: 5 * Self.millisecond)
        #expect(schedule.next == 10 * Self.millisecond)
        #expect(schedule.take(at: 9 * Self.millisecond).isEmpty)
        #expect(schedule.take(at: 10 * Self.millisecond) == [7])
        #expect(schedule.take(at: 50 * Self.millisecond) == [7, 8])
        #expect(schedule.next == 55 * Self.millisecond)
        #expect(schedule.take(at: 60 * Self.millisecond) == [8])
        #expect(schedule.next == nil)
    }

    @Test("A storm of programs is left to the sweep, second by second")
    func aStormIsLeftToTheSweep() {
        var schedule = LookSchedule()
        schedule.add(Array(0..<10_000), at: 0)
        let first = schedule.take(at: 20 * Self.millisecond)
        #expect(first.count == 300)
        #expect(schedule.take(at: 900 * Self.millisecond) == first)
        schedule.add([20_000], at: 950 * Self.millisecond)
        #expect(schedule.next == nil)
        schedule.add([20_001], at: 1_000 * Self.millisecond)
        #expect(schedule.take(at: 2_000 * Self.millisecond) == [20_001])
    }
}

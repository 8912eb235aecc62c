import Kernel
import CEvents
import Testing

@testable import HandshakeProbe
@testable import Handshakes

@Suite("The kernel side's counters") struct KernelCountersTests {
    @Test("Only losses are dropped events; hits that need none are skipped, and all of them add up")
    func droppedAndSkippedAddUp() {
        var counters = tlswatch_counters()
        (counters.hits, counters.submitted) = (256, 1)
        for (reason, count) in zip(KernelDrop.allCases, [2, 4, 8, 16, 32, 64, 1, 128] as [UInt64]) {
            counters[reason.number] = count
        }
        var decoder = EventDecoder()
        decoder.reject(.implausible)
        let kernel = KernelCounters([counters], decoder: decoder)
        #expect(kernel.dropped.map(\.reason) == ["ring_full", "no_memory"])
        #expect(kernel.dropped.map(\.count) == [2, 4])
        #expect(
            kernel.skipped.map(\.reason) == [
                "outside_handshake", "size_query", "other_process", "disabled", "noted", "collision",
            ])
        #expect(kernel.skipped.map(\.count) == [8, 16, 32, 64, 1, 128])
        #expect((kernel.dropped + kernel.skipped).reduce(1) { $0 + $1.count } == counters.hits)
        #expect(kernel.lostInKernel == 6)
        #expect(kernel.lost == 7)
        // A loss is told from the start on.
        let none = KernelCounters([tlswatch_counters()], decoder: EventDecoder())
        #expect(none.dropped.count == 2)
        #expect(none.skipped.isEmpty)
    }
}

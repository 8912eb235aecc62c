import Glibc
import Testing

@testable import HandshakeProbe
@testable import Kernel

@Suite("The kernel's clocks") struct KernelClockTests {
    private func host(_ clock: clockid_t) -> Int64 {
        var time = timespec()
        unsafe _ = clock_gettime(clock, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }

    @Test("The clocks are the host's")
    func theClocksAreTheHosts() {
        let before = host(CLOCK_MONOTONIC)
        let now = Int64(monotonicNow()) + TimeNamespace.monotonicOffset
        #expect(before <= now)
        #expect(now <= host(CLOCK_MONOTONIC))
        let wall = host(CLOCK_REALTIME)
        let told = wallClockNow()
        #expect(wall <= told)
        #expect(told <= host(CLOCK_REALTIME))
    }

    @Test("A time namespace's offset is read as the kernel writes it")
    func namespaceOffsetsAreRead() {
        #expect(
            TimeNamespace.offset(in: "monotonic      100000         5\nboottime            7         0\n")
                == 100_000_000_000_005)
        #expect(
            TimeNamespace.offset(in: "monotonic          -5         0\nboottime            0         0\n")
                == -5_000_000_000)
        #expect(TimeNamespace.offset(in: "") == 0)
        #expect(TimeNamespace.offset(in: "monotonic x 1\nmonotonic\nboottime 9 9\n") == 0)
    }
}

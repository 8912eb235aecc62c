import CBPF
import Glibc

/// Nanoseconds of CLOCK_MONOTONIC as the kernel side reads it (bpf_ktime_get_ns), whatever time namespace this process
/// is in and whatever a preloaded library makes of the clocks. Any thread.
package func monotonicNow() -> UInt64 {
    UInt64(bitPattern: tlswatch_clock(CLOCK_MONOTONIC) &- TimeNamespace.monotonicOffset)
}

/// Nanoseconds since 1970. For display only. Any thread.
package func wallClockNow() -> Int64 { tlswatch_clock(CLOCK_REALTIME) }

/// Added to a monotonic time gives nanoseconds since 1970, as of now. For display only.
package func wallClockOffset() -> Int64 {
    // Between two readings of one clock lies the reading of the other: the closest pair of some, since a thread can be
    // taken off its processor between any two.
    var best: (width: Int64, offset: Int64) = (.max, 0)
    for _ in 0..<3 {
        let before = Int64(bitPattern: monotonicNow())
        let wall = wallClockNow()
        let width = Int64(bitPattern: monotonicNow()) &- before
        if width < best.width { best = (width, wall &- before &- width / 2) }
    }
    return best.offset
}

/// The time namespace that this process was started in (time_namespaces(7)).
enum TimeNamespace {
    /// Nanoseconds that it adds to the host's CLOCK_MONOTONIC.
    static let monotonicOffset = offset(in: readTextFile("/proc/self/timens_offsets") ?? "")

    /// From lines `monotonic SECONDS NANOSECONDS`; 0 where the kernel has no such namespaces.
    static func offset(in text: String) -> Int64 {
        for line in text.split(separator: "\n") {
            let fields = line.split(separator: " ")
            guard fields.count == 3, fields[0] == "monotonic", let seconds = Int64(fields[1]),
                let nanoseconds = Int64(fields[2])
            else { continue }
            return seconds &* 1_000_000_000 &+ nanoseconds
        }
        return 0
    }
}

/// When to look at processes that have begun a program: once their libraries should be mapped, and again for those that
/// take their time. Later the sweep finds them. Bounded: a storm of programs is the sweep's too.
struct LookSchedule {
    /// Nanoseconds after the program's beginning.
    private static let delays: [UInt64] = [10_000_000, 50_000_000]
    /// Each look takes some 50 µs: these are some hundredths of the time.
    private static let mostPerSecond = 600

    private var waiting: [(due: UInt64, process: UInt32)] = []
    private var second: UInt64 = 0
    private var taken = 0

    /// When the next look is due.
    var next: UInt64? { waiting.first?.due }

    mutating func add(_ processes: [UInt32], at now: UInt64) {
        if now / 1_000_000_000 != second {
            second = now / 1_000_000_000
            taken = 0
        }
        for process in processes where taken + Self.delays.count <= Self.mostPerSecond {
            taken += Self.delays.count
            waiting += Self.delays.map { (now + $0, process) }
        }
        waiting.sort { $0.due < $1.due }
    }

    /// The processes that are to be looked at now.
    mutating func take(at now: UInt64) -> Set<UInt32> {
        let due = waiting.prefix { $0.due <= now }
        waiting.removeFirst(due.count)
        return Set(due.map(\.process))
    }
}

import Glibc

/// Keeps results alive.
@MainActor var sink: UInt64 = 0

/// Nanoseconds of one of `count` calls of `body`: the best of five rounds, since others share the machine.
@MainActor @discardableResult
func measure(_ name: String, count: Int, goal: String = "", _ body: (Int) -> Void) -> Double {
    var best = Duration.seconds(3_600)
    for _ in 0..<5 {
        best = min(best, ContinuousClock().measure { for index in 0..<count { body(index) } })
    }
    let attoseconds = best.components.attoseconds + best.components.seconds * 1_000_000_000_000_000_000
    let nanoseconds = Double(attoseconds) / 1e9 / Double(count)
    tell(name, time(nanoseconds), goal)
    return nanoseconds
}

func tell(_ name: String, _ value: String, _ goal: String = "") {
    func padded(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.unicodeScalars.count))
    }
    print("\(padded(name, 62)) \(padded(value, 14)) \(goal.isEmpty ? "" : "goal \(goal)")")
}

private func time(_ nanoseconds: Double) -> String {
    switch nanoseconds {
    case ..<10_000: "\((nanoseconds * 10).rounded() / 10) ns"
    case ..<10_000_000: "\((nanoseconds / 100).rounded() / 10) µs"
    default: "\((nanoseconds / 100_000).rounded() / 10) ms"
    }
}

/// Bytes that this process has in memory.
func residentBytes() -> Int {
    guard let file = unsafe fopen("/proc/self/statm", "r") else { return 0 }
    defer { unsafe _ = fclose(file) }
    var buffer = [CChar](repeating: 0, count: 256)
    guard unsafe fgets(&buffer, 256, file) != nil else { return 0 }
    let text = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let fields = text.split(separator: " ")
    return fields.count > 1 ? (Int(fields[1]) ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE))) : 0
}

func megabytes(_ bytes: Int) -> String { "\((Double(bytes) / 100_000).rounded() / 10) MB" }

/// Durations around 2 ms, the same in every run.
let durations: [UInt64] = (0..<4_096).map { index in
    var mixed = UInt64(index) &* 0x9E37_79B9_7F4A_7C15
    mixed ^= mixed >> 29
    mixed = mixed &* 0xBF58_476D_1CE4_E5B9
    mixed ^= mixed >> 32
    // A sum of uniforms, in octaves around 2 ms.
    let octaves =
        Double(mixed & 0xffff) / 65_536 + Double(mixed >> 16 & 0xffff) / 65_536 + Double(mixed >> 32 & 0xffff) / 65_536
    return UInt64(2_000_000 * exp2(2 * (octaves - 1.5)))
}
let second: UInt64 = 1_000_000_000

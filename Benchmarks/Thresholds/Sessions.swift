import Glibc
import HandshakeProbe
import Handshakes
import SyntheticHandshakes

private let second: UInt64 = 1_000_000_000

/// A recording of so many sessions, replayed: how many were told.
private func replay(_ path: String) -> Int {
    guard let reader = try? RecordingReader(path: path) else { return 0 }
    return Replay.run(reader, timeout: 60 * second, version: "bench").handshakes.count
}

/// Recordings of different lengths, gone with the object.
final class Recordings {
    let short: SyntheticStream
    let long: SyntheticStream
    let shortPath: String
    let longPath: String

    init?() {
        (short, long) = (SyntheticStream(sessions: 2_000), SyntheticStream(sessions: 4_000))
        var template = Array("/tmp/tlswatch-bench-XXXXXX".utf8CString)
        guard unsafe mkdtemp(&template) != nil else { return nil }
        directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        (shortPath, longPath) = (directory + "/short", directory + "/long")
        guard short.write(to: shortPath), long.write(to: longPath) else { return nil }
    }

    private let directory: String

    deinit {
        unsafe _ = unlink(shortPath)
        unsafe _ = unlink(longPath)
        unsafe _ = rmdir(directory)
    }
}

func expectSessions(_ report: inout Report, _ recordings: Recordings) {
    var registry = MetricsRegistry(version: "bench")
    var now = 1_000 * second
    func record(_ count: Int) {
        for index in 0..<count {
            now += 1_000_000
            registry.record(completed(in: durations[index & 4_095], end: now), now: now)
        }
    }
    record(130_000)
    report.expect("allocations, a session into the metrics", allocations { record(10_000) } / 10_000, atMost: 6.5)

    // What is made once for a replay is in both.
    var told = 0
    let short = allocations { told += replay(recordings.shortPath) }
    let long = allocations { told += replay(recordings.longPath) }
    report.expect(
        "sessions that a replay does not tell", Double(recordings.short.sessions + recordings.long.sessions - told),
        atMost: 0)
    report.expect("allocations, a replayed session", (long - short) / 2_000, atMost: 1.5)

    var output: [UInt8] = []
    func scrape() {
        now += second
        output.removeAll(keepingCapacity: true)
        TextExposition.encode(registry.snapshot(now: now), into: &output)
    }
    for _ in 0..<3 { scrape() }
    let lines = Double(output.count { $0 == UInt8(ascii: "\n") })
    let each = allocations { for _ in 0..<20 { scrape() } } / 20
    report.expect("allocations, a scrape of \(Int(lines)) lines", each, atMost: 550)
}

/// A replayed session against what nobody can do it without: reading its bytes, and a table of what is in flight.
func expectSessionTime(_ report: inout Report, _ recordings: Recordings) {
    let stream = recordings.long
    let replayed = report.ratio(
        of: { UInt64(replay(recordings.longPath)) },
        to: {
            var inFlight: [UInt64: UInt64] = [:]
            var sum: UInt64 = 0
            for byte in stream.bytes { sum = sum &* 31 &+ UInt64(byte) }
            for index in 0..<UInt64(stream.sessions) {
                let object = 0x1000 + index % 64 * 0x100
                inFlight[object] = sum
                sum &+= inFlight.removeValue(forKey: object) ?? 0
            }
            return sum
        })
    report.expect("time, a replay by a checksum and a dictionary", replayed, atMost: 100)
}

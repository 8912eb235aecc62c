import HandshakeProbe
import Handshakes

/// Recorded sessions through `--where`: read, decoded, correlated, asked, as `replay --where` does. The goal is 500,000 a
/// second; the condition itself is held against the replay without one.
func expectConditionTime(_ report: inout Report, _ recordings: Recordings) {
    let text =
        #"role = server and tls_version ~ "3$" and (duration_ns > 40us or outcome != completed) and not has reason"#
    guard let filter = try? HandshakeFilter(text), let reader = try? RecordingReader(path: recordings.longPath) else {
        report.expect("conditions that are not understood", 1, atMost: 0)
        return
    }
    func replay(_ isTaken: (Handshake) -> Bool) -> UInt64 {
        var taken: UInt64 = 0
        _ = Replay.run(reader, timeout: 60_000_000_000) { (handshakes: [Handshake]) throws(Never) in
            for handshake in handshakes where isTaken(handshake) { taken += 1 }
            return true
        }
        return taken
    }
    report.expect(
        "sessions that a condition which all meet passes over",
        Double(recordings.long.sessions) - Double(replay(filter.passes)), atMost: 0)
    let ratio = report.ratio(of: { replay(filter.passes) }, to: { replay { _ in true } })
    report.expect("time, a replay with --where by one without", ratio, atMost: 1.5)
    let clock = ContinuousClock()
    var best = Duration.seconds(3_600)
    for _ in 0..<40 { best = min(best, clock.measure { report.use(replay(filter.passes)) }) }
    let seconds = Double(best.components.seconds) + Double(best.components.attoseconds) * 1e-18
    let each = seconds / Double(recordings.long.sessions)
    report.expect("µs, a recorded session through --where (\(Int(1 / each)) a second)", each * 1e6, atMost: 2)
}

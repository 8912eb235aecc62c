import HandshakeProbe
import Handshakes
import Testing

@testable import tlswatch

@Suite("The summary of a capture") struct SummaryTests {
    private func handshake(_ duration: UInt64, _ role: Role = .client) -> Handshake {
        Handshake(
            wallTime: 0, start: 1, end: 1 + duration, pid: 7, tid: 7, comm: "curl", stack: "openssl", library: "/l",
            role: role, outcome: .completed, duration: duration, busy: duration, calls: 1)
    }

    @Test(
        "The summary of one session has its duration as the table and the page have it",
        arguments: [999, 1_834, 9_995, 99_949, 999_499, 999_500, 4_099_999, 4_104_999, 4_105_000, 61_250_000_000])
    func oneSession(_ duration: UInt64) {
        var summary = Summary()
        summary.add(handshake(duration))
        let text = DurationText.compact(duration)
        #expect(
            summary.text(inFlight: 0, lost: 0).contains("client openssl: 1 completed, p50 \(text), p90 \(text), p99 "))
        #expect(TableFormat(colour: false).line(handshake(duration)).contains(" \(text) "))
        let page = DisplayText.duration(duration).replacing("\u{a0}", with: "").replacing("µ", with: "u")
        #expect(page == text)
    }

    @Test("Quantiles are of the values themselves up to the limit; past it the summary says how far off they may be")
    func quantilesPastTheLimitSayTheirError() {
        var summary = Summary(exactLimit: 4)
        for duration in [4_010_000, 4_020_000, 4_030_000, 4_090_000] as [UInt64] { summary.add(handshake(duration)) }
        let exact = summary.text(inFlight: 0, lost: 0)
        #expect(exact.contains("4 completed, p50 4.02ms, p90 4.09ms, p99 4.09ms\n"), "\(exact)")
        summary.add(handshake(4_090_000))
        let rough = summary.text(inFlight: 0, lost: 0)
        #expect(rough.contains("5 completed, "), "\(rough)")
        #expect(rough.contains(" (within 0.5 %: more than 4 values)\n"), "\(rough)")
    }
}

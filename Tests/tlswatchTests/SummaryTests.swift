import Foundation
import HandshakeProbe
import Handshakes
import Testing

@testable import tlswatch

@Suite("The summary of a capture") struct SummaryTests {
    private func handshake(_ duration: UInt64, _ role: Role = .client) -> Handshake {
        Handshake(
            wallTime: 0, start: 1, end: 1 + duration, pid: 7, tid: 7, comm: "curl", stack: "openssl", library: "/l",
            role: role, outcome: .completed, duration: duration, calls: 1)
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

    @Test(
        "The parts of completed sessions are summed up for each role and stack; of how many is said where it is not all"
    )
    func parts() {
        var summary = Summary()
        for (cpu, unread) in [(1_000, 500), (2_000, 0)] as [(UInt64, UInt64)] {
            var known = handshake(5_000)
            known.parts = HandshakeParts(of: 5_000, cpu: cpu, runqueue: 0, unread: unread)
            summary.add(known)
        }
        #expect(
            summary.text(inFlight: 0, lost: 0)
                .contains("\nclient openssl: time spent: cpu 30.0 %, runqueue 0 %, unread 5.0 %, peer 65.0 %\n"))
        summary.add(handshake(5_000))
        var failed = handshake(5_000)
        failed.parts = HandshakeParts(of: 5_000, cpu: 5_000, runqueue: 0, unread: 0)
        failed.outcome = .failed
        summary.add(failed)
        let text = summary.text(inFlight: 0, lost: 0)
        #expect(text.contains("time spent: cpu 30.0 %, runqueue 0 %, unread 5.0 %, peer 65.0 % (2 of 3 sessions)\n"))
        var none = Summary()
        none.add(handshake(5_000))
        #expect(!none.text(inFlight: 0, lost: 0).contains("time spent"))
    }

    @Test("The table has the largest part with its share, rounded down; the wait where nobody knows whose it was")
    func largestPart() {
        func cell(cpu: UInt64?, runqueue: UInt64?, unread: UInt64?) -> String {
            var handshake = handshake(5_000)
            handshake.parts = HandshakeParts(of: 5_000, cpu: cpu, runqueue: runqueue, unread: unread)
            let head = TableFormat(colour: false).header()
            let line = TableFormat(colour: false).line(handshake)
            let start = head.distance(
                from: head.startIndex, to: head.firstRange(of: "MAINLY")?.lowerBound ?? head.endIndex)
            return String(line.dropFirst(start).prefix(12)).trimmingCharacters(in: .whitespaces)
        }
        #expect(cell(cpu: 334, runqueue: 0, unread: 0) == "peer 93%")
        #expect(cell(cpu: 1, runqueue: 4_999, unread: 0) == "runqueue 99%")
        #expect(cell(cpu: 5_000, runqueue: 0, unread: 0) == "cpu 100%")
        #expect(cell(cpu: 1_000, runqueue: 500, unread: nil) == "wait 70%")
        #expect(cell(cpu: 1_000, runqueue: nil, unread: nil) == "-")
    }
}

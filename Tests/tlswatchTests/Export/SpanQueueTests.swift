import Testing

@testable import Handshakes
@testable import tlswatch

func endedSession(_ outcome: Outcome, duration: UInt64 = 1_000_000, start: UInt64 = 1_000_000_000) -> Handshake {
    Handshake(
        wallTime: 1_767_323_045_000_000_000, start: start, end: start + duration, pid: 4_242, tid: 4_243, comm: "nginx",
        stack: "openssl", library: "/usr/lib/libssl.so.3", role: .server, outcome: outcome, duration: duration, calls: 2
    )
}

@Suite("Sessions that become spans") struct SpanQueueTests {
    private let slow: UInt64 = 100_000_000

    @Test("Failed, timed-out and slow ones are kept, in their order; others are not") func kinds() {
        let queue = SpanQueue(slow: slow, share: 0, accounts: OTLPAccounts())
        queue.offer([
            endedSession(.completed), endedSession(.failed), endedSession(.abandoned, duration: 2 * slow),
            endedSession(.completed, duration: slow),
        ])
        queue.offer([endedSession(.completed, duration: slow - 1), endedSession(.timeout)])
        #expect(queue.take().map(\.outcome) == [.failed, .completed, .timeout])
        #expect(queue.count == 0)
    }

    @Test("Of the others a share is kept, of every outcome") func share() {
        let queue = SpanQueue(slow: slow, share: 0.1, accounts: OTLPAccounts(), seed: 7)
        for _ in 0..<10 { queue.offer((0..<1_000).map { endedSession($0 % 2 == 0 ? .completed : .abandoned) }) }
        let kept = queue.take()
        // Five standard deviations.
        #expect((850...1_150).contains(kept.count))
        #expect(Set(kept.map(\.outcome)) == [.completed, .abandoned])
    }

    @Test("More than wait at most are counted and let go") func limit() {
        let accounts = OTLPAccounts()
        let queue = SpanQueue(slow: slow, share: 0, accounts: accounts)
        queue.offer((0..<(SpanQueue.limit + 7)).map { _ in endedSession(.failed) })
        #expect(queue.take().count == SpanQueue.limit)
        #expect(accounts.count(.queueFull) == 7)
        queue.offer([endedSession(.failed)])
        #expect(queue.count == 1)
    }
}

extension OTLPAccounts {
    func count(_ result: SpanResult) -> UInt64 {
        samples[1].series.first { $0.labels == LabelValues(result.rawValue) }?.value ?? 0
    }

    func count(_ signal: Signal, _ result: Result) -> UInt64 {
        samples[0].series.first { $0.labels == LabelValues(signal.rawValue, result.rawValue) }?.value ?? 0
    }
}

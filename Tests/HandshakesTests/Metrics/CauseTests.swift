import TestSupport
import Testing

@testable import Handshakes

/// The cause of a session, by the rule that docs/sessions.md gives.
@Suite("Causes") struct CauseTests {
    private func session(
        cpu: UInt64 = 0, runqueue: UInt64 = 0, unread: UInt64? = 0, peer: UInt64 = 0, rtt: UInt64? = nil,
        retransmits: UInt64? = nil, version: String? = "TLSv1.3", resumed: Bool? = false, retried: Bool? = nil
    ) -> Handshake {
        let duration = cpu + runqueue + (unread ?? 0) + peer
        var handshake = completedHandshake(end: 1_000 * second, duration: duration)
        handshake.parts = HandshakeParts(of: duration, cpu: cpu, runqueue: runqueue, unread: unread)
        handshake.rtt = rtt
        handshake.retransmits = retransmits
        handshake.tlsVersion = version
        handshake.resumed = resumed
        handshake.helloRetryRequest = retried
        return handshake
    }

    private func cause(_ handshake: Handshake, median: UInt64? = nil) -> HandshakeCause? {
        HandshakeCause(of: handshake, median: median)
    }

    @Test("The largest part decides; of equal ones the first")
    func theLargestPart() {
        #expect(cause(session(cpu: 4, runqueue: 3, unread: 2, peer: 1)) == .compute)
        #expect(cause(session(cpu: 3, runqueue: 4, unread: 2, peer: 1)) == .cpuStarved)
        #expect(cause(session(cpu: 3, runqueue: 2, unread: 4, peer: 1)) == .programLate)
        #expect(cause(session(cpu: 3, runqueue: 2, unread: 1, peer: 4)) == .peer)
        #expect(cause(session(cpu: 4, runqueue: 4, unread: 4, peer: 4)) == .compute)
        #expect(cause(session(cpu: 3, runqueue: 4, unread: 4, peer: 4)) == .cpuStarved)
        #expect(cause(session(cpu: 3, runqueue: 3, unread: 4, peer: 4)) == .programLate)
    }

    @Test("Without all the parts there is no cause")
    func withoutParts() {
        #expect(cause(session(cpu: 4, unread: nil, peer: 100)) == nil)
        var handshake = session(cpu: 4)
        handshake.parts = .unknown
        #expect(cause(handshake) == nil)
        #expect(cause(handshake, median: 1_000) == nil)
    }

    @Test("Shorter than the median has none, as long as it has one")
    func shorterThanTheMedian() {
        let handshake = session(cpu: 40, peer: 60)
        #expect(cause(handshake, median: 101) == HandshakeCause.none)
        #expect(cause(handshake, median: 100) == .peer)
        #expect(cause(handshake, median: nil) == .peer)
    }

    @Test("Loss is a segment sent again and a peer part with room for a retransmission timeout")
    func loss() {
        #expect(cause(session(cpu: 1, peer: 200 * millisecond, retransmits: 1)) == .loss)
        #expect(cause(session(cpu: 1, peer: 200 * millisecond - 1, retransmits: 1)) == .peer)
        #expect(cause(session(cpu: 1, peer: 200 * millisecond, retransmits: 0)) == .peer)
        #expect(cause(session(cpu: 1, peer: 200 * millisecond, retransmits: nil)) == .peer)
        #expect(cause(session(cpu: 1, peer: 300 * millisecond, rtt: 400 * millisecond, retransmits: 2)) == .loss)
        #expect(cause(session(unread: 300 * millisecond, peer: 200 * millisecond, retransmits: 1)) == .programLate)
    }

    @Test(
        "Network is a peer part within the handshake's round trips",
        arguments: [
            ("TLSv1.3", false, nil, 1), ("TLSv1.3", true, false, 1), ("TLSv1.3", false, true, 2),
            ("TLSv1.2", false, nil, 2), ("TLSv1.2", true, nil, 1), ("TLSv1.2", nil, nil, 2), ("TLSv1", false, nil, 2),
            (nil, nil, nil, 1), (nil, nil, true, 2), ("DTLSv1.2", false, nil, 2),
        ] as [(String?, Bool?, Bool?, UInt64)])
    func network(_ version: String?, _ resumed: Bool?, _ retried: Bool?, _ trips: UInt64) {
        func told(_ peer: UInt64, rtt: UInt64?) -> HandshakeCause? {
            cause(session(cpu: 1, peer: peer, rtt: rtt, version: version, resumed: resumed, retried: retried))
        }
        #expect(told(trips * millisecond, rtt: millisecond) == .network)
        #expect(told(trips * millisecond + 1, rtt: millisecond) == .peer)
        #expect(told(trips * millisecond, rtt: nil) == .peer)
    }

    // MARK: the median

    /// A registry that has judged so many sessions of 2 ms, one a millisecond.
    private func registry(_ count: UInt64, from begin: UInt64 = 100 * second) -> MetricsRegistry {
        var registry = MetricsRegistry(version: "1")
        for index in 0..<count {
            _ = registry.cause(of: completedHandshake(end: begin + index * millisecond))
        }
        return registry
    }

    @Test("Ten completed sessions of its role and stack are what a session is held against")
    func tenSessions() {
        let short = completedHandshake(end: 101 * second, duration: millisecond)
        var few = registry(9)
        #expect(few.cause(of: short) == .compute)
        var enough = registry(10)
        #expect(enough.cause(of: short) == HandshakeCause.none)
        #expect(enough.cause(of: completedHandshake(end: 101 * second)) == .compute, "as long as the median")
        var other = short
        other.role = .client
        #expect(enough.cause(of: other) == .compute, "of another role")
        other = short
        other.stack = "gnutls"
        #expect(enough.cause(of: other) == .compute, "of another stack")
    }

    @Test("Only completed sessions make the median, and those in the window")
    func whatMakesTheMedian() {
        var registry = MetricsRegistry(version: "1")
        for index in 0..<20 as Range<UInt64> {
            var handshake = completedHandshake(end: 100 * second + index)
            handshake.outcome = .failed
            _ = registry.cause(of: handshake)
        }
        let short = completedHandshake(end: 101 * second, duration: millisecond)
        #expect(registry.cause(of: short) == .compute)
        registry = self.registry(20)
        #expect(registry.cause(of: completedHandshake(end: 140 * second, duration: millisecond)) == HandshakeCause.none)
        #expect(registry.cause(of: completedHandshake(end: 170 * second, duration: millisecond)) == .compute)
    }

    @Test("A failed session is judged by the same rule")
    func failedSessions() {
        var registry = registry(20)
        var failed = completedHandshake(end: 101 * second, duration: millisecond)
        failed.outcome = .failed
        #expect(registry.cause(of: failed) == HandshakeCause.none)
        failed.duration = 3 * millisecond
        #expect(registry.cause(of: failed) == .compute)
    }

    @Test("The median follows the sessions: within a fifth of a second, or when twice as many are there")
    func theMedianFollows() {
        var registry = registry(10)
        let middle = completedHandshake(end: 100 * second + 20 * millisecond, duration: 3 * millisecond)
        #expect(registry.cause(of: middle) == .compute)
        for index in 0..<30 as Range<UInt64> {
            let long = completedHandshake(end: 100 * second + (21 + index) * millisecond, duration: 9 * millisecond)
            _ = registry.cause(of: long)
        }
        #expect(
            registry.cause(of: completedHandshake(end: 100 * second + 60 * millisecond, duration: 3 * millisecond))
                == HandshakeCause.none)
    }
}

import TestSupport
import Testing

@testable import Handshakes

/// What is counted of where the time goes.
@Suite("Metrics of a handshake's time") struct PartsMetricsTests {
    private func told(_ registry: inout MetricsRegistry) -> String { text(registry.snapshot(now: second)) }

    @Test("The parts of completed sessions are counted, all four or none")
    func parts() {
        var registry = MetricsRegistry(version: "1")
        let whole = completedHandshake(end: second, duration: 16 * millisecond)
        registry.record(whole, now: second)
        registry.record(whole, now: second)
        var partly = whole
        partly.parts = HandshakeParts(of: whole.duration, cpu: millisecond, runqueue: millisecond, unread: nil)
        registry.record(partly, now: second)
        var failed = whole
        failed.outcome = .failed
        registry.record(failed, now: second)
        // Two sessions: 7 ms each computing, 1 waiting for a processor, 2 unread, 6 the peer's.
        let name = "tlswatch_handshake_time_seconds_total"
        #expect(
            lines(name, in: told(&registry))
                == [("cpu", "0.014"), ("peer", "0.012"), ("runqueue", "0.002"), ("unread", "0.004")].map {
                    #"\#(name){role="server",stack="openssl",part="\#($0)"} \#($1)"#
                })
    }

    @Test("Completed sessions from the threshold on are counted by cause, those without one as unknown")
    func slow() {
        var registry = MetricsRegistry(version: "1")
        for (duration, cause) in [
            (100 * millisecond, .loss), (100 * millisecond - 1, .loss), (300 * millisecond, .peer),
            (400 * millisecond, .peer), (100 * millisecond, nil),
        ] as [(UInt64, HandshakeCause?)] {
            var handshake = completedHandshake(end: second, duration: duration)
            handshake.cause = cause
            registry.record(handshake, now: second)
        }
        var failed = completedHandshake(end: second, duration: 500 * millisecond)
        failed.outcome = .failed
        registry.record(failed, now: second)
        let name = "tlswatch_slow_handshakes_total"
        #expect(
            lines(name, in: told(&registry))
                == [("loss", 1), ("peer", 2), ("unknown", 1)].map { #"\#(name){role="server",cause="\#($0)"} \#($1)"# })
    }

    @Test("Retransmissions add up over all sessions that know theirs")
    func retransmissions() {
        var registry = MetricsRegistry(version: "1")
        for (outcome, count) in [(.completed, 2), (.failed, 3), (.timeout, nil)] as [(Outcome, UInt64?)] {
            var handshake = completedHandshake(end: second)
            handshake.outcome = outcome
            handshake.retransmits = count
            registry.record(handshake, now: second)
        }
        #expect(
            lines("tlswatch_handshake_retransmits_total", in: told(&registry))
                == [#"tlswatch_handshake_retransmits_total{role="server"} 5"#])
    }

    @Test("The series of an observed stack are there at 0, each value of part and cause once a role")
    func preparedSeries() {
        var registry = MetricsRegistry(version: "1")
        registry.observe(stack: "openssl", reasons: [])
        registry.observe(stack: "gnutls", reasons: [])
        let text = told(&registry)
        for (name, count) in [
            ("tlswatch_handshake_time_seconds_total", 2 * 2 * 4), ("tlswatch_slow_handshakes_total", 2 * 8),
            ("tlswatch_handshake_retransmits_total", 2),
        ] {
            let found = lines(name, in: text)
            #expect(found.count == count, "\(name)")
            #expect(found.allSatisfy { $0.hasSuffix(" 0") }, "\(name)")
        }
        #expect(text.contains(#"tlswatch_slow_handshakes_total{role="client",cause="cpu_starved"} 0"#))
    }
}

import HandshakeProbe
import Handshakes
import Kernel

/// What the HTTP side reads: published values, and no kernel handle.
struct MetricsSource: Sendable {
    /// The consumer counts as stuck after this long without a drain, nanoseconds.
    private static let stuckAfter: UInt64 = 5_000_000_000
    /// The same of looking for libraries: what does not answer is waited for, a few times.
    private static let blindAfter: UInt64 = 30_000_000_000

    /// What was published last; `nil` before the first time.
    var snapshot: @Sendable () -> EngineSnapshot?
    /// Every TLS library found, and whether it is observed.
    var libraries: @Sendable () -> [LibraryState]
    /// Monotonic nanoseconds at which processes were last looked at; `nil` where nobody does that.
    var discovered: @Sendable () -> UInt64? = { nil }

    /// What the rest of the program knows at scrape time.
    var samples: @Sendable () -> [FamilySample] = { [] }

    /// What is missing before handshakes are measured, a sentence each; empty when ready.
    var missing: [String] {
        var missing: [String] = []
        let states = libraries()
        // A host without TLS is measured too: there is nothing to miss yet.
        if !states.isEmpty, !states.contains(.attached) {
            missing.append("no probes are attached: none of the \(states.count) TLS libraries found can be observed")
        }
        if let snapshot = snapshot() {
            let now = monotonicNow()
            if now > snapshot.drained, now - snapshot.drained >= Self.stuckAfter {
                missing.append("the ring buffer is not being drained")
            }
        } else {
            missing.append("the ring buffer has not been drained yet")
        }
        if let discovered = discovered(), case let now = monotonicNow(), now > discovered,
            now - discovered >= Self.blindAfter
        {
            missing.append("new programs are not being looked for")
        }
        return missing
    }
}

extension MetricsSource {
    init(_ engine: Engine) {
        snapshot = { engine.snapshot }
        libraries = { engine.catalog.libraries.map(\.state) }
        discovered = { engine.discovered }
    }
}

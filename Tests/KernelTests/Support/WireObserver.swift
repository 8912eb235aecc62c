import Handshakes
import Synchronization
import TestSupport

@testable import HandshakeProbe

/// Handshakes seen from packets, by an engine in this process that knows no TLS library: everything is the wire's.
final class WireObserver {
    let engine: Engine
    private let collected = Collected()

    private final class Collected: Sendable {
        let handshakes = Mutex<[Handshake]>([])
    }

    init(stacks: TLSStacks = TLSStacks([Stages.self])) throws {
        var options = EngineOptions(version: "test")
        options.stacks = stacks
        options.wire = .all
        engine = try Engine(options: options)
        try engine.start { [collected] finished in collected.handshakes.withLock { $0 += finished } }
    }

    deinit { engine.stop() }

    var handshakes: [Handshake] { collected.handshakes.withLock { $0 } }

    /// All, once there are so many that belong.
    func finish(expecting count: Int, where belongs: (Handshake) -> Bool) -> [Handshake] {
        _ = eventually(within: .seconds(10)) { handshakes.filter(belongs).count >= count }
        engine.stop()
        return handshakes.filter(belongs)
    }
}

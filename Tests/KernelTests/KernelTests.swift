import Foundation
import Testing

/// Real probes on real programs, which each test starts on loopback and ends again. Black box: only the built
/// binary and what design and documentation promise of it. One test at a time, since probes see the whole host.
@Suite("Kernel", .serialized, .enabled(if: geteuid() == 0, "kernel tests need root"))
struct KernelTests {}

/// What holds for every session that was told, whatever the program.
func expectSane(_ rows: [SessionRow], sourceLocation: SourceLocation = #_sourceLocation) {
    for row in rows {
        let text = "\(row)"
        #expect((row.duration ?? 0) > 0, "a session takes time: \(text)", sourceLocation: sourceLocation)
        if let busy = row.busy {
            #expect(busy + (row.wait ?? -1) == row.duration, "the duration: \(text)", sourceLocation: sourceLocation)
            // Of a goroutine's time no more is known than what it waited.
            if row.stack != "go" || row.cpu != nil {
                #expect(
                    busy == (row.cpu ?? -1) + (row.runqueue ?? -1), "busy is both: \(text)",
                    sourceLocation: sourceLocation)
            }
        }
        if let peer = row.peer {
            #expect(
                (row.busy ?? -1) + (row.unread ?? -1) + peer == row.duration,
                "the parts are the duration: \(text)", sourceLocation: sourceLocation)
        }
        let parts = [row.cpu, row.runqueue, row.unread, row.peer, row.busy, row.wait].compactMap { $0 }
        #expect(parts.allSatisfy { $0 >= 0 }, "no negative time: \(text)", sourceLocation: sourceLocation)
        if row.cause != nil || row.stack != "go" {
            #expect(
                (row.cause != nil) == (row.peer != nil), "the parts' cause: \(text)", sourceLocation: sourceLocation)
        }
        // rustls has no call that is the handshake.
        #expect(
            row.stack == "rustls" ? row.calls == nil : (row.calls ?? 0) >= 1, "a session has a call: \(text)",
            sourceLocation: sourceLocation)
        #expect(row.isServer || row.isClient, "a role: \(text)", sourceLocation: sourceLocation)
        #expect(
            ["completed", "failed", "abandoned", "timeout"].contains(row.outcome), "an outcome: \(text)",
            sourceLocation: sourceLocation)
        #expect(
            (row.reason != nil) == (row.outcome == "failed") || row.reason == "events_lost",
            "a reason where it failed: \(text)",
            sourceLocation: sourceLocation)
        #expect(
            ["exact", "inferred", "unknown"].contains(row.socketConfidence), "a confidence: \(text)",
            sourceLocation: sourceLocation)
        if let share = row.alpnShare {
            #expect(share > 0, "a share: \(text)", sourceLocation: sourceLocation)
            #expect(share <= 1, "a share: \(text)", sourceLocation: sourceLocation)
        }
        if let alpn = row.alpnNegotiation {
            #expect(alpn > 0, "inside the handshake: \(text)", sourceLocation: sourceLocation)
            #expect(alpn <= row.duration ?? 0, "inside the handshake: \(text)", sourceLocation: sourceLocation)
        }
        if let exchange = row.keyExchange {
            #expect(exchange > 0, "inside the handshake: \(text)", sourceLocation: sourceLocation)
            #expect(exchange <= row.duration ?? 0, "inside the handshake: \(text)", sourceLocation: sourceLocation)
        }
        if let compute = row.keyExchangeCompute {
            #expect(compute > 0, "computing is being busy: \(text)", sourceLocation: sourceLocation)
            #expect(
                compute <= row.busy ?? row.duration ?? 0, "computing is being busy: \(text)",
                sourceLocation: sourceLocation)
        }
    }
}

/// The sum of a session's ends in both directions: which rows belong to a server's port.
func belongs(toPort port: Int) -> @Sendable (SessionRow) -> Bool {
    let address = "127.0.0.1:\(port)"
    return { ($0.isServer && $0.local == address) || ($0.isClient && $0.remote == address) }
}

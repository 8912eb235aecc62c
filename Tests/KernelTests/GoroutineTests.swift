import Foundation
import TestSupport
import Testing

extension KernelTests {
    /// Go's calls in progress are kept by goroutine: nothing in the kernel says that one has ended.
    @Suite("Goroutines that do not come back") struct GoroutineTests {
        /// How many goroutines' calls are kept, as they are counted and as they are there.
        private struct Kept: Equatable {
            var counted: Int
            var present: Int

            init(_ counted: Int, _ present: Int) { (self.counted, self.present) = (counted, present) }

            init(by daemon: Daemon) throws {
                let holdings = KernelHoldings(of: daemon.child.pid)
                present = try holdings.values(of: "goroutine_fram").count
                let section = try holdings.values(of: ".bss").first?[".bss"] as? [[String: Any]]
                let shared = section?.compactMap { $0["shared"] as? [String: Any] }.first
                guard let count = shared?["goroutines"] as? Int else { throw HarnessError("no count of goroutines") }
                counted = count
            }
        }

        private static let pairs = 20

        @Test("Killed in their handshakes, they are forgotten with their process, and the books balance")
        func killed() throws {
            let program = try GoProgram(GoToolchain.versions[2])
            let daemon = try Daemon(["--library", program.path])
            let child = try ChildProcess(program.path, ["hang", "\(Self.pairs)"])
            try child.waitForLine(in: child.output) { $0 == "hanging" }
            // Both sides of each: the servers wait for their clients' last message.
            #expect(try eventually { try Kept(by: daemon) == Kept(2 * Self.pairs, 2 * Self.pairs) })
            child.stop(SIGKILL)
            #expect(try eventually { try Kept(by: daemon) == Kept(0, 0) })
            let metrics = try daemon.quietMetrics {
                Books($0).ended >= Double(2 * Self.pairs) && Books($0).balance
            }
            expectConservation(metrics)
            #expect(metrics.sum("tlswatch_handshakes_total", ["outcome": "abandoned"]) == Double(2 * Self.pairs))
        }

        @Test("Those that end in a handshake of a process that goes on are forgotten in time") func left() throws {
            let program = try GoProgram(GoToolchain.versions[2])
            let daemon = try Daemon(["--library", program.path, "--handshake-timeout", "1s"])
            let child = try ChildProcess(program.path, ["leave", "\(Self.pairs)"])
            try child.waitForLine(in: child.output) { $0 == "left" }
            let areForgotten = try eventually {
                // Whoever uses a socket while there are some looks whether there still are.
                _ = try daemon.metrics()
                return try Kept(by: daemon) == Kept(0, 0)
            }
            #expect(areForgotten)
            #expect(child.status == nil)
            let metrics = try daemon.quietMetrics {
                Books($0).ended >= Double(2 * Self.pairs) && Books($0).balance
            }
            expectConservation(metrics)
            child.stop()
        }
    }
}

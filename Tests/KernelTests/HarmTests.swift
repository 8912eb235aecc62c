import Code
import Foundation
import Glibc
import Kernel
import TestSupport
import Testing

@testable import HandshakeProbe

extension KernelTests {
    /// What observing must not do to the observed, whatever happens to the observer.
    @Suite("What observing must not do") struct HarmTests {
        @Test("Probes go on and off a thousand times under a load, and no handshake of it fails")
        func attachCycles() throws {
            let load = try SteadyLoad()
            #expect(try load.changedBytes() == 0)
            let path = try LibraryCopy.system("libssl.so.3")
            let probes = try ProbeCycles(path: path)
            var seen = 0
            for cycle in 0..<1_000 {
                try probes.turn { _ in
                    if cycle % 100 == 0 { seen = max(seen, try load.changedBytes()) }
                }
            }
            #expect(seen == probes.sites.count, "every probe is a changed byte")
            #expect(try eventually { try load.changedBytes() == 0 }, "and the code is the file's again")
            let report = try load.finish()
            print("1,000 times on and off under \(report.made) handshakes, \(report.failed) of which failed")
            #expect(report.failed == 0, "\(report)")
            #expect(report.made > 100, "\(report)")
        }

        /// When a daemon is killed.
        enum Moment: CaseIterable {
            /// Its programs are in the kernel, none is attached.
            case loaded
            /// Some probes are in place.
            case attaching
            case steady
            case scraped
        }

        @Test(
            "A daemon that is killed leaves nothing, harms nothing, and the next one is whole",
            arguments: Moment.allCases)
        func aKilledDaemonLeavesNothing(_ moment: Moment) throws {
            let load = try SteadyLoad()
            for _ in 0..<3 {
                let child: ChildProcess
                var daemon: Daemon?
                var scrape: ChildProcess?
                switch moment {
                case .loaded, .attaching:
                    child = try ChildProcess(Tlswatch.binary(), ["run", "--listen", "127.0.0.1:0"])
                    let there = eventually {
                        let held = KernelHoldings(of: child.pid)
                        return !(moment == .loaded ? held.programs : held.links).isEmpty || child.status != nil
                    }
                    try #require(there && child.status == nil, "\(child.errors.text)")
                case .steady, .scraped:
                    let ready = try Daemon()
                    child = ready.child
                    daemon = ready
                    if moment == .scraped {
                        // A reader that takes its time: the answer is on its way when the daemon dies.
                        let slow = try ChildProcess(
                            "curl",
                            [
                                "-q", "--noproxy", "*", "-s", "--limit-rate", "2k", "--max-time", "30",
                                "http://127.0.0.1:\(ready.port)/metrics",
                            ])
                        #expect(eventually { !slow.output.text.isEmpty })
                        scrape = slow
                    }
                }
                let held = KernelHoldings(of: child.pid)
                child.stop(SIGKILL)
                _ = daemon
                #expect(child.status == .signalled(SIGKILL))
                #expect(try held.areGone())
                #expect(try eventually { try load.changedBytes() == 0 }, "no breakpoint is left")
                scrape?.stop(SIGKILL)
            }
            let next = try Daemon(["--pid", "\(load.child.pid)"])
            let metrics = try next.metrics()
            #expect(
                try eventually {
                    try next.metrics().sum("tlswatch_handshakes_total", ["outcome": "completed"])
                        > metrics.sum("tlswatch_handshakes_total", ["outcome": "completed"]) + 20
                })
            let report = try load.finish()
            #expect(report.failed == 0, "\(report)")
            #expect(next.child.stop() == .exited(0))
        }

        @Test("A daemon that stood still tells what it lost, flags its window until that has passed, and goes on")
        func stoodStill() throws {
            let daemon = try Daemon(["--ring-size", "1", "--window", "5s"])
            daemon.child.signal(SIGSTOP)
            let stalled = try ChildProcess.run(
                "env", Handshaker.command(.distribution, ["--nonblocking", "--count", "3000"]), within: .seconds(60))
            daemon.child.signal(SIGCONT)
            try #require(stalled.status == .exited(0), "\(stalled.errors.suffix(500))")
            let lossy = try daemon.quietMetrics {
                $0.sum("tlswatch_events_dropped_total", ["reason": "ring_full"]) > 0 && Books($0).started > 0
                    && Books($0).balance
            }
            #expect(lossy.sum("tlswatch_events_dropped_total", ["reason": "ring_full"]) > 0, "the ring overflowed")
            #expect(lossy.sum("tlswatch_window_incomplete") == 1)
            expectConservation(lossy)
            #expect(try eventually { try daemon.metrics().sum("tlswatch_window_incomplete") == 0 }, "it passes")
            let before = try daemon.metrics().sum("tlswatch_handshakes_total", ["outcome": "completed"])
            let after = try ChildProcess.run(
                "env", Handshaker.command(.distribution, ["--nonblocking", "--count", "50"]), within: .seconds(60))
            try #require(after.status == .exited(0))
            let whole = try daemon.quietMetrics {
                $0.sum("tlswatch_handshakes_total", ["outcome": "completed"]) == before + 100 && Books($0).balance
            }
            #expect(whole.sum("tlswatch_handshakes_total", ["outcome": "completed"]) == before + 100)
            #expect(whole.sum("tlswatch_window_incomplete") == 0)
            expectConservation(whole)
        }
    }
}

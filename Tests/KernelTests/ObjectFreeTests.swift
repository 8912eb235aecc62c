import Foundation
import TestSupport
import Testing

extension KernelTests {
    /// The daemon spares the probe on the end of a TLS object as long as sockets tell how handshakes end.
    @Suite("The end of TLS objects") struct ObjectFreeTests {
        @Test("It is probed in the daemon once a handshake waits whose socket is not known")
        func theEndOfObjectsIsProbedOnDemand() throws {
            let certificates = try TestCertificates()
            let directory = try TemporaryDirectory()
            let copy = try LibraryCopy(into: directory.path)
            let daemon = try Daemon(["--library", copy.libssl])
            func probes() throws -> Double {
                try daemon.metrics().sum("tlswatch_probes", ["library": copy.libssl, "state": "emulated"])
            }
            func sessions(_ outcome: String) throws -> Double {
                try daemon.metrics().sum("tlswatch_handshakes_total", ["outcome": outcome])
            }
            /// Once what was made before is told.
            func settled(_ outcome: String) throws -> Double {
                try daemon.quietMetrics().sum("tlswatch_handshakes_total", ["outcome": outcome])
            }
            // Its server waits for each client with a socket that is known.
            let server = try AnyServer(certificates, environment: copy.environment)
            let isObserved = try eventually {
                try server.connect(environment: copy.environment)
                return try sessions("completed") >= 4
            }
            try #require(isObserved)
            let spared = try probes()
            // Two turns of the thread that would ask for it.
            for _ in 0..<2 {
                let before = try settled("completed")
                try server.connect(environment: copy.environment)
                #expect(try eventually { try sessions("completed") > before })
            }
            #expect(try probes() == spared)
            server.stop()
            #expect(try sessions("abandoned") == 0)

            // Objects without a socket, of a process that goes on: only their end tells.
            let program = try ChildProcess(
                "/usr/bin/python3", [resource("Scripts/memory_objects.py")], environment: copy.environment)
            try program.waitForLine(in: program.output) { $0 == "ready" }
            var freed = 0
            func freeOne() throws {
                kill(program.pid, SIGUSR1)
                freed += 1
                try program.waitForLine(in: program.output) { $0 == "freed \(freed)" }
            }
            let isTold = try eventually {
                try freeOne()
                return try probes() > spared && sessions("abandoned") > 0
            }
            let states = (try probes(), try sessions("abandoned"), try sessions("timeout"))
            #expect(isTold, "\(states)")
            #expect(try probes() == spared + 1)
            // From then on each is told.
            let before = try settled("abandoned")
            try freeOne()
            #expect(try eventually { try sessions("abandoned") >= before + 1 })
            program.stop()
            let metrics = try daemon.quietMetrics { Books($0).balance }
            #expect(Books(metrics).balance)
            #expect(daemon.child.stop() == .exited(0))
        }
    }
}

import Foundation
import TestSupport
import Testing

extension KernelTests {
    /// What uses TLS, or looks like it, without a library that is known: told, not passed over.
    @Suite("Programs without a known library") struct UncoveredTests {
        /// Ports of TLS are fixed; in a network of its own nobody else has one.
        private static let ownNetwork = ["-n", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh"]
        private static let holder = """
            import socket, sys, time
            server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
            client = socket.create_connection(server.getsockname())
            accepted = server.accept()
            print("holding", flush=True)
            time.sleep(120)
            """

        private func uncovered(_ daemon: Daemon) throws -> Double {
            try daemon.metrics().sum(
                "tlswatch_observed_processes", ["state": "unobserved", "reason": "no_known_library"])
        }

        @Test("A process with connections on a port of TLS and no library that is known is told, until it ends")
        func aProcessWithoutAKnownLibraryIsReported() throws {
            let daemon = try Daemon(["--sweep-interval", "1s"])
            let before = try uncovered(daemon)
            let process = try ChildProcess(
                "unshare", Self.ownNetwork + ["python3", "-c", Self.holder, "8443"])
            let other = try ChildProcess(
                "unshare", Self.ownNetwork + ["python3", "-c", Self.holder, "8444"])
            for child in [process, other] {
                #expect(eventually { child.output.text.contains("holding") }, "\(child.errors.text)")
            }
            #expect(try eventually { try uncovered(daemon) == before + 1 }, "only the one on a port of TLS")
            let targets = try ChildProcess.run(Tlswatch.binary(), ["targets"])
            #expect(targets.status == .exited(0))
            let note = "no_known_library: listens on port 8443, and has 2 connections on well-known TLS ports"
            #expect(targets.output.contains("  processes: \(process.pid)\n  note: \(note)\n"), "\(targets.output)")
            process.stop(SIGTERM)
            #expect(try eventually { try uncovered(daemon) == before })
        }
    }
}

import Code
import Foundation
import HandshakeProbe
import TestSupport
import Testing

extension KernelTests {
    /// A library whose first sessions make no sense is not believed, and really left alone.
    @Suite("A library that is not believed") struct DistrustTests {
        /// A libssl whose SSL_get_state, which only a program asks, reads the wrong field: the handshake's state is derived
        /// from it. There lies the upper half of a pointer, and where the flow's state would be, 20 bytes before, a pointer
        /// that is NULL when a handshake begins.
        private func misleading(_ directory: TemporaryDirectory) throws -> LibraryCopy {
            let copy = try LibraryCopy(into: directory.path)
            let file = try ELFFile(path: copy.libssl)
            let symbol = try #require(file.symbol("SSL_get_state"))
            let offset = Int(try #require(file.fileOffset(ofAddress: symbol.address)))
            var content = try Data(contentsOf: URL(fileURLWithPath: copy.libssl))
            // mov 0x5c(%rdi),%eax; ret
            try #require(Array(content[offset..<offset + 4]) == [0x8b, 0x47, 0x5c, 0x31])
            content[offset + 2] = 0x34
            try content.write(to: URL(fileURLWithPath: copy.libssl))
            return copy
        }

        @Test("Its probes are taken off, that is reported, and it is hit no more; others are observed as ever")
        func probesOfADistrustedLibraryAreTakenOff() throws {
            let certificates = try TestCertificates()
            let directory = try TemporaryDirectory()
            let copy = try misleading(directory)
            let daemon = try Daemon(["--label", "local_port"])
            let server = try AnyServer(certificates, environment: copy.environment)
            func states() throws -> [String: Double] {
                try daemon.metrics().all("tlswatch_probes", ["library": copy.libssl]).reduce(into: [:]) {
                    $0[$1.labels["state"] ?? ""] = $1.value
                }
            }
            func hits() throws -> Double {
                try daemon.metrics().sum("tlswatch_probe_hits_total", ["library": copy.libssl])
            }
            #expect(try eventually { (try states()["emulated"] ?? 0) > 0 })
            let isDetached = try eventually {
                try server.connect(environment: copy.environment)
                return try states()["detached"] != nil
            }
            let after = try states()
            #expect(isDetached, "\(after)")
            #expect(after["emulated"] == nil, "\(after)")
            // The probes go in the kernel's own time.
            let isLeftAlone = try eventually {
                let before = try hits()
                try server.connect(environment: copy.environment)
                return try hits() == before
            }
            let last = try hits()
            #expect(isLeftAlone)
            #expect(last > 0)
            for _ in 0..<5 { try server.connect(environment: copy.environment) }
            // The distribution's own library in the client: only its side is observed.
            let others = ["role": "client", "outcome": "completed"]
            let before = try daemon.metrics().sum("tlswatch_handshakes_total", others)
            try server.connect()
            let metrics = try daemon.quietMetrics {
                $0.sum("tlswatch_handshakes_total", others) > before && Books($0).balance
            }
            #expect(metrics.sum("tlswatch_handshakes_total", others) > before)
            #expect(
                metrics.sum("tlswatch_handshakes_total", ["role": "server", "local_port": "\(server.port)"]) == 0,
                "none of its sessions is believed")
            let still = try hits()
            #expect(still == last)
            let distrusted = try eventually {
                try daemon.metrics().sum("tlswatch_observed_processes", ["reason": "sanity_check_failed"]) == 1
            }
            #expect(distrusted)
            #expect(Books(metrics).balance, "what is rejected is counted")
            #expect(daemon.child.errors.text.contains("library detached"), "\(daemon.child.errors.text)")
            server.stop()
            #expect(daemon.child.stop() == .exited(0))
        }
    }
}

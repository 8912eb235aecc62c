import Code
import Foundation
import Glibc
import Kernel
import TestSupport
import Testing

@testable import HandshakeProbe

extension KernelTests {
    /// What observing BoringSSL costs those that are observed.
    @Suite("What observing BoringSSL costs") struct BoringSSLCostTests {
        /// Hits at most: of each call, and of a handshake besides.
        private struct Limit {
            var phases: String
            var call = 2
            var handshake: Int
        }

        // Without phases the end of the object at most; with them, of TLS 1.3, four key changes and the decision on ALPN too.
        @Test(
            "A handshake has as many hits as were reckoned with",
            arguments: ["1.2", "1.3"], ["--blocking", "--nonblocking"])
        func hits(_ version: String, _ calls: String) throws {
            for limit in [Limit(phases: "off", handshake: 1), Limit(phases: "on", handshake: 6)] {
                let daemon = try Daemon(["--library", #require(TLSBuild.boringSSL.libssl), "--phases", limit.phases])
                func hits() throws -> Double {
                    try daemon.metrics().sum("tlswatch_probe_hits_total", ["stack": "boringssl"])
                }
                let before = try hits()
                let count = 50
                let made = try ChildProcess.run(
                    "env",
                    Handshaker.command(
                        .boringSSL,
                        ["--tls", version, calls, "--count", "\(count)", "--alpn", "h2", "--sni", "a.example"]))
                try #require(made.status == .exited(0), "\(made.errors)")
                let witnesses = try Handshaker.witnesses(made.output)
                try #require(witnesses.count == 2 * count)
                // SSL_read and SSL_write behind a finished handshake do not come to the probes.
                let expected = witnesses.reduce(0) { $0 + limit.call * ($1.calls ?? 0) }
                _ = try daemon.quietMetrics {
                    $0.sum("tlswatch_handshakes_total", ["stack": "boringssl", "outcome": "completed"])
                        >= Double(2 * count)
                }
                let seen = try hits() - before
                #expect(seen >= Double(expected), "every call has two")
                #expect(seen <= Double(expected + limit.handshake * 2 * count), "phases \(limit.phases): \(seen)")
                // The goal: a handshake of two calls, as most servers make it.
                if calls == "--blocking" {
                    #expect(seen / Double(2 * count) <= (limit.phases == "off" ? 5 : 14))
                }
            }
        }

        @Test("Probes go on and off many times under a load, and no handshake of it fails")
        func attachCycles() throws {
            let path = try #require(TLSBuild.boringSSL.libssl)
            let directory = try TemporaryDirectory()
            let output = directory.file("witnesses")
            let line = try Handshaker.command(
                .boringSSL, ["--nonblocking", "--count", "1000000", "--alpn", "h2", "--sni", "a.example"])
            let load = try ChildProcess("sh", ["-c", "exec \"$@\" > \"$0\"", output] + line)
            defer { load.stop(SIGKILL) }
            func made() -> Int {
                (try? FileHandle(forReadingFrom: URL(fileURLWithPath: output)).seekToEnd()).map { Int($0) } ?? 0
            }
            try #require(eventually { made() > 0 })
            let probes = try ProbeCycles(path: path)
            var under = 0
            for _ in 0..<ProbeCycles.count {
                let before = made()
                try probes.turn { profile in
                    let known = probes.hits(profile: profile)
                    #expect(eventually { probes.hits(profile: profile) > known || load.status != nil })
                }
                if made() > before { under += 1 }
            }
            #expect(load.status == nil, "it goes on: \(load.situation)")
            load.stop(SIGTERM)
            let text = try String(contentsOfFile: output, encoding: .utf8)
            // The last one may be cut off.
            let lines = text.split(separator: "\n").dropLast()
            let failed = lines.filter { !$0.contains("\"outcome\":\"completed\"") }
            print(
                "\(ProbeCycles.count) times on and off under \(lines.count / 2) handshakes, \(failed.count) of which failed"
            )
            #expect(failed.isEmpty, "\(failed.first ?? "")")
            #expect(under > ProbeCycles.count / 2, "handshakes went on meanwhile")
        }
    }
}

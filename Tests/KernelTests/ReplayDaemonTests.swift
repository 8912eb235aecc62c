import Foundation
import TestSupport
import Testing

extension KernelTests {
    @Suite("A daemon that replays") struct ReplayDaemonTests {
        @Test("A recording of real handshakes is served without privilege, until a signal")
        func aRecordingIsServedWithoutPrivilege() throws {
            let certificates = try TestCertificates()
            let nginx = try Nginx(certificates)
            let directory = try TemporaryDirectory()
            let recording = directory.file("stream.bin")
            let capture = try Capture(["--record", recording])
            _ = try Curl.get(count: 5, port: nginx.port, authority: certificates.authority)
            try capture.await(10, where: belongs(toPort: nginx.port))
            let rows = try capture.stop()
            try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: recording)

            let daemon = try ReplayDaemon(recording, on: FreePort(), options: ["--label", "local_port"])
            #expect(try eventually { try daemon.metrics()?.sum("tlswatch_handshakes_total") == Double(rows.count) })
            let metrics = try #require(try daemon.metrics())
            let mine = ["role": "server", "local_port": "\(nginx.port)", "outcome": "completed"]
            #expect(metrics.sum("tlswatch_handshakes_total", mine) == 5)
            #expect(metrics.all("tlswatch_handshake_window_seconds", ["role": "server"]).count >= 4)
            #expect(metrics.all("tlswatch_probe_hits_total").isEmpty, "what a recording does not hold is absent")
            #expect(try daemon.get("/healthz") == 200)
            #expect(try daemon.get("/readyz") == 200)
            #expect(daemon.child.status == nil, "the recording's end is not the daemon's")
            daemon.child.signal(SIGTERM)
            #expect(try daemon.child.wait().status == .exited(0))
        }

        @Test("What cannot be served is told before anything is")
        func anUnusableRecordingIsRefusedFirst() throws {
            let directory = try TemporaryDirectory()
            let good = directory.file("good")
            try SyntheticRecording.write([1_000_000], every: 1, to: good)
            let bytes = try Data(contentsOf: URL(fileURLWithPath: good))
            let cut = directory.file("cut")
            try bytes.dropLast(5).write(to: URL(fileURLWithPath: cut))
            let listener = try SilentListener()
            for (arguments, status, text) in [
                ([good, "--listen", "127.0.0.1:0", "--format", "json"], 64 as Int32, "--listen"),
                ([good, "--window", "5m"], 64, "--listen"),
                ([cut, "--listen", "127.0.0.1:0"], 65, "cut"),
                ([good, "--listen", "127.0.0.1:\(listener.port)"], 71, "\(listener.port)"),
            ] {
                let result = try Tlswatch.run(["replay"] + arguments)
                #expect(result.status == .exited(status), "\(result.errors)")
                #expect(result.errors.contains(text), "\(result.errors)")
                #expect(!result.errors.split(separator: "\n").contains("ready"))
            }
        }
    }
}

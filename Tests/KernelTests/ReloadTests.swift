import Foundation
import TestSupport
import Testing

extension KernelTests {
    /// The daemon with a settings file, and what SIGHUP makes of another.
    @Suite("Settings that change under the daemon") struct ReloadTests {
        private let folder: TemporaryDirectory

        init() throws { folder = try TemporaryDirectory() }

        private func daemon(_ text: String, _ options: [String] = []) throws -> Daemon {
            try Daemon(["--config", folder.write(text, to: "tlswatch.yml")] + options)
        }

        /// Writes the file and signals, once the daemon has told of all the signals before.
        private func reload(_ daemon: Daemon, _ text: String) throws {
            try folder.write(text, to: "tlswatch.yml")
            daemon.child.signal(SIGHUP)
        }

        private func awaitLine(_ daemon: Daemon, _ text: String) throws {
            try daemon.child.waitForLine(in: daemon.child.errors) { $0.contains(text) }
        }

        @Test("SIGHUP shortens the timeout under a handshake that stalls; what cannot change is named")
        func aReloadShortensTheTimeout() throws {
            let daemon = try daemon("handshake-timeout: 10m\nwindow: [60s]\n")
            // A client whose server never answers: it stays in its handshake.
            let listener = try SilentListener()
            let stalled = try ChildProcess(
                "openssl", ["s_client", "-connect", "127.0.0.1:\(listener.port)"])
            defer { stalled.stop(SIGKILL) }
            let inFlight = try daemon.quietMetrics { $0.sum("tlswatch_handshakes_in_flight", ["role": "client"]) >= 1 }
            #expect(inFlight.sum("tlswatch_handshakes_in_flight", ["role": "client"]) >= 1)
            #expect(inFlight.sum("tlswatch_handshakes_total", ["outcome": "timeout"]) == 0)
            try reload(daemon, "handshake-timeout: 300ms\nwindow: [5m]\nring-size: 4\nlog-format: json\n")
            try awaitLine(daemon, "changed settings that require a restart: ring-size, window")
            try awaitLine(daemon, "handshake-timeout=300ms")
            let ended = try daemon.quietMetrics { $0.sum("tlswatch_handshakes_total", ["outcome": "timeout"]) >= 1 }
            #expect(ended.sum("tlswatch_handshakes_total", ["outcome": "timeout"]) >= 1)
            #expect(ended.all("tlswatch_handshake_window_sessions").allSatisfy { $0.labels["window"] == "60s" })
            #expect(daemon.child.errors.lines.last { $0.contains("restart") }?.hasPrefix("{") == true)
            #expect(daemon.child.status == nil)
        }

        @Test("A wrong file leaves the old settings in force and is told; the next right one is taken")
        func aWrongFileChangesNothing() throws {
            let daemon = try daemon("handshake-timeout: 60s\n", ["--sweep-interval", "45s"])
            for (text, reason) in [
                ("handshake-timeout: soon\n", ":1: handshake-timeout: must be a duration"),
                ("handshake-timeut: 1s\n", "did you mean handshake-timeout?"), ("[\n", "is not YAML"),
            ] {
                try reload(daemon, text)
                try awaitLine(daemon, reason)
            }
            let refused = daemon.child.errors.lines.filter { $0.contains("the old settings stay in force") }
            #expect(refused.count == 3, "\(refused)")
            #expect(refused.allSatisfy { $0.contains(folder.file("tlswatch.yml")) }, "\(refused)")
            #expect(try daemon.get("/readyz").status == 200)
            // The flag comes before the file; what is as it was is not told as a change.
            try reload(daemon, "handshake-timeout: 60s\nsweep-interval: 5s\n")
            try awaitLine(daemon, "configuration reloaded, no changes")
            try reload(daemon, "handshake-timeout: 61s\n")
            try awaitLine(daemon, "changed=handshake-timeout=61s")
            try FileManager.default.removeItem(atPath: folder.file("tlswatch.yml"))
            daemon.child.signal(SIGHUP)
            try awaitLine(daemon, "cannot be read")
            daemon.child.signal(SIGTERM)
            #expect(try daemon.child.wait().status == .exited(0))
        }

        @Test("A daemon with a wrong file or variable does not start; check-config says the same")
        func aWrongFileStopsTheStart() throws {
            let path = try folder.write("ring-sise: 8\n", to: "wrong.yml")
            for arguments in [["run", "--config", path], ["check-config", path]] {
                let result = try Tlswatch.runUnprivileged(arguments)
                #expect(result.status == .exited(65), "\(result.errors)")
                #expect(result.errors.contains("\(path):1: ring-sise: unknown key; did you mean ring-size?"))
                #expect(result.output.isEmpty)
            }
            for command in ["run", "check-config"] {
                let result = try ChildProcess.run(
                    Tlswatch.binary(), [command], environment: ["TLSWATCH_RING_SIZE": "3"])
                #expect(result.status == .exited(64), "\(result.errors)")
                #expect(result.errors.contains("TLSWATCH_RING_SIZE in the environment: must be a power of two"))
            }
            let none = try Tlswatch.run(["run", "--config", folder.file("none.yml")])
            #expect(none.status == .exited(65), "\(none.errors)")
            #expect(none.errors.contains("none.yml: cannot be read"), "\(none.errors)")
        }

        @Test("check-config prints value, source and default, as text and as JSON")
        func checkConfigPrintsEverySource() throws {
            let path = try folder.write("ring-size: 16\nwindow: [60s, 15m]\n", to: "right.yml")
            let environment = ["TLSWATCH_MAX_SESSIONS": "2000"]
            let text = try ChildProcess.run(Tlswatch.binary(), ["check-config", path], environment: environment)
            #expect(text.status == .exited(0), "\(text.errors)")
            #expect(text.errors.isEmpty, "\(text.errors)")
            let rows = text.output.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
            #expect(rows.contains(["ring-size", "16", "file", "2"]), "\(text.output)")
            #expect(rows.contains(["max-sessions", "2000", "environment", "65536"]), "\(text.output)")
            #expect(rows.contains(["sweep-interval", "30s", "default", "30s"]), "\(text.output)")
            let json = try ChildProcess.run(
                Tlswatch.binary(), ["check-config", path, "--format", "json"], environment: environment)
            let object = try #require(
                try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any])
            #expect(object["file"] as? String == path)
            let settings = try #require(object["settings"] as? [[String: Any]])
            let window = try #require(settings.first { $0["key"] as? String == "window" })
            #expect(window["value"] as? [String] == ["60s", "15m"])
            #expect(window["source"] as? String == "file")
            #expect(window["default"] as? [String] == ["60s"])
        }

        @Test("check-config checks the web configuration that the settings name")
        func checkConfigChecksTheWebConfiguration() throws {
            let web = try folder.write("basic_auth_user: {}\n", to: "web.yml")
            let path = try folder.write("web-config-file: \(web)\n", to: "named.yml")
            let result = try Tlswatch.run(["check-config", path])
            #expect(result.status == .exited(65))
            #expect(result.errors.contains("\(web):1: basic_auth_user: unknown key"))
        }
    }
}

import Foundation
import Glibc
import TestSupport
import Testing

extension KernelTests {
    /// What the host and its programs may be like at their worst.
    @Suite("Host and programs at their worst") struct HostileTests {
        private static let name = "a\n\"\\\u{1b}[31m<b>"

        private func hasControls(_ text: String) -> Bool {
            text.unicodeScalars.contains { $0 != "\n" && ($0.value < 0x20 || (0x7f..<0xa0).contains($0.value)) }
        }

        @Test("Names with line feeds, quotes, escape sequences, markup and broken UTF-8 break no output")
        func hostileNamesBreakNoOutput() throws {
            let certificates = try TestCertificates()
            let directory = try TemporaryDirectory()
            let odd = directory.file("d\n\u{1b}]0;x\u{7} {\"")
            try FileManager.default.createDirectory(atPath: odd, withIntermediateDirectories: true)
            let program = odd + "/" + Self.name
            try FileManager.default.copyItem(atPath: "/usr/bin/openssl", toPath: program)
            // No string here can hold a byte that is not UTF-8.
            let broken = #"p="$1/$(printf 'x\377\033y\300\200')"; cp "$2" "$p"; shift 2; exec "$p" "$@""#
            let capture = try Capture()
            let table = try ChildProcess(Tlswatch.binary(), ["capture", "--format", "table"])
            try table.waitForLine(in: table.errors) { $0 == "ready" }
            let servers = [
                try AnyServer(certificates, openssl: program),
                try AnyServer(
                    certificates, before: ["sh", "-c", broken, "sh", directory.path], openssl: "/usr/bin/openssl"),
            ]
            let pids = servers.map { Int($0.child.pid) }
            // Nobody else's sessions on its page.
            let daemon = try Daemon(["--label", "comm"] + pids.flatMap { ["--pid", "\($0)"] })
            for server in servers { try server.connect() }
            let targets = try Tlswatch.run(["targets"])
            let rows = try capture.finish(expecting: 2) { pids.contains($0.pid ?? 0) }
            #expect(rows.count == 2, "\(rows)")
            #expect(rows.allSatisfy { $0.isCompleted }, "\(rows)")
            #expect(capture.child.output.lines.allSatisfy { !hasControls($0) })
            for row in rows {
                #expect(!hasControls(row.comm ?? ""), "\(row)")
                #expect(!(row.comm ?? "\n").contains("\n"), "\(row)")
                // A path is told as it is: JSON has escapes for all of it.
                #expect(row.exe?.hasPrefix(directory.path) == true, "\(row)")
            }
            #expect(table.stop(SIGINT) == .exited(0))
            #expect(table.output.lines.count >= 3)
            #expect(!hasControls(table.output.text), "\(targets.output)")
            #expect(!hasControls(targets.output), "\(targets.output)")
            let metrics = try daemon.quietMetrics { $0.sum("tlswatch_handshakes_total", ["role": "server"]) >= 2 }
            #expect(!hasControls(metrics.text))
            let file = try directory.write(metrics.text, to: "metrics")
            let linted = try ChildProcess.run("sh", ["-c", "promtool check metrics <\"$1\"", "sh", file])
            #expect(linted.status == .exited(0), "\(linted.errors)")
            // It is made anew once a second.
            #expect(try eventually { try daemon.get("/").body.contains("&lt;b&gt;") })
            #expect(try !daemon.get("/").body.contains("31m<b>"))
            #expect(daemon.child.errors.lines.allSatisfy { !hasControls($0) })
            for server in servers { server.stop() }
        }

        @Test("A log reader that stops reading stops neither scrapes nor the end; one that goes away ends nothing")
        func logReaders() throws {
            // Its log says nothing to anybody: the port must be known.
            let reserved = try FreePort()
            defer { withExtendedLifetime(reserved) {} }
            let port = reserved.number
            let stalled = try ChildProcess(
                "python3",
                [script("stalled_reader.py"), Tlswatch.binary(), "run", "--listen", "127.0.0.1:\(port)"])
            try FreePort.awaitListening(port, server: stalled)
            func suppressed() throws -> Double {
                try Metrics(
                    ChildProcess.run(
                        "curl", ["-q", "--noproxy", "*", "-sf", "--max-time", "10", "http://127.0.0.1:\(port)/metrics"]
                    ).output
                ).sum("tlswatch_log_lines_suppressed_total")
            }
            #expect(try eventually { try suppressed() > 0 }, "what is not taken is counted")
            let children = try ChildProcess.run("pgrep", ["-P", "\(stalled.pid)"]).output
            let pid = try #require(pid_t(children.split(separator: "\n").first ?? ""))
            kill(pid, SIGTERM)
            #expect(try stalled.wait().status == .exited(0))

            let gone = try ChildProcess(
                "sh",
                [
                    "-c", #""$@" 2>&1 >/dev/null | true"#, "sh", Tlswatch.binary(), "run", "--listen",
                    "127.0.0.1:\(port)",
                ])
            try FreePort.awaitListening(port, server: gone)
            #expect(try suppressed() >= 0)
            let left = try ChildProcess.run("pgrep", ["-f", "listen 127.0.0.1:\(port)$"]).output
            for line in left.split(separator: "\n") { if let pid = pid_t(line) { kill(pid, SIGTERM) } }
            #expect(eventually { gone.status != nil })
        }

        @Test("Out of descriptors the daemon lives, rests, and goes on when there are some again")
        func theDaemonOutlivesALackOfDescriptors() throws {
            let certificates = try TestCertificates()
            let directory = try TemporaryDirectory()
            let copy = try LibraryCopy(into: directory.path)
            let daemon = try Daemon(["--sweep-interval", "1s"])
            _ = try daemon.metrics()
            let open = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(daemon.child.pid)/fd")
            let free = try #require((0...).first { number in !open.contains("\(number)") })
            func limit(_ number: Int) throws {
                let set = try ChildProcess.run("prlimit", ["--pid", "\(daemon.child.pid)", "--nofile=\(number):"])
                try #require(set.status == .exited(0), "\(set.errors)")
            }
            try limit(free)
            let server = try AnyServer(certificates, environment: copy.environment)
            // A connection that cannot be taken waits in the kernel.
            let waiting = try ChildProcess(
                "curl",
                [
                    "-q", "--noproxy", "*", "-sf", "--max-time", "25", "-o", "/dev/null",
                    "http://127.0.0.1:\(daemon.port)/healthz",
                ])
            try daemon.child.waitForLine(in: daemon.child.errors) { $0.contains("connections wait") }
            let before = try processorTicks(of: daemon.child.pid)
            let began = ContinuousClock.now
            _ = eventually(within: .seconds(2)) { daemon.child.status != nil }
            try #require(daemon.child.status == nil, "\(daemon.child.errors.text.suffix(2000))")
            let spent = try processorTicks(of: daemon.child.pid) - before
            let elapsed = began.duration(to: .now) / .milliseconds(10)
            #expect(Double(spent) < 0.5 * elapsed, "\(spent) ticks of \(elapsed)")
            try limit(1024)
            #expect(try waiting.wait().status == .exited(0), "it is served when there is room")
            #expect(
                eventually {
                    guard let metrics = try? daemon.metrics() else { return false }
                    return metrics.sum("tlswatch_probes", ["library": copy.libssl, "state": "emulated"]) > 0
                }, "\(daemon.child.errors.text.suffix(2000))")
            try server.connect()
            let whole = try daemon.quietMetrics { Books($0).started > 0 && Books($0).balance }
            expectConservation(whole)
            server.stop()
        }

        @Test("Too few descriptors to begin with are told, whatever runs out first", arguments: [12, 34, 44, 56])
        func fewAtStart(_ descriptors: Int) throws {
            let result = try ChildProcess.run(
                "prlimit",
                ["--nofile=\(descriptors):\(descriptors)", Tlswatch.binary(), "run", "--listen", "127.0.0.1:0"])
            #expect(result.status == .exited(71), "\(result.errors.suffix(2000))")
            #expect(result.errors.contains("Too many open files"), "\(result.errors.suffix(2000))")
            #expect(result.errors.contains("LimitNOFILE"), "\(result.errors.suffix(2000))")
        }

        @Test("Too few threads to begin with are told", arguments: [1, 2, 5])
        func fewThreads(_ threads: Int) throws {
            let directory = try TemporaryDirectory()
            let copy = directory.file("tlswatch")
            try FileManager.default.copyItem(atPath: Tlswatch.binary(), toPath: copy)
            let capabilities = "+bpf,+perfmon,+sys_ptrace,+dac_read_search"
            // Of a user who has no other process; root has no such limit.
            let result = try ChildProcess.run(
                "setpriv",
                [
                    "--reuid=61234", "--regid=61234", "--clear-groups", "--inh-caps", capabilities, "--ambient-caps",
                    capabilities, "prlimit", "--nproc=\(threads):\(threads)", copy, "run", "--listen",
                    "127.0.0.1:0",
                ])
            #expect(result.status == .exited(71), "\(result.errors.suffix(2000))")
            #expect(result.errors.contains("cannot start a thread"), "\(result.errors.suffix(2000))")
        }

        /// User and system, hundredths of a second.
        private func processorTicks(of pid: pid_t) throws -> Int {
            let stat = try String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)
            let fields = stat[(stat.lastIndex(of: ")") ?? stat.startIndex)...].split(separator: " ")
            return fields[12...13].compactMap { Int($0) }.reduce(0, +)
        }

        @Test(
            "A full disk ends a capture with 71, its summary told; the command goes on to its end",
            arguments: [
                ["--output", "/dev/full"], ["--output", "/dev/full", "--format", "table"], ["--record", "/dev/full"],
            ])
        func fullDisk(_ options: [String]) throws {
            let certificates = try TestCertificates()
            let server = try AnyServer(certificates)
            let directory = try TemporaryDirectory()
            let mark = directory.file("mark")
            let command = """
                openssl s_client -connect 127.0.0.1:\(server.port) </dev/null >/dev/null 2>&1
                openssl s_client -connect 127.0.0.1:\(server.port) </dev/null >/dev/null 2>&1 && : >"$1"
                """
            let result = try Tlswatch.run(["capture"] + options + ["--", "sh", "-c", command, "sh", mark])
            #expect(result.status == .exited(71), "\(result.errors)")
            #expect(result.errors.contains("/dev/full: No space left on device"), "\(result.errors)")
            #expect(result.errors.contains("sessions:"), "the summary: \(result.errors)")
            #expect(FileManager.default.fileExists(atPath: mark), "the command came to its end")
            server.stop()
        }

        @Test("Files that cannot be made are refused in one line with 71, a command that is no program with 64")
        func filesThatCannotBeMade() throws {
            let directory = try TemporaryDirectory()
            let absent = directory.file("absent/file")
            for (options, what) in [("--output", absent), ("--record", "the recording \(absent)")] {
                let result = try Tlswatch.run(["capture", "--duration", "100ms", options, absent])
                #expect(result.status == .exited(71), "\(result.errors)")
                let lines = result.errors.split(separator: "\n").filter { $0.hasPrefix("tlswatch: ") }
                #expect(lines == ["tlswatch: cannot write \(what): No such file or directory"])
            }
            let plain = try directory.write("no program", to: "plain")
            for (name, what) in [
                (plain, "no executable file \(plain)"), ("no-such-command", "no command no-such-command in PATH"),
            ] {
                let result = try Tlswatch.run(["capture", "--", name])
                #expect(result.status == .exited(64), "\(result.errors)")
                #expect(result.errors == "tlswatch: \(what)\n")
            }
        }

        @Test("In a time namespace of its own it tells the host's time", arguments: ["100000", "-5"])
        func timeNamespace(_ offset: String) throws {
            let certificates = try TestCertificates()
            let server = try AnyServer(certificates)
            let inside = ["--time", "--fork", "--kill-child", "--monotonic", offset]
            let capture = try ChildProcess("unshare", inside + [Tlswatch.binary(), "capture", "--format", "json"])
            try capture.waitForLine(in: capture.errors) { $0 == "ready" }
            let daemon = try ChildProcess(
                "unshare", inside + [Tlswatch.binary(), "run", "--listen", "127.0.0.1:0"])
            let port = try FreePort.ofDaemon(daemon)
            let before = Date()
            try server.connect()
            // A handshake under way is not one that has waited for a day.
            let stalled = try SilentListener()
            let waiting = try ChildProcess("openssl", ["s_client", "-connect", "127.0.0.1:\(stalled.port)"])
            func rows() throws -> [SessionRow] {
                try SessionRow.parse(capture.output.lines).filter(belongs(toPort: server.port))
            }
            #expect(try eventually(within: .seconds(15)) { try rows().count >= 2 })
            let told = try rows()
            #expect(told.count == 2)
            #expect(told.allSatisfy { $0.isCompleted })
            expectSane(told)
            for row in told {
                let time = try #require(row.time.flatMap(Self.date))
                #expect(abs(time.timeIntervalSince(before)) < 60, "\(row)")
                #expect((row.duration ?? 0) < 10_000_000_000, "\(row)")
            }
            func metrics() throws -> Metrics {
                try Metrics(
                    ChildProcess.run(
                        "curl", ["-q", "--noproxy", "*", "-s", "--max-time", "10", "http://127.0.0.1:\(port)/metrics"]
                    ).output)
            }
            #expect(
                try eventually { try metrics().sum("tlswatch_handshake_window_sessions") >= 2 },
                "they are in the window")
            #expect(try metrics().sum("tlswatch_handshakes_total", ["outcome": "timeout"]) == 0)
            waiting.stop(SIGKILL)
            capture.stop(SIGKILL)
            daemon.stop(SIGKILL)
            server.stop()
        }

        private static func date(_ text: String) -> Date? {
            let parser = ISO8601DateFormatter()
            parser.formatOptions = [.withInternetDateTime, .withFractionalSeconds]
            // It takes milliseconds.
            guard let point = text.firstIndex(of: ".") else { return parser.date(from: text) }
            return parser.date(from: text[..<point] + text[point...].prefix(4) + "Z")
        }
    }
}

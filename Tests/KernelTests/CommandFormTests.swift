import Foundation
import TestSupport
import Testing

extension KernelTests {
    /// `capture -- COMMAND`
    @Suite("A capture of a command") struct CommandFormTests {
        private func capture(_ command: [String]) throws -> (finished: Finished, rows: [SessionRow]) {
            let directory = try TemporaryDirectory()
            let file = directory.file("rows.json")
            let finished = try Tlswatch.run(["capture", "--format", "json", "--output", file, "--"] + command)
            let text = (try? String(contentsOfFile: file, encoding: .utf8)) ?? ""
            return (finished, try SessionRow.parse(text.split(separator: "\n").map(String.init)))
        }

        @Test("The command's exit status is the capture's", arguments: [Int32(0), 7])
        func theExitStatusIsTheCaptures(_ status: Int32) throws {
            let (finished, rows) = try capture(["sh", "-c", "exit \(status)"])
            #expect(finished.status == .exited(status), "\(finished.errors)")
            #expect(rows.isEmpty)
        }

        @Test("The first handshake of a command is seen, and no one else's")
        func firstHandshake() throws {
            let server = try OpenSSLServer(TestCertificates())
            let (finished, rows) = try capture([
                "openssl", "s_client", "-connect", server.address, "-servername", "a.example",
            ])
            #expect(finished.status == .exited(0), "\(finished.errors)")
            #expect(rows.count == 1)
            expectSane(rows)
            let row = try #require(rows.first)
            #expect(row.isClient)
            #expect(row.isCompleted)
            #expect(row.remote == server.address)
            #expect(row.sni == "a.example")
        }

        @Test("A command's children are observed with it")
        func childrenOfACommandAreObserved() throws {
            let certificates = try TestCertificates()
            let nginx = try Nginx(certificates)
            let request =
                "curl -q --noproxy '*' -s -o /dev/null --cacert '\(certificates.authority)' "
                + "--resolve a.example:\(nginx.port):127.0.0.1 https://a.example:\(nginx.port)/"
            let (finished, rows) = try capture(["sh", "-c", "\(request); \(request); exit 3"])
            #expect(finished.status == .exited(3), "\(finished.errors)")
            #expect(rows.count == 2)
            expectSane(rows)
            #expect(rows.allSatisfy { $0.isClient && $0.isCompleted && $0.comm == "curl" && $0.alpn == "h2" })
            #expect(Set(rows.compactMap(\.pid)).count == 2)
        }

        @Test(
            "With --pid the first handshake of a child that begins later is seen, with a library that its parent has not mapped"
        )
        func firstHandshakeOfALaterChild() throws {
            let server = try OpenSSLServer(TestCertificates())
            let directory = try TemporaryDirectory()
            let gate = directory.file("gate")
            let script = """
                mkfifo "$1" && echo made && read -r line <"$1"
                openssl s_client -connect "$2" </dev/null >/dev/null 2>&1
                """
            let shell = try ChildProcess("sh", ["-c", script, "sh", gate, server.address])
            try shell.waitForLine(in: shell.output) { $0 == "made" }
            let capture = try Capture(["--pid", "\(shell.pid)"])
            _ = try Tool.run("/bin/sh", ["-c", "echo >\"$1\"", "sh", gate])
            try capture.await(1) { $0.isClient && $0.isCompleted && $0.remote == server.address }
            let rows = try capture.stop()
            #expect(rows.count == 1, "the server is not the shell's: \(rows)")
            #expect(rows.allSatisfy { $0.comm == "openssl" })
        }

        /// What the kernel says of a command that is run as a user.
        private func credentials(
            _ options: [String], environment: [String: String] = [:]
        ) throws -> (finished: Finished, status: [String: [String]], variables: [String: String]) {
            let result = try ChildProcess.run(
                Tlswatch.binary(), ["capture"] + options + ["--", "sh", "-c", "cat /proc/self/status; env"],
                environment: environment)
            var status: [String: [String]] = [:]
            var variables: [String: String] = [:]
            for line in result.output.split(separator: "\n") {
                let fields = line.split(separator: ":", maxSplits: 1)
                if fields.count == 2, line.contains(":\t") {
                    status[String(fields[0])] = fields[1].split(whereSeparator: \.isWhitespace).map(String.init)
                }
                let pair = line.split(separator: "=", maxSplits: 1)
                if pair.count == 2 { variables[String(pair[0])] = String(pair[1]) }
            }
            return (result, status, variables)
        }

        private func expectNobody(
            _ found: (finished: Finished, status: [String: [String]], variables: [String: String])
        ) throws {
            #expect(found.finished.status == .exited(0), "\(found.finished.errors)")
            let user = try Tool.run("/usr/bin/id", ["-u", "nobody"]).filter(\.isNumber)
            let group = try Tool.run("/usr/bin/id", ["-g", "nobody"]).filter(\.isNumber)
            // Real, effective, saved, file system.
            #expect(found.status["Uid"] == Array(repeating: user, count: 4))
            #expect(found.status["Gid"] == Array(repeating: group, count: 4))
            #expect(found.status["Groups"] == [group], "none of root's")
            for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
                #expect(found.status[set] == ["0000000000000000"], "\(set)")
            }
            #expect(found.variables["USER"] == "nobody" && found.variables["LOGNAME"] == "nobody")
            #expect(found.variables["KEPT"] == "yes", "the rest of the environment stays")
        }

        @Test("With --user the command has that user's groups, and no capability")
        func user() throws {
            try expectNobody(credentials(["--user", "nobody"], environment: ["KEPT": "yes", "USER": "root"]))
        }

        @Test("Called by sudo, the command runs as the caller, unless --user says otherwise")
        func sudo() throws {
            let user = try Tool.run("/usr/bin/id", ["-u", "nobody"]).filter(\.isNumber)
            let environment = ["SUDO_UID": user, "SUDO_GID": user, "SUDO_USER": "nobody", "KEPT": "yes"]
            try expectNobody(credentials([], environment: environment))
            let root = try credentials(["--user", "root"], environment: environment)
            #expect(root.status["Uid"] == ["0", "0", "0", "0"], "\(root.finished.errors)")
        }

        @Test("A command of another user is observed like one's own")
        func userIsObserved() throws {
            let server = try OpenSSLServer(TestCertificates())
            let result = try Tlswatch.run([
                "capture", "--user", "nobody", "--format", "json", "--", "openssl", "s_client", "-connect",
                server.address,
            ])
            #expect(result.status == .exited(0), "\(result.errors)")
            // What the command prints is on the same stream.
            let lines = result.output.split(separator: "\n").filter { $0.hasPrefix("{\"time\"") }.map(String.init)
            let rows = try SessionRow.parse(lines)
            #expect(rows.count == 1)
            #expect(rows.first?.isClient == true && rows.first?.isCompleted == true)
        }

        @Test(
            "A user that is not there is bad usage; without root, another user is refused; neither starts the command")
        func refusals() throws {
            let directory = try TemporaryDirectory()
            let file = directory.file("started")
            let unknown = try Tlswatch.run(["capture", "--user", "no-such-user", "--", "touch", file])
            #expect(unknown.status == .exited(64), "\(unknown.errors)")
            #expect(unknown.errors.contains("no user 'no-such-user'"))
            let refused = try Tlswatch.runUnprivileged(["capture", "--user", "nobody", "--", "touch", file])
            #expect(refused.status == .exited(77), "\(refused.errors)")
            #expect(refused.errors.contains("only root can run a command as another user"))
            // Where the user may not run it, the kernel says so.
            let hidden = directory.file("hidden")
            try FileManager.default.copyItem(atPath: "/bin/true", toPath: hidden)
            try FileManager.default.setAttributes([.posixPermissions: 0o700], ofItemAtPath: hidden)
            let denied = try Tlswatch.run(["capture", "--user", "nobody", "--", hidden])
            #expect(denied.status == .exited(64), "\(denied.errors)")
            #expect(denied.errors.contains("cannot run \(hidden) as user nobody: Permission denied"))
            #expect(!FileManager.default.fileExists(atPath: file))
        }

        @Test("A command that does not exist is bad usage, told by its name")
        func missingCommand() throws {
            let result = try Tlswatch.run(["capture", "--", "/nonexistent/command"])
            #expect(result.status == .exited(64), "\(result.errors)")
            #expect(result.errors.contains("/nonexistent/command"))
        }
    }
}

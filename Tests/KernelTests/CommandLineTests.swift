import Foundation
import TestSupport
import Testing

extension KernelTests {
    @Suite("The command line") struct CommandLineTests {
        private func expect(
            _ arguments: [String], exits status: Int32, saying text: String...,
            sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let result = try Tlswatch.run(arguments)
            #expect(result.status == .exited(status), "\(result.errors)", sourceLocation: sourceLocation)
            #expect(result.output.isEmpty, "messages go to standard error", sourceLocation: sourceLocation)
            for piece in text {
                #expect(result.errors.contains(piece), "\(result.errors)", sourceLocation: sourceLocation)
            }
        }

        @Test("Bad usage exits with 64 and says what is wrong")
        func badUsageExits64() throws {
            try expect(["capture", "--no-such-flag"], exits: 64, saying: "--no-such-flag")
            try expect(["capture", "--duration", "soon"], exits: 64, saying: "soon")
            try expect(["capture", "--probes", "magic"], exits: 64, saying: "magic")
            try expect(["no-such-command"], exits: 64)
            try expect(["capture", "--pid", "999999999"], exits: 64, saying: "999999999")
        }

        @Test("A library that is no ELF file, or has no TLS inside, exits with 65")
        func anUnusableLibraryExits65() throws {
            try expect(["capture", "--library", "/etc/passwd"], exits: 65, saying: "/etc/passwd")
            try expect(["capture", "--library", "/bin/true"], exits: 65, saying: "/bin/true")
        }

        @Test("A missing privilege exits with 77 and names the capability")
        func aMissingPrivilegeExits77() throws {
            for command in [["capture"], ["run", "--listen", "127.0.0.1:0"]] {
                let result = try Tlswatch.runUnprivileged(command)
                #expect(result.status == .exited(77), "\(result.errors)")
                #expect(
                    result.errors.contains("CAP_BPF") || result.errors.contains("CAP_SYS_ADMIN"), "\(result.errors)")
            }
        }

        @Test("Help needs no privilege and names every command")
        func helpNeedsNoPrivilege() throws {
            let result = try Tlswatch.runUnprivileged(["--help"])
            #expect(result.status == .exited(0))
            for command in ["run", "capture", "replay", "doctor"] { #expect(result.output.contains(command)) }
        }

        @Test("The doctor names this kernel's rung and the library of the host")
        func theDoctorNamesTheRung() throws {
            let result = try Tlswatch.run(["doctor"])
            #expect(result.status == .exited(0), "\(result.errors)")
            #expect(result.output.contains("session"))
            #expect(result.output.contains("libssl.so.3"))
            #expect(result.output.contains("ok programs: accepted by the kernel"))
            #expect(result.output.contains("ok mapping events: "))
            #expect(result.output.contains("ok sched_info: available"))
        }

        @Test("In a pid namespace of its own, where process numbers lie, it says so, with 69")
        func processNamespace() throws {
            for command in [["doctor"], ["capture", "--", "true"], ["run", "--listen", "127.0.0.1:0"]] {
                let result = try ChildProcess.run(
                    "unshare", ["--pid", "--fork", "--mount-proc", Tlswatch.binary()] + command)
                #expect(result.status == .exited(69), "\(result.errors)")
                #expect((result.output + result.errors).contains("pid namespace"))
            }
        }

        @Test("With standard error closed nothing of it ends up in the output")
        func closedErrors() throws {
            let directory = try TemporaryDirectory()
            let output = directory.file("sessions")
            let server = try AnyServer(TestCertificates())
            let command = "exec \"$0\" capture --format json --output \"$1\" -- openssl s_client -connect \"$2\" 2>&-"
            let result = try ChildProcess.run(
                "sh", ["-c", command, Tlswatch.binary(), output, "127.0.0.1:\(server.port)"])
            #expect(result.status == .exited(0))
            let rows = try SessionRow.parse(
                String(contentsOfFile: output, encoding: .utf8).split(separator: "\n").map(String.init))
            #expect(rows.count == 1)
            server.stop()
        }

        private static let observers = [["run", "--listen", "127.0.0.1:0"], ["capture"], ["doctor"]]

        @Test(
            "Where /sys is hidden nothing is said of the kernel but that it cannot be seen, with 69",
            arguments: ["/sys/kernel/btf", "/sys"])
        func hiddenBTF(_ directory: String) throws {
            for command in Self.observers + [["capture", "--probes", "session"]] {
                let hidden = "mount -t tmpfs tlswatch-test \(directory) && exec \"$@\""
                let result = try ChildProcess.run(
                    "unshare", ["-m", "sh", "-c", hidden, "sh", Tlswatch.binary()] + command)
                let told = result.output + result.errors
                #expect(result.status == .exited(69), "\(told)")
                #expect(told.contains("BTF"), "\(told)")
                #expect(told.contains("cannot be seen"), "\(told)")
                for claim in ["not in this kernel", "does not have", "must be built"] {
                    #expect(!told.contains(claim), "\(told)")
                }
            }
        }

        @Test("A filter that refuses bpf(2) is named, with 77, by run, capture and doctor alike")
        func refusedBPF() throws {
            for command in Self.observers {
                let result = try ChildProcess.run(
                    "/usr/bin/env", ["python3", script("refused_call.py"), "bpf", Tlswatch.binary()] + command)
                let told = result.output + result.errors
                #expect(result.status == .exited(77), "\(told)")
                #expect(told.contains("bpf(2) is refused (a seccomp filter or lockdown)"), "\(told)")
                #expect(told.contains("This process runs under a seccomp filter"), "\(told)")
                #expect(!told.contains("memlock"), "\(told)")
                #expect(!told.contains("RLIMIT"), "\(told)")
            }
        }

        @Test("Without /proc there is one message and 71, whatever was asked for")
        func withoutProc() throws {
            for command in Self.observers + [["targets"], ["--help"]] {
                let result = try ChildProcess.run(
                    "unshare",
                    ["-m", "sh", "-c", "mount -t tmpfs tlswatch-test /proc && exec \"$@\"", "sh", Tlswatch.binary()]
                        + command)
                #expect(result.status == .exited(71), "\(result.output)")
                #expect(result.output.isEmpty, "\(result.output)")
                #expect(
                    result.errors
                        == "tlswatch: cannot read /proc/self/cmdline: No such file or directory. "
                        + "tlswatch needs /proc to be mounted\n", "\(result.errors)")
            }
        }

        @Test("Ctrl-C ends a capture with status 0 and its summary on standard error")
        func anInterruptEndsACapture() throws {
            let server = try OpenSSLServer(TestCertificates())
            let capture = try Capture()
            _ = try server.connect()
            let rows = try capture.finish(expecting: 1) { $0.pid == server.pid }
            #expect(rows.count == 1)
            let summary = capture.child.errors.lines.drop { $0 != "ready" }.dropFirst()
            #expect(!summary.isEmpty, "a summary follows `ready`")
        }

        @Test("A signal that comes while the probes are being attached is not lost", arguments: [SIGINT, SIGTERM])
        func earlySignal(_ number: Int32) throws {
            let child = try ChildProcess(Tlswatch.binary(), ["capture", "--format", "json"])
            let bit = UInt64(1) << UInt64(number - 1)
            let isTaken = eventually {
                let status = try? String(contentsOfFile: "/proc/\(child.pid)/status", encoding: .utf8)
                let line = status?.split(separator: "\n").first { $0.hasPrefix("SigBlk:") }
                return line.flatMap { UInt64($0.dropFirst(7).trimmingCharacters(in: .whitespaces), radix: 16) }
                    .map { $0 & bit != 0 } ?? false
            }
            try #require(isTaken)
            child.signal(number)
            let result = try child.wait()
            #expect(result.status == .exited(0), "\(result.errors)")
            #expect(result.errors.contains("0 sessions"), "\(result.errors)")
        }

        @Test("Under nohup a hang-up does not end a capture, else it does", arguments: [true, false])
        func hangUp(_ isIgnored: Bool) throws {
            let capture = try Capture(wrapper: isIgnored ? ["nohup"] : [])
            capture.child.signal(SIGHUP)
            if isIgnored {
                // It is of one process: what comes later has come behind it.
                capture.child.signal(SIGINT)
                let result = try capture.child.wait()
                #expect(result.status == .exited(0), "one signal, not two: \(result.status)")
            } else {
                #expect(try capture.child.wait().status == .exited(0))
            }
        }

        @Test("A reader that goes away ends the capture cleanly")
        func closedPipe() throws {
            let server = try OpenSSLServer(TestCertificates())
            let child = try ChildProcess(
                Tlswatch.binary(), ["capture", "--format", "json"], closesOutputAfterFirstLine: true)
            try child.waitForLine(in: child.errors) { $0 == "ready" }
            let ended = try eventually {
                _ = try server.connect()
                return child.status != nil
            }
            #expect(ended)
            #expect(child.status == .exited(0), "\(child.errors.text)")
            #expect(child.output.lines.count >= 1)
        }

        @Test("The table fits 120 columns, and neither it nor a summary is coloured in a pipe")
        func theTableFitsAPipe() throws {
            let certificates = try TestCertificates()
            let nginx = try Nginx(certificates)
            let worker = try #require(nginx.workers.first)
            for format in ["table", "summary"] {
                let child = try ChildProcess(
                    Tlswatch.binary(), ["capture", "--format", format, "--pid", "\(worker)", "--count", "2"])
                try child.waitForLine(in: child.errors) { $0 == "ready" }
                _ = try Curl.get(count: 2, port: nginx.port, authority: certificates.authority, ["--http2"])
                let result = try child.wait()
                #expect(result.status == .exited(0), "\(result.errors)")
                let lines = result.output.split(separator: "\n")
                #expect(!lines.isEmpty)
                #expect(lines.allSatisfy { $0.count <= 120 }, "\(result.output)")
                #expect(!result.output.contains("\u{1b}"))
                if format == "table" { #expect(result.output.contains("a.example")) }
            }
        }
    }
}

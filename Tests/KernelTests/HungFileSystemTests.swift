import Foundation
import TestSupport
import Testing

extension KernelTests {
    /// What lies on a file system that does not answer, or may not be read, is named; everything else goes on.
    @Suite("File systems that do not answer") struct HungFileSystemTests {
        private func states(_ metrics: Metrics, _ library: String) -> [String] {
            metrics.all("tlswatch_probes", ["library": library]).compactMap { $0.labels["state"] }
        }

        @Test("A hung file system stops nothing: others are observed, the file is named, the daemon ends")
        func aHungFileSystemStopsNothing() throws {
            let certificates = try TestCertificates()
            let hung = try ForeignFileSystem()
            try hung.hang()
            let daemon = try Daemon(["--sweep-interval", "1s"])
            let first = try daemon.metrics()
            #expect(states(first, hung.libssl) == ["file_system_hangs"])
            #expect(first.sum("tlswatch_observed_processes", ["reason": "file_system_hangs"]) == 1)
            let directory = try TemporaryDirectory()
            let copy = try LibraryCopy(into: directory.path)
            let server = try AnyServer(certificates, environment: copy.environment)
            #expect(try eventually { states(try daemon.metrics(), copy.libssl).contains("emulated") })
            try server.connect()
            let sessions = try daemon.quietMetrics { $0.sum("tlswatch_handshakes_total", ["role": "server"]) == 1 }
            #expect(sessions.sum("tlswatch_handshakes_total", ["role": "server"]) == 1)
            #expect(try daemon.get("/readyz").status == 200)
            #expect(daemon.child.errors.text.contains(hung.libssl), "the log names it")
            let targets = try Tlswatch.run(["targets"])
            #expect(targets.output.contains("\(hung.libssl)\n  openssl (version unknown), not observable\n"))
            #expect(targets.output.contains("note: file_system_hangs: "))
            server.stop()
            let told = ContinuousClock.now
            daemon.child.signal(SIGTERM)
            #expect(try daemon.child.wait().status == .exited(0))
            #expect(told.duration(to: .now) < .seconds(5))
        }

        @Test("When it answers again its library is observed")
        func aRecoveredFileSystemIsObserved() throws {
            let hung = try ForeignFileSystem()
            try hung.hang()
            let daemon = try Daemon()
            #expect(states(try daemon.metrics(), hung.libssl) == ["file_system_hangs"])
            hung.answer()
            #expect(try eventually { states(try daemon.metrics(), hung.libssl).contains("emulated") })
            let metrics = try daemon.metrics()
            #expect(metrics.sum("tlswatch_observed_processes", ["reason": "file_system_hangs"]) == 0)
            // It hangs again while it is observed: the end does not wait for it.
            try hung.hang()
            #expect(daemon.child.stop() == .exited(0))
        }

        @Test("A capture is ready in spite of it, sees the others, and names it at its end")
        func aCaptureIsReadyInSpiteOfIt() throws {
            let hung = try ForeignFileSystem()
            try hung.hang()
            let capture = try Capture()
            let server = try OpenSSLServer(TestCertificates())
            #expect(try server.connect().status == .exited(0))
            let rows = try capture.finish(expecting: 2, where: belongs(toPort: server.port))
            #expect(rows.count == 2)
            #expect(rows.allSatisfy { $0.isCompleted })
            #expect(
                capture.child.errors.lines.contains {
                    $0.hasPrefix("not observed: \(hung.libssl) (python3): ") && $0.hasSuffix(" (file_system_hangs)")
                }, "\(capture.child.errors.text)")
        }

        @Test("A library named by the user that does not answer is an error, and no silence")
        func aNamedHungLibraryIsAnError() throws {
            let hung = try ForeignFileSystem()
            try hung.hang()
            let result = try ChildProcess.run(
                "nsenter", ["-t", "\(hung.process)", "-m", Tlswatch.binary(), "capture", "--library", hung.libssl])
            #expect(result.status == .exited(65), "\(result.errors)")
            #expect(result.errors.contains("Its file system does not answer"), "\(result.errors)")
        }

        /// Of a user whose FUSE mounts nobody else may read, root neither.
        private func unreadable() throws -> ForeignFileSystem {
            try ForeignFileSystem(
                wrapper: [
                    "unshare", "-m", "sh", "-c",
                    "mount -t tmpfs tlswatch-test /mnt && mknod -m 666 /mnt/fuse c 10 229 && mount --bind /mnt/fuse /dev/fuse "
                        + "&& exec \"$@\"",
                    "sh", "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "unshare", "-U", "-r", "-m",
                ], owner: 65534)
        }

        @Test("A library that may not be read is named")
        func mayNotBeRead() throws {
            let other = try unreadable()
            let daemon = try Daemon()
            let metrics = try daemon.metrics()
            #expect(states(metrics, other.libssl) == ["unreadable"])
            #expect(
                metrics.sum("tlswatch_observed_processes", ["state": "unobserved", "reason": "unreadable"]) == 1)
            #expect(daemon.child.errors.text.contains(other.libssl), "the log names it")
            let targets = try Tlswatch.run(["targets"])
            #expect(
                targets.output.contains(
                    "\(other.libssl)\n  openssl (version unknown), not observable\n  processes: python3 \(other.process)\n"
                        + "  note: unreadable: it cannot be read: Permission denied\n"), "\(targets.output)")
        }

        /// Maps a file as code and goes on.
        private static let mapper = """
            import mmap, os, sys, time
            file = os.open(sys.argv[1], os.O_RDONLY)
            area = mmap.mmap(file, 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC)
            print("mapped", flush=True)
            time.sleep(300)
            """

        @Test("A process with a 32-bit library of a TLS stack is reported")
        func thirtyTwoBit() throws {
            let directory = try TemporaryDirectory()
            let path = directory.file("libssl.so.3")
            try Data(Image32.bytes(soName: "libssl.so.3", code: 4096)).write(to: URL(fileURLWithPath: path))
            let daemon = try Daemon()
            let process = try ChildProcess("python3", ["-c", Self.mapper, path])
            try process.waitForLine(in: process.output) { $0 == "mapped" }
            #expect(try eventually { states(try daemon.metrics(), path) == ["32_bit"] })
            let metrics = try daemon.metrics()
            #expect(metrics.sum("tlswatch_observed_processes", ["state": "unobserved", "reason": "32_bit"]) == 1)
            #expect(daemon.child.errors.text.contains("reason=32_bit"), "the log names it")
            let targets = try Tlswatch.run(["targets"])
            #expect(targets.output.contains("  note: 32_bit: 32-bit OpenSSL is not supported yet\n"))
            process.stop()
            #expect(
                try eventually {
                    try daemon.metrics().sum("tlswatch_observed_processes", ["reason": "32_bit"]) == 0
                })
        }
    }
}

import Foundation
import TestSupport
import Testing

extension KernelTests {
    /// What is found, wherever it lies and whenever it comes.
    @Suite("What is found, wherever it lies") struct CoverageTests {
        private func probes(_ metrics: Metrics, _ library: String, state: String = "emulated") -> Double {
            metrics.sum("tlswatch_probes", ["library": library, "state": state])
        }

        /// Makes handshakes until one is told on both sides: until the probes are in place.
        private func warmUp(_ server: AnyServer, _ capture: Capture, environment: [String: String] = [:]) throws {
            let belongs = belongs(toPort: server.port)
            let observed = try eventually {
                try server.connect(environment: environment)
                return try eventually(within: .seconds(1)) {
                    let rows = try capture.sessions().filter(belongs)
                    return rows.contains(where: \.isServer) && rows.contains(where: \.isClient)
                }
            }
            #expect(observed, "never observed")
        }

        /// Rows of the sessions on a server's port.
        private func rows(_ capture: Capture, port: Int, count: Int) throws -> [SessionRow] {
            let belongs = belongs(toPort: port)
            try capture.await(count, where: belongs)
            return try capture.sessions().filter(belongs)
        }

        @Test("One file under two overlay mounts is one library: each handshake is told once, and both mounts can go")
        func overlayMountsAreOneLibrary() throws {
            let certificates = try TestCertificates()
            let directory = try TemporaryDirectory()
            let overlay = try OverlayMounts(directory, count: 2)
            defer { overlay.detach() }
            let capture = try Capture()
            let environments = overlay.mounts.map { ["LD_LIBRARY_PATH": $0] }
            let server = try AnyServer(certificates, environment: environments[0])
            try warmUp(server, capture, environment: environments[1])
            let before = try capture.sessions().filter(belongs(toPort: server.port))
            for _ in 0..<3 { try server.connect(environment: environments[1]) }
            let found = try rows(capture, port: server.port, count: before.count + 6)
            #expect(found.filter(\.isServer).count == before.filter(\.isServer).count + 3, "\(found)")
            #expect(found.filter(\.isClient).count == before.filter(\.isClient).count + 3, "\(found)")
            #expect(Set(found.compactMap(\.library)).count == 1, "one library, by whichever name it was found first")
            expectSane(found)
            // The probes hold no mount longer than its last process.
            server.stop()
            #expect(try eventually { try overlay.unmountAll() }, "the mounts are still held")
            let end = try capture.stop()
            #expect(end.filter(belongs(toPort: server.port)).count == found.count)
        }

        @Test("Libraries in another mount namespace and in a chroot are observed")
        func otherMountNamespacesAreObserved() throws {
            let certificates = try TestCertificates()
            let directory = try TemporaryDirectory()
            let capture = try Capture()
            // A file system that only this server sees.
            let hidden = directory.file("hidden")
            try FileManager.default.createDirectory(atPath: hidden, withIntermediateDirectories: true)
            let copies = try LibraryCopy.names.map { try LibraryCopy.system($0) }
            let setup = """
                mount -t tmpfs tlswatch-test "$1" && cp "$2" "$1/libssl.so.3" && cp "$3" "$1/libcrypto.so.3" &&
                export LD_LIBRARY_PATH="$1" && shift 3 && exec "$@"
                """
            let unshared = try AnyServer(
                certificates, before: ["unshare", "-m", "sh", "-c", setup, "sh", hidden] + copies)
            try warmUp(unshared, capture)
            let inNamespace = try capture.sessions().filter(belongs(toPort: unshared.port))
            #expect(inNamespace.filter(\.isServer).allSatisfy { $0.library == hidden + "/libssl.so.3" })
            unshared.stop()

            let root = directory.file("root")
            let openssl = try Chroot.make(
                root, program: "openssl", files: [certificates.certificate, certificates.key])
            let caged = try AnyServer(
                certificates, before: ["chroot", root], openssl: openssl,
                certificate: "/" + URL(fileURLWithPath: certificates.certificate).lastPathComponent,
                key: "/" + URL(fileURLWithPath: certificates.key).lastPathComponent)
            try warmUp(caged, capture)
            let inChroot = try capture.sessions().filter(belongs(toPort: caged.port))
            #expect(inChroot.filter(\.isServer).allSatisfy { ($0.library ?? "").hasPrefix("/") })
            caged.stop()
            expectSane(try capture.stop().filter { $0.isServer && $0.comm == "openssl" })
        }

        @Test("A library replaced under a running server: old and new are observed, the old is let go with its process")
        func aReplacedLibraryIsObservedBesideTheNew() throws {
            let certificates = try TestCertificates()
            let directory = try TemporaryDirectory()
            let copy = try LibraryCopy(into: directory.path)
            let daemon = try Daemon(["--label", "local_port"])
            func count(_ port: Int) throws -> Double {
                try daemon.metrics().sum("tlswatch_handshakes_total", ["role": "server", "local_port": "\(port)"])
            }
            let old = try AnyServer(certificates, environment: copy.environment)
            #expect(try eventually { probes(try daemon.metrics(), copy.libssl) > 0 })
            let ofOne = probes(try daemon.metrics(), copy.libssl)
            try old.connect()
            #expect(try eventually { try count(old.port) == 1 })
            // As package managers do it: a new file under the old name.
            let fresh = directory.file("fresh")
            try FileManager.default.copyItem(atPath: copy.libssl, toPath: fresh)
            guard unsafe rename(fresh, copy.libssl) == 0 else { throw HarnessError("rename: \(errno)") }
            let new = try AnyServer(certificates, environment: copy.environment)
            #expect(try eventually { probes(try daemon.metrics(), copy.libssl) > ofOne }, "both are probed")
            try new.connect()
            try old.connect()
            #expect(try eventually { try count(new.port) == 1 && count(old.port) == 2 })
            old.stop()
            #expect(try eventually { probes(try daemon.metrics(), copy.libssl) == ofOne }, "the old one is let go")
            try new.connect()
            let metrics = try daemon.quietMetrics {
                $0.sum("tlswatch_handshakes_total", ["role": "server", "local_port": "\(new.port)"]) == 2
                    && Books($0).balance
            }
            #expect(try count(new.port) == 2)
            #expect(try count(old.port) == 2)
            expectConservation(metrics)
            new.stop()
        }

        @Test("A probed file that is written in place loses its probes at once; whoever maps it next is observed again")
        func writtenInPlace() throws {
            let certificates = try TestCertificates()
            let directory = try TemporaryDirectory()
            let copy = try LibraryCopy(into: directory.path)
            let daemon = try Daemon()
            let server = try AnyServer(certificates, environment: copy.environment)
            try server.connect()
            #expect(try eventually { probes(try daemon.metrics(), copy.libssl) > 0 })
            // The same bytes: what matters is that someone writes.
            let content = try Data(contentsOf: URL(fileURLWithPath: copy.libssl))
            let file = try FileHandle(forWritingTo: URL(fileURLWithPath: copy.libssl))
            try file.write(contentsOf: content)
            try file.close()
            #expect(
                try eventually {
                    let metrics = try daemon.metrics()
                    return probes(metrics, copy.libssl) == 0
                        && !metrics.all(
                            "tlswatch_probes", ["library": copy.libssl, "state": "file_modified"]
                        ).isEmpty
                })
            let result = try server.connect()
            #expect(result.status == .exited(0), "\(result.errors)")
            #expect(server.child.status == nil)
            server.stop()
            let next = try AnyServer(certificates, environment: copy.environment)
            #expect(try eventually { probes(try daemon.metrics(), copy.libssl) > 0 }, "what it holds now is looked at")
            try next.connect()
            next.stop()
            #expect(daemon.child.stop() == .exited(0))
        }

        @Test("Who writes a probed file in place waits until its probes are off; no mapping behind the write has one")
        func writersWait() throws {
            let certificates = try TestCertificates()
            let directory = try TemporaryDirectory()
            let copy = try LibraryCopy(into: directory.path)
            let daemon = try Daemon()
            for _ in 0..<5 {
                let server = try AnyServer(certificates, environment: copy.environment)
                #expect(try eventually { probes(try daemon.metrics(), copy.libssl) > 0 })
                // In use it would be looked at, and probed, again.
                server.stop()
                let written = try ChildProcess.run("python3", [script("write_in_place.py"), copy.libssl])
                #expect(written.output.hasPrefix("0 differing"), "\(written.output) \(written.errors)")
                #expect(try eventually { probes(try daemon.metrics(), copy.libssl) == 0 })
            }
            #expect(daemon.child.stop() == .exited(0))
        }

        @Test("A library that somebody has open for writing is not probed until it is closed")
        func openForWriting() throws {
            let certificates = try TestCertificates()
            let directory = try TemporaryDirectory()
            let copy = try LibraryCopy(into: directory.path)
            let daemon = try Daemon(["--sweep-interval", "1s"])
            // Not FileHandle's, which the server would inherit.
            let writer = unsafe open(copy.libssl, O_WRONLY | O_CLOEXEC)
            try #require(writer >= 0)
            let server = try AnyServer(certificates, environment: copy.environment)
            #expect(
                try eventually {
                    try !daemon.metrics().all("tlswatch_probes", ["library": copy.libssl, "state": "attach_failed"])
                        .isEmpty
                })
            #expect(probes(try daemon.metrics(), copy.libssl) == 0)
            close(writer)
            #expect(try eventually { probes(try daemon.metrics(), copy.libssl) > 0 })
            try server.connect()
            server.stop()
        }

        @Test(
            "A program that is new to the host is observed by the time its first second is over: long before a sweep",
            arguments: [true, false])
        func newPrograms(_ seesMappings: Bool) throws {
            let certificates = try TestCertificates()
            let wrapper = seesMappings ? [] : ["python3", try script("refused_call.py"), "perf_event_open"]
            let capture = try Capture(wrapper: wrapper)
            var seen = 0
            for _ in 0..<3 {
                let directory = try TemporaryDirectory()
                let copy = try LibraryCopy(into: directory.path)
                let began = ContinuousClock.now
                let server = try AnyServer(certificates, environment: copy.environment)
                _ = eventually { began.duration(to: .now) >= .seconds(1) }
                try server.connect()
                let found = try rows(capture, port: server.port, count: 2)
                seen += found.contains(where: \.isServer) ? 1 : 0
                server.stop()
            }
            #expect(seen == 3, "\(seen) of 3 first handshakes were seen")
            _ = try capture.stop()
        }

        private func isSame(_ told: String?, _ path: String) -> Bool {
            told.map { URL(fileURLWithPath: $0).resolvingSymlinksInPath().path } == path
        }

        @Test("Several libssl in one process, loaded after its start, are each observed under their own name")
        func lateLibraries() throws {
            let certificates = try TestCertificates()
            let directories = try (0..<2).map { _ in try TemporaryDirectory() }
            let copies = try directories.map { try LibraryCopy(into: $0.path).libssl }
            let capture = try Capture()
            let daemon = try Daemon()
            let paths = copies + [try LibraryCopy.system("libssl.so.3")]
            let program = try ChildProcess(
                "python3", [script("late_libraries.py"), certificates.certificate, certificates.key] + paths)
            for path in paths {
                try program.waitForLine(in: program.output) { $0 == "loaded \(path)" }
                // The capture looks at the same moment as the daemon does.
                #expect(
                    try eventually {
                        try daemon.metrics().all("tlswatch_probes", ["state": "emulated"]).contains {
                            isSame($0.labels["library"], path) && $0.value > 0
                        }
                    }, "\(path) is never observed")
                _ = try eventually(within: .milliseconds(500)) { try !capture.sessions().isEmpty && path != paths[0] }
                program.signal(SIGUSR1)
                try program.waitForLine(in: program.output) { $0 == "shaken \(path)" }
            }
            let rows = try capture.finish(expecting: 2 * paths.count) { $0.pid == Int(program.pid) }
            for path in paths {
                let through = rows.filter { isSame($0.library, path) }
                #expect(through.filter(\.isServer).count == 1, "\(rows)")
                #expect(through.filter(\.isClient).count == 1, "\(rows)")
                #expect(through.allSatisfy { $0.isCompleted })
            }
            #expect(rows.count == 2 * paths.count)
            expectSane(rows)
        }

        @Test("A file under a bind mount is the file, however it is called")
        func bindMount() throws {
            let certificates = try TestCertificates()
            let directory = try TemporaryDirectory()
            let copy = try LibraryCopy(into: directory.path)
            let other = try TemporaryDirectory()
            let mounted = try ChildProcess.run("mount", ["--bind", copy.directory, other.path])
            try #require(mounted.status == .exited(0), "\(mounted.errors)")
            defer { _ = try? ChildProcess.run("umount", ["-l", other.path]) }
            let capture = try Capture()
            let server = try AnyServer(certificates, environment: copy.environment)
            let clients = ["LD_LIBRARY_PATH": other.path]
            try warmUp(server, capture, environment: clients)
            let before = try capture.sessions().filter(belongs(toPort: server.port))
            for _ in 0..<3 { try server.connect(environment: clients) }
            let found = try rows(capture, port: server.port, count: before.count + 6)
            #expect(found.count == before.count + 6, "each side of each handshake once")
            #expect(Set(found.compactMap(\.library)).count == 1)
            _ = try capture.stop()
            server.stop()
        }

        @Test("Past --max-libraries further ones are told as too many, until the ones before are let go")
        func librariesPastTheLimitAreReported() throws {
            let certificates = try TestCertificates()
            let directories = try (0..<3).map { _ in try TemporaryDirectory() }
            let copies = try directories.map { try LibraryCopy(into: $0.path) }
            let servers = try copies.map { try AnyServer(certificates, environment: $0.environment) }
            // Each maps two files that are probed, and there is room for four.
            let pids = servers.flatMap { ["--pid", "\($0.child.pid)"] }
            let daemon = try Daemon(pids + ["--max-libraries", "4", "--sweep-interval", "1s"])
            func observed(_ copy: LibraryCopy) throws -> Bool { probes(try daemon.metrics(), copy.libssl) > 0 }
            let seen = try copies.map(observed)
            let first = try daemon.metrics()
            #expect(first.sum("tlswatch_probes", ["state": "too_many_libraries"]) == 0, "none of them has a probe")
            #expect(!first.all("tlswatch_probes", ["state": "too_many_libraries"]).isEmpty)
            #expect(seen.count { $0 } < 3)
            #expect(
                first.sum("tlswatch_observed_processes", ["state": "unobserved", "reason": "too_many_libraries"])
                    == Double(seen.count { !$0 }))
            let kept = try #require(seen.firstIndex(of: true))
            servers[kept].stop()
            for (index, copy) in copies.enumerated() where index != kept {
                #expect(try eventually { try observed(copy) }, "\(copy.libssl)")
                try servers[index].connect()
            }
            #expect(try daemon.metrics().sum("tlswatch_libraries_evicted_total") > 0)
            let whole = try daemon.quietMetrics {
                $0.sum("tlswatch_handshakes_total", ["role": "server"]) == 2 && Books($0).balance
            }
            #expect(whole.sum("tlswatch_handshakes_total", ["role": "server", "outcome": "completed"]) == 2)
            expectConservation(whole)
            servers.forEach { $0.stop() }
        }

        @Test("Processes come and go in the count of observed ones as they fork and end")
        func processCounts() throws {
            let certificates = try TestCertificates()
            let daemon = try Daemon()
            func observed() throws -> Double {
                try daemon.metrics().sum("tlswatch_observed_processes", ["state": "observed"])
            }
            // The host's other processes come and go as they like, but not each time.
            var seen: [[Double]] = []
            let isCounted = try (0..<5).contains { _ in
                let before = try observed()
                // A master, and a worker that it forks, which maps nothing anew.
                let nginx = try Nginx(certificates)
                let came = try eventually(within: .seconds(5)) { try observed() == before + 2 }
                seen.append([before, try observed()])
                nginx.child.stop(SIGTERM)
                return try eventually(within: .seconds(5)) { try observed() == before } && came
            }
            #expect(isCounted, "\(seen)")
        }
    }
}

/// A directory tree to chroot into, with a program and what it needs.
enum Chroot {
    /// Returns the program's path inside.
    static func make(_ root: String, program: String, files: [String]) throws -> String {
        let script = """
            set -e
            program=$(command -v "$2"); root=$1; shift 2
            for file in "$program" $(ldd "$program" | grep -o '/[^ ]*'); do
                mkdir -p "$root$(dirname "$file")"; cp -L "$file" "$root$file"
            done
            for file in "$@"; do cp -L "$file" "$root/"; done
            mkdir -p "$root/dev" "$root/etc" "$root/usr/lib/ssl"; : >"$root/usr/lib/ssl/openssl.cnf"
            printf %s "$program"
            """
        let made = try ChildProcess.run("sh", ["-c", script, "sh", root, program] + files)
        guard made.status == .exited(0) else { throw HarnessError("chroot: \(made.errors)") }
        return made.output
    }
}

/// Overlay mounts over one lower directory with libssl and libcrypto in it.
final class OverlayMounts {
    let mounts: [String]

    init(_ directory: TemporaryDirectory, count: Int) throws {
        let lower = directory.file("lower")
        try FileManager.default.createDirectory(atPath: lower, withIntermediateDirectories: true)
        _ = try LibraryCopy(into: lower)
        mounts = try (0..<count).map { number in
            let paths = ["upper", "work", "merged"].map { directory.file("\($0)-\(number)") }
            for path in paths {
                try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            }
            let options = "lowerdir=\(lower),upperdir=\(paths[0]),workdir=\(paths[1])"
            let result = try ChildProcess.run("mount", ["-t", "overlay", "overlay", "-o", options, paths[2]])
            guard result.status == .exited(0) else { throw HarnessError("mount: \(result.errors)") }
            return paths[2]
        }
    }

    /// Plain umount, which fails while anything holds a file. True when all are gone.
    func unmountAll() throws -> Bool {
        for mount in mounts where try isMounted(mount) {
            _ = try ChildProcess.run("umount", [mount])
        }
        return try mounts.allSatisfy { try !isMounted($0) }
    }

    /// Whatever the test came to.
    func detach() {
        for mount in mounts { _ = try? ChildProcess.run("umount", ["-l", mount]) }
    }

    private func isMounted(_ path: String) throws -> Bool {
        try procText("/proc/self/mounts").contains(" \(path) ")
    }
}

import Foundation
import TestSupport
import Testing

extension KernelTests {
    @Suite("Resident memory") struct MemoryTests {
        private static let chromium = "/usr/lib/chromium/chromium-headless-shell"
        private static let mapper = """
            import mmap, os, sys, time
            file = os.open(sys.argv[1], os.O_RDONLY)
            mapping = mmap.mmap(file, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)
            print("mapped", flush=True)
            time.sleep(120)
            """

        /// MB. The ring counts twice: it is mapped twice.
        private func resident(_ daemon: Daemon) throws -> Double {
            let status = try procText("/proc/\(daemon.child.pid)/status")
            let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") })
            let kilobytes = line.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Double($0) }
            return try #require(kilobytes) * 1_024 / 1e6
        }

        @Test("The daemon takes at most 40 MB, and at most 10 more once it has read a program of 200 MB")
        func largeProgramsLeaveNoMemoryBehind() throws {
            let folder = try TemporaryDirectory()
            let program = folder.file("chromium")
            try FileManager.default.copyItem(atPath: Self.chromium, toPath: program)
            let daemon = try Daemon()
            let fresh = try resident(daemon)
            #expect(fresh <= 40)
            let process = try ChildProcess("python3", ["-c", Self.mapper, program])
            defer { process.stop(SIGKILL) }
            // That it was read shows in what it was found to be.
            #expect(
                eventually {
                    daemon.child.errors.lines.contains {
                        $0.contains("library observed") && $0.contains("library=\(program) ")
                    }
                },
                "\(daemon.child.errors.text)")
            #expect(try resident(daemon) <= fresh + 10)
        }
    }
}

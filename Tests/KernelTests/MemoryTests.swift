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

        /// MB, now or at most since `forgetMost`. The ring counts twice: it is mapped twice.
        private func resident(_ daemon: Daemon, _ field: String = "VmRSS") throws -> Double {
            let status = try procText("/proc/\(daemon.child.pid)/status")
            let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("\(field):") })
            let kilobytes = line.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Double($0) }
            return try #require(kilobytes) * 1_024 / 1e6
        }

        private func forgetMost(_ daemon: Daemon) throws {
            let file = try FileHandle(forWritingTo: URL(fileURLWithPath: "/proc/\(daemon.child.pid)/clear_refs"))
            try file.write(contentsOf: Data("5".utf8))
            try file.close()
        }

        /// Bytes that it has read from files.
        private func read(_ daemon: Daemon) throws -> Double {
            let text = try procText("/proc/\(daemon.child.pid)/io")
            let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("rchar: ") })
            return try #require(Double(line.dropFirst(7)))
        }

        @Test(
            "The daemon takes at most 40 MB, at most 64 more while it reads a program of 200 MB, and at most 10 more once it has"
        )
        func largeProgramsLeaveNoMemoryBehind() throws {
            let folder = try TemporaryDirectory()
            let program = folder.file("chromium")
            try FileManager.default.copyItem(atPath: Self.chromium, toPath: program)
            let daemon = try Daemon()
            let fresh = try resident(daemon)
            #expect(fresh <= 40)
            try forgetMost(daemon)
            let before = try read(daemon)
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
            let most = try resident(daemon, "VmHWM") - fresh
            #expect(most <= 64)
            // All stacks together: how often the file is read tells more than how long that took.
            let size = try #require(try FileManager.default.attributesOfItem(atPath: program)[.size] as? Double)
            let times = try (read(daemon) - before) / size
            print("a program of \(Int(size / 1e6)) MB: read \(times) times, with \(most) MB more")
            #expect(times <= 8)
        }
    }
}

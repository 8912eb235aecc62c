import Foundation
import TestSupport
import Testing

extension KernelTests {
    @Suite("Large Go programs") struct GoLimitTests {
        private static let size = 200 << 20

        /// What reading its library has cost a daemon.
        private struct Cost {
            /// The most memory that it had at a time, and what it has read, in bytes.
            var peak: Int
            var read: Int

            init(of daemon: Daemon) throws {
                peak = try Self.number("VmHWM:", in: "status", of: daemon) * 1_024
                read = try Self.number("rchar:", in: "io", of: daemon)
            }

            private static func number(_ key: String, in file: String, of daemon: Daemon) throws -> Int {
                let text = try procText("/proc/\(daemon.child.pid)/\(file)")
                let line = try #require(text.split(separator: "\n").first { $0.hasPrefix(key) })
                return try #require(line.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) })
            }
        }

        @Test("One of 200 MB takes at most 64 MB more memory to read, and is read no more than four times")
        func large() throws {
            let directory = try TemporaryDirectory()
            let toolchain = try GoToolchain(GoToolchain.versions[2])
            let source = """
                package main

                import (
                \t"crypto/tls"
                \t_ "embed"
                \t"fmt"
                )

                //go:embed ballast
                var ballast string

                func main() {
                \tfmt.Println(len(ballast), tls.Client(nil, nil).Handshake(), tls.Server(nil, nil).Handshake())
                }
                """
            let folder = directory.file("large-source")
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            let ballast = folder + "/ballast"
            try Data("x".utf8).write(to: URL(fileURLWithPath: ballast))
            let small = try toolchain.build(source: source, in: directory, name: "large")
            let kept = directory.file("small")
            try FileManager.default.moveItem(atPath: small, toPath: kept)
            // Full of what a search for tables, types and names finds: programs like itself.
            let content = try Data(contentsOf: URL(fileURLWithPath: kept))
            var copies = Data(capacity: Self.size)
            while copies.count < Self.size { copies += content }
            try copies.write(to: URL(fileURLWithPath: ballast))
            let large = try toolchain.build(source: source, in: directory, name: "large")
            let usual = try Cost(of: observing(kept))
            let began = ContinuousClock.now
            let cost = try Cost(of: observing(large))
            print(
                "200 MB: \((cost.peak - usual.peak) >> 20) MB more, \((cost.read - usual.read) >> 20) MB read, in",
                ContinuousClock.now - began)
            #expect(cost.peak - usual.peak <= 64 << 20)
            #expect(cost.read - usual.read <= 4 * Self.size)
        }

        private func observing(_ program: String) throws -> Daemon {
            let daemon = try Daemon(["--library", program])
            #expect(
                daemon.child.errors.lines.contains {
                    $0.contains("library observed") && $0.contains("library=\(program) ")
                },
                "\(daemon.child.errors.text)")
            return daemon
        }
    }
}

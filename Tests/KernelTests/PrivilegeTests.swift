import Foundation
import TestSupport
import Testing

extension KernelTests {
    /// What the daemon may do, and what it gives up.
    @Suite("Privileges") struct PrivilegeTests {
        private struct Thread {
            let name: String
            let effective: UInt64
            let permitted: UInt64
            let noNewPrivileges: Bool
        }

        private func threads(of pid: Int32) throws -> [Thread] {
            let tasks = "/proc/\(pid)/task"
            return try FileManager.default.contentsOfDirectory(atPath: tasks).compactMap { task in
                guard let status = try? String(contentsOfFile: "\(tasks)/\(task)/status", encoding: .utf8) else {
                    return nil
                }
                var fields: [Substring: String] = [:]
                for line in status.split(separator: "\n") {
                    let parts = line.split(separator: ":", maxSplits: 1)
                    guard parts.count == 2 else { continue }
                    fields[parts[0]] = parts[1].trimmingCharacters(in: .whitespaces)
                }
                return Thread(
                    name: fields["Name"] ?? "", effective: UInt64(fields["CapEff"] ?? "", radix: 16) ?? .max,
                    permitted: UInt64(fields["CapPrm"] ?? "", radix: 16) ?? .max,
                    noNewPrivileges: fields["NoNewPrivs"] == "1")
            }
        }

        /// capabilities(7): what observing needs, and a low port.
        private static let observing: UInt64 = 1 << 2 | 1 << 10 | 1 << 19 | 1 << 28 | 1 << 38 | 1 << 39 | 1 << 40
        private static let bindService: UInt64 = 1 << 10

        @Test("The daemon keeps what observing needs in the threads that observe, and nothing in all others")
        func leastPrivilege() throws {
            let daemon = try Daemon()
            // The endpoint's threads are there once it has answered.
            _ = try daemon.metrics()
            let names = ["tlswatch-ring", "tlswatch-find", "tlswatch-read"]
            // A thread names itself once it runs.
            _ = try eventually {
                try self.threads(of: daemon.child.pid).count { names.contains($0.name) } == names.count
            }
            let threads = try threads(of: daemon.child.pid)
            let observers = threads.filter { names.contains($0.name) }
            #expect(observers.count == names.count)
            #expect(threads.count > observers.count)
            #expect(observers.allSatisfy { $0.effective & ~Self.observing == 0 && $0.effective & (1 << 39) != 0 })
            for thread in threads {
                #expect(thread.noNewPrivileges, "\(thread.name)")
                #expect(thread.permitted == thread.effective, "\(thread.name)")
                if !observers.contains(where: { $0.name == thread.name }) {
                    #expect(thread.effective & ~Self.bindService == 0, "\(thread.name) \(thread.effective)")
                }
            }
        }

        @Test("With nothing left but that, libraries that come later are still attached to, and handshakes told")
        func attachesLater() throws {
            let certificates = try TestCertificates()
            let daemon = try Daemon(["--label", "local_port"])
            let directory = try TemporaryDirectory()
            let copy = try LibraryCopy(into: directory.path)
            let server = try AnyServer(certificates, environment: copy.environment)
            #expect(
                try eventually { try daemon.metrics().sum("tlswatch_probes", ["library": copy.libssl]) > 0 })
            try server.connect()
            let told = try daemon.quietMetrics {
                $0.sum("tlswatch_handshakes_total", ["role": "server", "local_port": "\(server.port)"]) == 1
            }
            #expect(told.sum("tlswatch_handshakes_total", ["role": "server", "local_port": "\(server.port)"]) == 1)
            server.stop()
        }

        @Test("Without root, with the capabilities that it names, it observes other users' processes")
        func withoutRoot() throws {
            let certificates = try TestCertificates()
            let directory = try TemporaryDirectory()
            // The build directory may be closed to others.
            let binary = directory.file("tlswatch")
            try FileManager.default.copyItem(atPath: Tlswatch.binary(), toPath: binary)
            let copy = try LibraryCopy(into: directory.path)
            // bpf, perfmon, sys_ptrace, dac_read_search, checkpoint_restore: not all of them have names everywhere.
            let wanted = "+cap_39,+cap_38,+cap_19,+cap_2,+cap_40"
            let child = try ChildProcess(
                "setpriv",
                [
                    "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all,\(wanted)",
                    "--ambient-caps=-all,\(wanted)", "--bounding-set=-all,\(wanted)", binary, "run", "--listen",
                    "127.0.0.1:0", "--label", "local_port",
                ])
            let port = try FreePort.ofDaemon(child)
            // A root process's own library.
            let server = try AnyServer(certificates, environment: copy.environment)
            func metrics() throws -> Metrics {
                try Metrics(
                    ChildProcess.run(
                        "curl", ["-q", "--noproxy", "*", "-sf", "--max-time", "10", "http://127.0.0.1:\(port)/metrics"]
                    ).output)
            }
            #expect(try eventually { try metrics().sum("tlswatch_probes", ["library": copy.libssl]) > 0 })
            try server.connect()
            let mine = ["role": "server", "local_port": "\(server.port)", "outcome": "completed"]
            #expect(try eventually { try metrics().sum("tlswatch_handshakes_total", mine) == 1 })
            #expect(child.stop() == .exited(0), "\(child.errors.text.suffix(1000))")
            server.stop()
        }

        @Test("The doctor has a confined process return from under a return probe")
        func returnProbes() throws {
            let result = try Tlswatch.run(["doctor", "--format", "json"])
            let object = try #require(
                try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any])
            // This kernel's are a system call that seccomp lets through since Linux 6.14.
            #expect(object["return_probes_safe"] as? Bool == true, "\(object["return_probes"] ?? "")")
        }
    }
}

import Foundation
import Testing

extension KernelTests {
    @Suite struct CleanupTests {
        /// Ids of the programs or links that the process holds, by its descriptors: bpftool's own `pids` needs
        /// what not every build of it has.
        private func held(_ key: String, by pid: pid_t) throws -> Set<Int> {
            let directory = "/proc/\(pid)/fdinfo"
            let texts = try FileManager.default.contentsOfDirectory(atPath: directory).compactMap {
                try? String(contentsOfFile: directory + "/" + $0, encoding: .utf8)
            }
            return Set(
                texts.flatMap { $0.split(separator: "\n") }.compactMap { line in
                    let fields = line.split { $0 == ":" || $0 == "\t" || $0 == " " }
                    return fields.count == 2 && fields[0] == key ? Int(fields[1]) : nil
                })
        }

        private func list(_ kind: String) throws -> [[String: Any]] {
            let result = try ChildProcess.run("bpftool", [kind, "show", "--json"])
            let parsed = try JSONSerialization.jsonObject(with: Data(result.output.utf8))
            guard let entries = parsed as? [[String: Any]] else {
                throw HarnessError("bpftool \(kind): \(result.output.prefix(500)) \(result.errors)")
            }
            return entries
        }

        @Test(
            "The end of a capture leaves no program and no link behind, and the servers serve on",
            arguments: [SIGINT, SIGTERM, SIGKILL])
        func nothingLeft(_ signal: Int32) throws {
            let certificates = try TestCertificates()
            let nginx = try Nginx(certificates)
            let capture = try Capture()
            let programs = try held("prog_id", by: capture.child.pid)
            let links = try held("link_id", by: capture.child.pid)
            #expect(!programs.isEmpty && !links.isEmpty, "the check sees what is there")
            _ = try Curl.get(count: 2, port: nginx.port, authority: certificates.authority)
            capture.child.stop(signal)
            #expect(capture.child.status == (signal == SIGKILL ? .signalled(SIGKILL) : .exited(0)))
            // The kernel frees them a moment later, after its grace period.
            let gone = try eventually(within: .seconds(10)) {
                let left = try Set(list("prog").compactMap { $0["id"] as? Int }).intersection(programs)
                let leftLinks = try Set(list("link").compactMap { $0["id"] as? Int }).intersection(links)
                return left.isEmpty && leftLinks.isEmpty
            }
            #expect(gone)
            _ = try Curl.get(count: 2, port: nginx.port, authority: certificates.authority)
        }
    }
}

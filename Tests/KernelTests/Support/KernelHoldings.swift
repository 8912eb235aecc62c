import Foundation
import TestSupport

/// What a process holds in the kernel, by its descriptors: bpftool's own `pids` needs what not every build of it has.
struct KernelHoldings {
    let programs: Set<Int>
    let links: Set<Int>

    init(of pid: pid_t) {
        let directory = "/proc/\(pid)/fdinfo"
        let texts = ((try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []).compactMap {
            try? String(contentsOfFile: directory + "/" + $0, encoding: .utf8)
        }
        func identifiers(_ key: String) -> Set<Int> {
            Set(
                texts.flatMap { $0.split(separator: "\n") }.compactMap { line in
                    let fields = line.split { $0 == ":" || $0 == "\t" || $0 == " " }
                    return fields.count == 2 && fields[0] == key ? Int(fields[1]) : nil
                })
        }
        programs = identifiers("prog_id")
        links = identifiers("link_id")
    }

    /// Whether none of it is left, within ten seconds: the kernel frees it after its grace period.
    func areGone() throws -> Bool {
        try eventually(within: .seconds(10)) {
            try programs.isDisjoint(with: Self.identifiers("prog")) && links.isDisjoint(with: Self.identifiers("link"))
        }
    }

    private static func identifiers(_ kind: String) throws -> Set<Int> {
        let result = try ChildProcess.run("bpftool", [kind, "show", "--json"])
        let parsed = try JSONSerialization.jsonObject(with: Data(result.output.utf8))
        guard let entries = parsed as? [[String: Any]] else {
            throw HarnessError("bpftool \(kind): \(result.output.prefix(500)) \(result.errors)")
        }
        return Set(entries.compactMap { $0["id"] as? Int })
    }
}

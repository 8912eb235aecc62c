import Foundation
import TestSupport

/// What a process holds in the kernel, by its descriptors: bpftool's own `pids` needs what not every build of it has.
struct KernelHoldings {
    let programs: Set<Int>
    let links: Set<Int>
    let maps: Set<Int>

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
        maps = identifiers("map_id")
    }

    /// The values of a map of those, by a part of its name, as bpftool prints them by their types.
    func values(of name: String) throws -> [[String: Any]] {
        let shown = try Self.entries("map", ["show"]).filter { maps.contains($0["id"] as? Int ?? -1) }
        guard let map = shown.first(where: { ($0["name"] as? String)?.contains(name) == true }),
            let id = map["id"] as? Int
        else { throw HarnessError("no map \(name)") }
        return try Self.entries("map", ["dump", "id", "\(id)"])
            .compactMap { ($0["formatted"] as? [String: Any])?["value"] as? [String: Any] }
    }

    /// Whether none of it is left, within ten seconds: the kernel frees it after its grace period.
    func areGone() throws -> Bool {
        try eventually(within: .seconds(10)) {
            try programs.isDisjoint(with: Self.identifiers("prog")) && links.isDisjoint(with: Self.identifiers("link"))
        }
    }

    private static func identifiers(_ kind: String) throws -> Set<Int> {
        Set(try entries(kind, ["show"]).compactMap { $0["id"] as? Int })
    }

    private static func entries(_ kind: String, _ arguments: [String]) throws -> [[String: Any]] {
        let result = try ChildProcess.run("bpftool", [kind] + arguments + ["--json"])
        let parsed = try JSONSerialization.jsonObject(with: Data(result.output.utf8))
        guard let entries = parsed as? [[String: Any]] else {
            throw HarnessError("bpftool \(kind): \(result.output.prefix(500)) \(result.errors)")
        }
        return entries
    }
}

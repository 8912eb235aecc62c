import Foundation
import TestSupport

/// Handshakes without a pause in a process of its own, which counts those that failed: the target that no observer may
/// harm.
final class SteadyLoad {
    struct Report: Codable {
        let made: Int
        let failed: Int
        let first: [String]
    }

    let child: ChildProcess
    private let certificates: TestCertificates

    init() throws {
        certificates = try TestCertificates()
        child = try ChildProcess(
            "python3", [script("steady_load.py"), certificates.authority, certificates.certificate, certificates.key])
        try child.waitForLine(in: child.output) { $0 == "loaded" }
    }

    deinit { child.stop(SIGKILL) }

    /// Ends it: what it says of itself.
    func finish() throws -> Report {
        child.signal(SIGTERM)
        let result = try child.wait()
        guard result.status == .exited(0), let line = result.output.split(separator: "\n").last else {
            throw HarnessError("the load ended with \(result.status): \(result.errors.suffix(2000))")
        }
        return try JSONDecoder().decode(Report.self, from: Data(line.utf8))
    }

    /// Bytes of its libssl's code that differ from the file: the breakpoints that probes have put there.
    func changedBytes() throws -> Int {
        let maps = try procText("/proc/\(child.pid)/maps")
        guard let line = maps.split(separator: "\n").first(where: { $0.contains("/libssl.so") && $0.contains("r-xp") })
        else { throw HarnessError("the load maps no libssl") }
        let fields = line.split(separator: " ", omittingEmptySubsequences: true)
        let range = fields[0].split(separator: "-").compactMap { UInt64($0, radix: 16) }
        guard range.count == 2, fields.count == 6, let offset = UInt64(fields[2], radix: 16) else {
            throw HarnessError("not a mapping: \(line)")
        }
        let memory = try FileHandle(forReadingFrom: URL(fileURLWithPath: "/proc/\(child.pid)/mem"))
        let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: String(fields[5])))
        try memory.seek(toOffset: range[0])
        try file.seek(toOffset: offset)
        let count = Int(range[1] - range[0])
        guard let mapped = try memory.read(upToCount: count), let stored = try file.read(upToCount: count) else {
            throw HarnessError("libssl's code cannot be read")
        }
        return zip(mapped, stored).count { $0 != $1 }
    }
}

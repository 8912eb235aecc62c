import Foundation
import TestSupport

/// `tlswatch replay FILE --listen` on loopback, as a user without any capability.
final class ReplayDaemon: Sendable {
    private let reserved: FreePort
    let child: ChildProcess

    init(_ recording: String, on reserved: FreePort, options: [String] = []) throws {
        self.reserved = reserved
        child = try ChildProcess(
            "setpriv",
            [
                "--bounding-set=-all", "--inh-caps=-all", try Tlswatch.binary(), "replay", recording, "--listen",
                "127.0.0.1:\(reserved.number)",
            ] + options)
    }

    var port: Int { reserved.number }

    deinit { child.stop(SIGTERM) }

    /// `nil` as long as it does not serve.
    func metrics() throws -> Metrics? {
        let result = try curl("/metrics", ["-f"])
        return result.status == .exited(0) ? try Metrics(result.output) : nil
    }

    /// The status.
    func get(_ path: String) throws -> Int? {
        Int(try curl(path, ["-o", "/dev/null", "-w", "%{http_code}"]).output)
    }

    private func curl(_ path: String, _ options: [String]) throws -> Finished {
        try ChildProcess.run(
            "curl",
            ["-q", "--noproxy", "*", "-s", "--max-time", "10"] + options + ["http://127.0.0.1:\(port)\(path)"])
    }
}

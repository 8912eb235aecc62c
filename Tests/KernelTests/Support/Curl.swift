import Foundation
import TestSupport

/// One request by one `curl` process, and what curl itself tells about its handshake.
struct Curl: Sendable {
    let pid: Int
    let status: ChildEnd
    /// `127.0.0.1:51514`
    let local: String
    /// time_appconnect - time_connect, of microsecond resolution.
    let handshake: Duration
    /// `TLSv1.3`, `TLS_AES_256_GCM_SHA384`: as OpenSSL names them.
    let version: String?
    let cipher: String?
    let alpn: String?
    let errors: String

    /// - Parameter authority: the trusted authority's file; without it the system's.
    static func get(port: Int, authority: String?, _ options: [String] = [], path: String = "") throws -> Curl {
        let trust = authority.map { ["--cacert", $0] } ?? []
        let result = try ChildProcess.run(
            "curl",
            // No proxy and no configuration of the machine's user between the two.
            ["-q", "--noproxy", "*", "-v", "-s", "-o", "/dev/null", "--max-time", "20"]
                + [
                    "--resolve", "a.example:\(port):127.0.0.1", "-w",
                    "%{local_port} %{time_connect} %{time_appconnect}\n",
                ]
                + trust + options + ["https://a.example:\(port)/\(path)"])
        let fields = result.output.split(separator: "\n").last?.split(separator: " ") ?? []
        guard fields.count == 3, let connect = Double(fields[1]), let application = Double(fields[2]) else {
            throw HarnessError("curl: \(result.status), \(result.output), \(result.errors)")
        }
        let using = Self.after("SSL connection using ", in: result.errors)?.components(separatedBy: " / ")
        return Curl(
            pid: Int(result.pid), status: result.status, local: "127.0.0.1:\(fields[0])",
            handshake: .microseconds(Int64(((application - connect) * 1e6).rounded())),
            version: using?.first, cipher: using?.last,
            alpn: Self.after("ALPN: server accepted ", in: result.errors), errors: result.errors)
    }

    /// `count` successful requests, one after the other.
    static func get(count: Int, port: Int, authority: String, _ options: [String] = []) throws -> [Curl] {
        try (0..<count).map { _ in
            let curl = try get(port: port, authority: authority, options)
            guard curl.status == .exited(0) else { throw HarnessError("curl failed: \(curl.errors)") }
            return curl
        }
    }

    private static func after(_ prefix: String, in text: String) -> String? {
        for line in text.split(separator: "\n") {
            if let range = line.range(of: prefix) {
                return line[range.upperBound...].trimmingCharacters(in: .whitespacesAndNewlines)
            }
        }
        return nil
    }
}

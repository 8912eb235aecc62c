import Foundation
import TestSupport

/// A build of s2n-tls inside a Python module of AWS's, driven by its own interface (`s2n_tls.py`) or by AWS's runtime.
struct S2NModule: Sendable {
    let folder: String
    var library: String { folder + "/_awscrt.abi3.so" }

    /// It tells its errors; the older one does not.
    static func newest() throws -> S2NModule { try S2NModule("python-awscrt") }
    static func older() throws -> S2NModule { try S2NModule("python-awscrt-0.23.0") }

    private init(_ name: String) throws {
        folder = try TLSBuild.cache() + "/" + name
        guard FileManager.default.fileExists(atPath: library) else {
            throw HarnessError("\(library) is missing: run `make deps`")
        }
    }

    func command(_ name: String, _ arguments: [String]) throws -> [String] {
        try ["PYTHONPATH=\(folder)", "PYTHONDONTWRITEBYTECODE=1", "python3.11", script(name)] + arguments
    }

    /// What it says of each of its handshakes.
    func connect(_ port: Int, authority: String, _ options: [String] = []) throws -> (pid: Int, words: [S2NWords]) {
        let done = try ChildProcess.run(
            "/usr/bin/env", command("s2n_tls.py", ["client", "\(port)", authority] + options))
        guard done.status == .exited(0) else { throw HarnessError("s2n_tls.py: \(done.errors)") }
        return (Int(done.pid), try done.output.split(separator: "\n").map { try S2NWords(String($0)) })
    }

    /// The lines of AWS's runtime.
    func request(_ port: Int, authority: String, _ options: [String] = []) throws -> (pid: Int, lines: [String]) {
        let done = try ChildProcess.run(
            "/usr/bin/env", command("awscrt_requests.py", ["\(port)", authority] + options))
        guard done.status == .exited(0) else { throw HarnessError("awscrt_requests.py: \(done.errors)") }
        return (Int(done.pid), done.output.split(separator: "\n").map(String.init))
    }
}

/// A handshake as s2n's own functions tell it.
struct S2NWords: Decodable, Sendable {
    var outcome: String
    var calls: Int
    var type: String?
    var error: String?
    var alert: Int?
    /// 34: TLS 1.3.
    var version: Int?
    var cipher: String?
    var group: String?
    var resumed: Bool?
    var alpn: String?
    var sni: String?

    init(_ line: String) throws { self = try JSONDecoder().decode(Self.self, from: Data(line.utf8)) }

    var tlsVersion: String? { version.map { "TLSv1.\($0 - 31)" } }
    /// As `library_reason` has it.
    var reason: String? { error.map { $0.dropFirst("S2N_ERR_".count).lowercased() } }
}

/// `s2n_tls.py server`, which says of each connection what became of it.
final class S2NServer: Sendable {
    let child: ChildProcess
    let port: Int

    init(_ module: S2NModule, _ certificates: TestCertificates, _ options: [String] = []) throws {
        child = try ChildProcess(
            "/usr/bin/env",
            module.command("s2n_tls.py", ["server", certificates.certificate, certificates.key] + options))
        port = try child.announcedPort()
    }

    deinit { child.stop(SIGTERM) }

    var pid: Int { Int(child.pid) }

    /// Waits until it has told of so many.
    func words(_ count: Int) throws -> [S2NWords] {
        let isTold = eventually { child.output.lines.count > count || child.status != nil }
        guard isTold else { throw HarnessError("it has told of \(child.output.lines): \(child.situation)") }
        return try child.output.lines.dropFirst().map { try S2NWords($0) }
    }

    func ask(_ options: [String], name: String = "b.example") throws -> Finished {
        try ChildProcess.run(
            "openssl", ["s_client", "-connect", "127.0.0.1:\(port)", "-servername", name] + options)
    }
}

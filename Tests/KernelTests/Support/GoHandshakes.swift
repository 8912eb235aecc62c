import Foundation
import Synchronization
import TestSupport

/// What `Programs/gohandshakes` knows of one side of a handshake. Times are CLOCK_MONOTONIC, nanoseconds.
struct GoWitness: Codable, Sendable {
    var scenario: String
    var role: String
    var start: Int
    var end: Int
    var completed: Bool
    var panicked: Bool
    var version: Int
    var cipher: Int
    var alpn: String
    var sni: String
    var resumed: Bool
    var peerCertificates: Int
    /// Empty where no socket is under it.
    var local: String
    var remote: String
    var error: String

    enum CodingKeys: String, CodingKey {
        case scenario, role, start, end, completed, panicked, version, cipher, alpn, sni, resumed, local, remote, error
        case peerCertificates = "peer_certificates"
    }

    /// What is no handshake, and begins no session.
    var isNone: Bool { scenario.hasPrefix("none-") }
    /// Whose handshake it is, together with when it began.
    var key: [String] { [role, local, remote] }
}

/// `gohandshakes`, built by one release of Go in one way.
struct GoProgram: Sendable {
    let toolchain: GoToolchain
    let path: String
    private let directory: TemporaryDirectory

    init(_ version: String, _ flags: [String] = [], changed: ((String) throws -> Void)? = nil) throws {
        toolchain = try GoToolchain(version)
        directory = try TemporaryDirectory()
        path = directory.file("gohandshakes")
        try toolchain.build(resource("Programs/gohandshakes"), to: path, flags)
        try changed?(path)
    }

    struct Run {
        var pid: Int
        /// In the order in which they began.
        var witnesses: [GoWitness]
        var rows: [SessionRow]
        /// Rows of other processes.
        var strangers: [SessionRow]
    }

    /// Runs it under one capture.
    func observe(_ arguments: [String] = [], options: [String] = []) throws -> Run {
        let output = directory.file("rows.json")
        let result = try ChildProcess.run(
            Tlswatch.binary(),
            ["capture", "--format", "json", "--output", output, "--library", path] + options + ["--", path] + arguments,
            within: .seconds(60))
        guard result.status == .exited(0) else {
            throw HarnessError("capture ended with \(result.status): \(result.errors.suffix(1_000))")
        }
        let decoder = JSONDecoder()
        let witnesses = try result.output.split(separator: "\n").filter { $0.hasPrefix("{") }
            .map { try decoder.decode(GoWitness.self, from: Data($0.utf8)) }.sorted { $0.start < $1.start }
        let lines = try String(contentsOfFile: output, encoding: .utf8).split(separator: "\n").map(String.init)
        let all = try SessionRow.parse(lines).sorted { $0.time ?? "" < $1.time ?? "" }
        let own = all.filter { $0.exe == path }
        return Run(
            pid: own.first?.pid ?? 0, witnesses: witnesses, rows: own, strangers: all.filter { $0.exe != path })
    }
}

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
    /// 0 where this release does not tell, or there is none.
    var group: Int
    /// When the peer's key share began to be sent; 0 where nobody stamps it.
    var share: Int
    /// Between this side's last read before the peer sent what follows its share, and that.
    var held: Int
    /// When its last read or write in the handshake came back; 0 where nobody stamps it.
    var last: Int
    var error: String

    enum CodingKeys: String, CodingKey {
        case scenario, role, start, end, completed, panicked, version, cipher, alpn, sni, resumed, local, remote, error
        case group, share, held, last
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

    /// - Parameters:
    ///   - environment: changes to the environment of the build.
    ///   - changed: what is done with the built file.
    init(
        _ version: String, _ flags: [String] = [], environment: [String: String] = [:],
        changed: ((String) throws -> Void)? = nil
    ) throws {
        toolchain = try GoToolchain(version)
        directory = try TemporaryDirectory()
        path = directory.file("gohandshakes")
        try toolchain.build(resource("Programs/gohandshakes"), to: path, flags, environment: environment)
        try changed?(path)
    }

    /// A program that runs all of it twice: with Go's own package, and with a fork linked beside it.
    init(withFork version: String) throws {
        toolchain = try GoToolchain(version)
        directory = try TemporaryDirectory()
        path = directory.file("gohandshakes")
        let source = directory.file("source")
        for (name, package) in [("own", GoToolchain.tls), ("forked", GoToolchain.fork)] {
            let folder = "\(source)/\(name)"
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            let original = try resource("Programs/gohandshakes")
            for file in try FileManager.default.contentsOfDirectory(atPath: original) where file.hasSuffix(".go") {
                let text = try String(contentsOfFile: "\(original)/\(file)", encoding: .utf8)
                    .replacing("package main\n", with: "package \(name)\n")
                    .replacing("func main()", with: "func Main()")
                    .replacing("\t\"\(GoToolchain.tls)\"", with: "\ttls \"\(package)\"")
                try text.write(toFile: "\(folder)/\(file)", atomically: true, encoding: .utf8)
            }
        }
        try "module program\n\ngo 1.19\n".write(toFile: source + "/go.mod", atomically: true, encoding: .utf8)
        let main = """
            package main

            import (
            \t"program/forked"
            \t"program/own"
            )

            func main() {
            \town.Main()
            \tforked.Main()
            }
            """
        try main.write(toFile: source + "/main.go", atomically: true, encoding: .utf8)
        try toolchain.build(source, to: path, ["-overlay", toolchain.writeFork(in: directory)])
    }

    struct Run {
        var pid: Int
        /// In the order in which they began.
        var witnesses: [GoWitness]
        var rows: [SessionRow]
        /// Rows of other processes.
        var strangers: [SessionRow]
        /// What it printed.
        var output: String
    }

    /// Runs it under one capture.
    func observe(
        _ arguments: [String] = [], options: [String] = [], environment: [String: String] = [:]
    ) throws -> Run {
        let output = directory.file("rows.json")
        let result = try ChildProcess.run(
            Tlswatch.binary(),
            ["capture", "--format", "json", "--output", output, "--library", path] + options + ["--", path] + arguments,
            environment: environment, within: .seconds(60))
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
            pid: own.first?.pid ?? 0, witnesses: witnesses, rows: own, strangers: all.filter { $0.exe != path },
            output: result.output)
    }
}

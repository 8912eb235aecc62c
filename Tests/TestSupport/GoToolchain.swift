import Foundation

/// A release of Go that `make deps` fetched.
package struct GoToolchain: Sendable, CustomStringConvertible {
    /// `1.27.3`.
    package let version: String
    private let cache = TestCache.directory

    /// Oldest first.
    package static let versions = ["1.21.13", "1.26.6", "1.27.3"]
    package static let triesAll = ProcessInfo.processInfo.environment["TLSWATCH_GO"] == "all"
    /// Those that every handshake is tried with: with TLSWATCH_GO=all all that there are (`make test-go`).
    package static let tried =
        triesAll
        ? ["1.19.8", "1.21.13", "1.22.10", "1.23.9", "1.24.11", "1.25.5", "1.26.6", "1.27.3"] : versions

    /// A release, and how it is asked to build.
    package struct Build: Sendable, CustomStringConvertible {
        package var version: String
        package var flags: [String]

        package init(_ version: String, _ flags: [String] = []) { (self.version, self.flags) = (version, flags) }

        package var description: String { ([version] + flags).joined(separator: " ") }
    }

    /// What there is to tell apart in reading a binary: releases, symbols, addresses that are not fixed.
    package static let builds =
        tried.map { Build($0) } + [
            Build("1.21.13", ["-ldflags=-s -w"]), Build("1.27.3", ["-ldflags=-s -w"]),
            Build("1.27.3", ["-buildmode=pie"]),
        ]

    package init(_ version: String) throws {
        self.version = version
        guard Machine.has(program) else {
            throw HarnessError("Go \(version) is not in the cache of the tests' builds: run `make deps`")
        }
    }

    package var description: String { "Go \(version)" }

    private var minor: Int { Int(version.split(separator: ".").dropFirst().first ?? "") ?? 0 }
    /// Whether its connections tell their group (tls.ConnectionState.CurveID).
    package var tellsGroup: Bool { minor >= 25 }
    /// Whether a client without a certificate gets the alert that says so.
    package var tellsMissingCertificate: Bool { minor >= 25 }

    /// Whether all are there.
    package static let areFetched = versions.allSatisfy { (try? GoToolchain($0)) != nil }

    private var root: String { "\(cache)/go-\(version)/go" }
    private var program: String { root + "/bin/go" }

    /// Go's own package, and what a fork of it is called.
    package static let tls = "crypto/tls"
    package static let fork = "crypto/tls/forked.tls"

    /// Writes a fork of the package, whose connections have another layout. Returns the overlay with which it is built.
    package func writeFork(in directory: TemporaryDirectory) throws -> String {
        let folder = "\(root)/src/\(Self.tls)"
        let changed = directory.file("conn.go")
        let connection = try String(contentsOfFile: folder + "/conn.go", encoding: .utf8)
        let start = "type Conn struct {\n"
        guard connection.contains(start) else { throw HarnessError("\(self): no Conn in conn.go") }
        try connection.replacing(start, with: start + "\tfirst [40]byte\n")
            .write(toFile: changed, atomically: true, encoding: .utf8)
        // Go takes no package for its own one of whose files has just been written.
        try FileManager.default.setAttributes(
            [.modificationDate: Date(timeIntervalSinceNow: -3_600)], ofItemAtPath: changed)
        var replaced: [String: String] = [:]
        for file in try FileManager.default.contentsOfDirectory(atPath: folder)
        where (file.hasSuffix(".go") && !file.hasSuffix("_test.go")) || file.hasSuffix(".s") {
            replaced["\(root)/src/\(Self.fork)/\(file)"] = file == "conn.go" ? changed : "\(folder)/\(file)"
        }
        let overlay = directory.file("overlay.json")
        try JSONEncoder().encode(["Replace": replaced]).write(to: URL(fileURLWithPath: overlay))
        return overlay
    }

    /// Builds the program in `directory`. What is compiled is kept between runs of the tests.
    ///
    /// - Parameter changes: to the environment of the build.
    package func build(
        _ directory: String, to output: String, _ flags: [String] = [], environment changes: [String: String] = [:]
    ) throws {
        // Nothing is fetched and nothing outside the cache is used.
        let environment = [
            "GOROOT": root, "GOCACHE": cache + "/go-build", "GOPATH": cache + "/go-path", "GOPROXY": "off",
            "GOTOOLCHAIN": "local", "GOTELEMETRY": "off", "GOFLAGS": "-mod=mod", "GO111MODULE": "on",
            "CGO_ENABLED": "0",
            "GOWORK": "off",
        ]
        // Go 1.19 has no -C.
        let result = try ChildProcess.run(
            "env", ["-C", directory, program, "build", "-o", output] + flags + ["."],
            environment: environment.merging(changes) { $1 }, within: .seconds(300))
        guard result.status == .exited(0) else { throw HarnessError("\(self): \(result.errors.suffix(2_000))") }
    }

    /// Builds a program of one file.
    package func build(
        source: String, in directory: TemporaryDirectory, name: String = "program", _ flags: [String] = []
    )
        throws -> String
    {
        let folder = directory.file("\(name)-source")
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try source.write(toFile: folder + "/main.go", atomically: true, encoding: .utf8)
        try "module program\n\ngo 1.19\n".write(toFile: folder + "/go.mod", atomically: true, encoding: .utf8)
        let output = directory.file(name)
        try build(folder, to: output, flags)
        return output
    }
}

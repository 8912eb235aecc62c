import Foundation

/// A release of Go that `make deps` fetched.
package struct GoToolchain: Sendable, CustomStringConvertible {
    /// `1.27.3`.
    package let version: String
    private let cache: String

    /// Oldest first.
    package static let versions = ["1.21.13", "1.26.6", "1.27.3"]

    /// A release, and how it is asked to build.
    package struct Build: Sendable, CustomStringConvertible {
        package var version: String
        package var flags: [String]

        package init(_ version: String, _ flags: [String] = []) { (self.version, self.flags) = (version, flags) }

        package var description: String { ([version] + flags).joined(separator: " ") }
    }

    /// What there is to tell apart in reading a binary: releases, symbols, addresses that are not fixed.
    package static let builds =
        versions.map { Build($0) } + [
            Build("1.21.13", ["-ldflags=-s -w"]), Build("1.27.3", ["-ldflags=-s -w"]),
            Build("1.27.3", ["-buildmode=pie"]),
        ]

    package init(_ version: String) throws {
        self.version = version
        cache = try Self.cache()
        guard Machine.has(program) else {
            throw HarnessError("Go \(version) is not in the cache of the tests' builds: run `make deps`")
        }
    }

    package var description: String { "Go \(version)" }

    /// Whether all are there.
    package static let areFetched = versions.allSatisfy { (try? GoToolchain($0)) != nil }

    private var root: String { "\(cache)/go-\(version)/go" }
    private var program: String { root + "/bin/go" }

    /// Where scripts/fetch-tls-builds.sh unpacks what it fetches.
    private static func cache() throws -> String {
        let environment = ProcessInfo.processInfo.environment
        if let path = environment["TLSWATCH_TEST_CACHE"], !path.isEmpty { return path }
        if let path = environment["XDG_CACHE_HOME"], !path.isEmpty { return path + "/tlswatch-tests" }
        let home = environment["HOME"].flatMap { $0.isEmpty ? nil : $0 } ?? "/var/tmp"
        return home + "/.cache/tlswatch-tests"
    }

    /// Builds the program in `directory`. What is compiled is kept between runs of the tests.
    package func build(_ directory: String, to output: String, _ flags: [String] = []) throws {
        // Nothing is fetched and nothing outside the cache is used.
        let environment = [
            "GOROOT": root, "GOCACHE": cache + "/go-build", "GOPATH": cache + "/go-path", "GOPROXY": "off",
            "GOTOOLCHAIN": "local", "GOTELEMETRY": "off", "GOFLAGS": "-mod=mod", "GO111MODULE": "on",
            "CGO_ENABLED": "0",
            "GOWORK": "off",
        ]
        let result = try ChildProcess.run(
            program, ["-C", directory, "build", "-o", output] + flags + ["."], environment: environment,
            within: .seconds(300))
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

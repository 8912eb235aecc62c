import Foundation

/// A folder of the test's own, removed with the object.
final class TestFolder: Sendable {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.path + "/tlswatch-web-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String) -> String { path + "/" + name }

    /// Replaces it in one step, as renewals do.
    @discardableResult
    func write(_ text: String, to name: String) throws -> String {
        try text.write(toFile: file(name), atomically: true, encoding: .utf8)
        return file(name)
    }

    func text(_ name: String) throws -> String { try String(contentsOfFile: file(name), encoding: .utf8) }
}

/// What a program left behind.
struct Finished: Sendable {
    var status: Int32
    var output: String
    var errors: String
}

func run(_ program: String, _ arguments: [String]) async throws -> Finished {
    try await blocking {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [program] + arguments
        let output = Pipe()
        let errors = Pipe()
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = output
        process.standardError = errors
        try process.run()
        let said = try output.fileHandleForReading.readToEnd() ?? Data()
        let complained = try errors.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return Finished(
            status: process.terminationStatus, output: String(decoding: said, as: UTF8.self),
            errors: String(decoding: complained, as: UTF8.self))
    }
}

/// A certificate authority and P-256 certificates under it, made by the `openssl` command.
struct TestAuthority: Sendable {
    let folder: TestFolder
    let name: String
    var certificate: String { folder.file(name + ".pem") }

    private static let newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]

    init(_ name: String, in folder: TestFolder) async throws {
        self.folder = folder
        self.name = name
        try await openssl(
            ["req", "-x509", "-days", "30", "-subj", "/CN=\(name)", "-keyout", folder.file(name + ".key")]
                + ["-out", certificate] + Self.newKey)
    }

    /// Writes `NAME.pem` and `NAME.key`.
    func issue(_ leaf: String, names: String) async throws {
        let request = folder.file(leaf + ".csr")
        try folder.write("subjectAltName=\(names)\nbasicConstraints=CA:FALSE\n", to: leaf + ".ext")
        try await openssl(
            ["req", "-subj", "/CN=\(leaf)", "-keyout", folder.file(leaf + ".key"), "-out", request] + Self.newKey)
        try await openssl([
            "x509", "-req", "-days", "30", "-in", request, "-CA", certificate, "-CAkey", folder.file(name + ".key"),
            "-CAcreateserial", "-extfile", folder.file(leaf + ".ext"), "-out", folder.file(leaf + ".pem"),
        ])
    }

    private func openssl(_ arguments: [String]) async throws {
        let result = try await run("openssl", arguments)
        guard result.status == 0 else { throw HarnessError("openssl \(arguments): \(result.errors)") }
    }
}

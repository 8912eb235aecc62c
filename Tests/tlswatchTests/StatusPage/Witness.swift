import Foundation
import Glibc
import Testing

/// Programs of the machine that judge the page: Python's HTML parser and SHA-256, Chromium.
enum Witness {
    struct Failure: Error, CustomStringConvertible { var description: String }

    struct Result {
        var output: String
        var errors: String
    }

    static func python(_ program: String, input: [UInt8]) throws -> String {
        try run("/usr/bin/env", ["python3", "-c", program], input: input).output
    }

    /// Runs a program to its end. Nothing waits for ever: `timeout` ends what hangs.
    static func run(_ path: String, _ arguments: [String], input: [UInt8] = []) throws -> Result {
        let directory = FileManager.default.temporaryDirectory.appending(path: "tlswatch-page-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        // Files, not pipes: neither side can block the other.
        func file(_ name: String, _ bytes: [UInt8] = []) throws -> FileHandle {
            let url = directory.appending(path: name)
            try Data(bytes).write(to: url)
            return try FileHandle(forUpdating: url)
        }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/timeout")
        process.arguments = ["--kill-after=5", "180", path] + arguments
        process.standardInput = try file("input", input)
        process.standardOutput = try file("output")
        process.standardError = try file("errors")
        try process.run()
        process.waitUntilExit()
        func text(_ name: String) throws -> String {
            String(decoding: try Data(contentsOf: directory.appending(path: name)), as: UTF8.self)
        }
        guard process.terminationStatus == 0 else {
            throw Failure(
                description: "\(path) ended with \(process.terminationStatus): \(try text("errors").suffix(2_000))")
        }
        return Result(output: try text("output"), errors: try text("errors"))
    }
}

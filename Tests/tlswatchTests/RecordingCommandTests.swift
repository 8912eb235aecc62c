import ArgumentParser
import Foundation
import TestSupport
import Testing

@testable import tlswatch

/// `replay`, `top` and `diff` with recordings.
@Suite("Commands on recordings") struct RecordingCommandTests {
    private let path = Program.recording.path
    private var bytes: [UInt8] { get throws { try [UInt8](Data(contentsOf: Program.recording)) } }

    @Test(
        "Standard input is a recording like a file, for each command",
        arguments: [
            ["replay", "FILE", "--format", "json"], ["replay", "FILE", "--format", "trace"], ["top", "FILE"],
            ["diff", "FILE", "OTHER", "--by", "comm"], ["diff", "OTHER", "FILE", "--by", "comm"],
        ])
    func standardInput(_ words: [String]) async throws {
        func arguments(_ file: String) -> [String] {
            words.map { $0 == "FILE" ? file : $0 == "OTHER" ? path : $0 }
        }
        let fromFile = try await Program.run(arguments(path))
        let fromInput = try await Program.run(arguments("-"), input: bytes)
        #expect(fromFile.status == .exited(0), "\(fromFile.errors)")
        #expect(fromInput.status == .exited(0), "\(fromInput.errors)")
        #expect(fromFile.output.utf8.count > 100)
        #expect(fromInput.output == fromFile.output.replacing(path, with: "standard input"))
    }

    @Test("What is wrong with standard input is told by that name")
    func wrongInput() async throws {
        for arguments in [["replay", "-"], ["top", "-"], ["diff", path, "-"]] {
            let result = try await Program.run(arguments, input: Array("nonsense\n".utf8))
            #expect(result.status == .exited(65))
            #expect(result.errors.contains("standard input is not a tlswatch recording"), "\(result.errors)")
        }
        let cut = try await Program.run(["diff", "-", path], input: bytes.dropLast(3))
        #expect(cut.status == .exited(65) && cut.errors.contains("standard input: the recording is cut"))
    }

    @Test("One standard input is not two recordings")
    func twice() {
        #expect(throws: (any Error).self) { try DiffCommand.parse(["-", "-"]) }
    }

    @Test(
        "What says how to observe is refused for a recording, with what to use instead",
        arguments: [
            (["--pid", "7"], "--where 'pid = …'"), (["--library", "/l"], "--where 'library = …'"),
            (["--phases", "full"], "--phases"), (["--wire", "all"], "--wire"), (["--probes", "perf"], "--probes"),
            (["--ring-size", "8"], "--ring-size"), (["--sweep-interval", "5s"], "--sweep-interval"),
            (["--max-sessions", "1000"], "--max-sessions"), (["--max-libraries", "9"], "--max-libraries"),
        ])
    func observing(_ flags: [String], _ words: String) throws {
        let error = #expect(throws: (any Error).self) { try TopCommand.parse(["a.tlswatch"] + flags) }
        #expect(error.map { TopCommand.message(for: $0) }?.contains(words) == true)
        #expect(error.map { TopCommand.exitCode(for: $0).rawValue } == 64)
        // Without one they are what a live view is made with.
        #expect(throws: Never.self) { try TopCommand.parse(flags) }
        #expect(throws: Never.self) {
            try TopCommand.parse(["a.tlswatch", "--handshake-timeout", "5s", "--window", "5m"])
        }
    }

    @Test("The window of a recording is its end")
    func window() async throws {
        func sessions(_ arguments: [String]) async throws -> Int {
            let result = try await Program.run(["top", path] + arguments)
            let first = try #require(result.output.split(separator: "\n").first)
            return try #require(
                first.matches(of: /([0-9,]+) sessions?/).first.flatMap { Int($0.output.1.filter(\.isNumber)) })
        }
        let all = try await sessions([])
        #expect(try await sessions(["--window", "24h"]) == all)
        // The ends of the recording's sessions, as its JSON has them.
        let replayed = try await Program.run(["replay", path, "--format", "json"])
        let ends = try replayed.output.split(separator: "\n").map { line in
            let object = try #require(JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
            let time = try #require(object["time"] as? String)
            let clock = time.dropFirst(11).dropLast().split(separator: ":").compactMap { Double($0) }
            return clock[0] * 3_600 + clock[1] * 60 + clock[2] + (object["duration_ns"] as? Double ?? 0) / 1e9
        }
        let last = try #require(ends.max())
        #expect(ends.count == all)
        let sorted = ends.sorted()
        // Between the middle one and the one before it, so that rounding says nothing.
        let place = try #require(
            sorted.indices.dropFirst().max { sorted[$0] - sorted[$0 - 1] < sorted[$1] - sorted[$1 - 1] })
        let length = last - (sorted[place] + sorted[place - 1]) / 2
        #expect(try await sessions(["--window", "\(Int(length * 1e6))us"]) == sorted.count - place)
    }
}

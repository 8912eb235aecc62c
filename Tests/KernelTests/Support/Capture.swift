import Foundation
import TestSupport

/// The product under test.
enum Tlswatch {
    /// TLSWATCH_BINARY, else the binary that the build put beside the test bundle.
    static func binary() throws -> String {
        if let path = ProcessInfo.processInfo.environment["TLSWATCH_BINARY"], !path.isEmpty {
            guard FileManager.default.isExecutableFile(atPath: path) else {
                throw HarnessError("TLSWATCH_BINARY=\(path) is not an executable file")
            }
            return path
        }
        let runner = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let path = URL(fileURLWithPath: runner).deletingLastPathComponent().appendingPathComponent("tlswatch").path
        guard FileManager.default.isExecutableFile(atPath: path) else {
            throw HarnessError("no tlswatch at \(path): `swift build` it, or name it in TLSWATCH_BINARY")
        }
        return path
    }

    /// Runs a command of it to its end.
    static func run(_ arguments: [String], within limit: Duration = patience) throws -> Finished {
        try ChildProcess.run(binary(), arguments, within: limit)
    }

    /// The same as an ordinary user without any capability.
    static func runUnprivileged(_ arguments: [String]) throws -> Finished {
        // The build directory may be closed to others.
        let directory = try TemporaryDirectory()
        let copy = directory.file("tlswatch")
        try FileManager.default.copyItem(atPath: binary(), toPath: copy)
        return try ChildProcess.run(
            "setpriv", ["--reuid=65534", "--regid=65534", "--clear-groups", copy] + arguments)
    }
}

/// `tlswatch capture --format json`, from `ready` to its end.
final class Capture: Sendable {
    let child: ChildProcess

    /// - Parameter wrapper: a command line that runs what follows it.
    init(_ options: [String] = [], wrapper: [String] = []) throws {
        let line = wrapper + [try Tlswatch.binary(), "capture", "--format", "json"] + options
        child = try ChildProcess(line[0], Array(line.dropFirst()))
        try child.waitForLine(in: child.errors) { $0 == "ready" }
    }

    /// The sessions told so far.
    func sessions() throws -> [SessionRow] { try SessionRow.parse(child.output.lines) }

    /// Waits for `count` sessions that `belongs` accepts. A shortage is no error here: the test that counts
    /// tells it better.
    func await(_ count: Int, within limit: Duration = .seconds(15), where belongs: (SessionRow) -> Bool) throws {
        _ = try eventually(within: limit) {
            let found = try sessions().filter(belongs).count
            return found >= count || child.status != nil
        }
    }

    /// Ctrl-C: every session that it told.
    func stop() throws -> [SessionRow] {
        child.signal(SIGINT)
        let result = try child.wait()
        guard result.status == .exited(0) else {
            throw HarnessError("capture ended with \(result.status): \(result.errors.suffix(2000))")
        }
        return try SessionRow.parse(child.output.lines)
    }

    /// Waits for `count` sessions, stops, and returns all that belong.
    func finish(
        expecting count: Int, within limit: Duration = .seconds(15), where belongs: (SessionRow) -> Bool
    ) throws -> [SessionRow] {
        try self.await(count, within: limit, where: belongs)
        return try stop().filter(belongs)
    }
}

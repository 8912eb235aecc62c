import Foundation
import TestSupport
import Testing

/// docs/sessions.schema.json, by Python's validator.
enum SessionSchema {
    /// Ends with 1 if a line does not fit, and says what is wrong with it.
    static func validate(_ lines: [String]) throws -> Finished {
        let directory = try TemporaryDirectory()
        let file = try directory.write(lines.map { $0 + "\n" }.joined(), to: "sessions")
        let schema =
            URL(fileURLWithPath: Prometheus.rules).deletingLastPathComponent().path + "/docs/sessions.schema.json"
        return try ChildProcess.run(
            "sh", ["-c", "exec python3 \"$1\" \"$2\" <\"$3\"", "sh", script("validate_sessions.py"), schema, file])
    }

    static func expectFit(_ lines: [String], sourceLocation: SourceLocation = #_sourceLocation) throws {
        let verdict = try validate(lines)
        #expect(
            verdict.status == .exited(0), "\(verdict.errors.prefix(4000))", sourceLocation: sourceLocation)
        #expect(verdict.output == "\(lines.count)\n", sourceLocation: sourceLocation)
    }
}

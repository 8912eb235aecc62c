import Foundation
import TestSupport

/// The built command itself, for what only a process of its own can show.
enum Program {
    /// A recording of this repository.
    static let recording = SettingDocuments.root.appending(
        path: "Tests/HandshakeProbeTests/Fixtures/handshakes.recording")

    static func run(
        _ arguments: [String], input: [UInt8] = [], environment: [String: String] = [:]
    ) async throws -> Finished {
        let path = SettingDocuments.root.appending(path: ".build/debug/tlswatch").path
        return try await blocking {
            try ChildProcess.run(path, arguments, input: input, environment: environment, within: .seconds(120))
        }
    }
}

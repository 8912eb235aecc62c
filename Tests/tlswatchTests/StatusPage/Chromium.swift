import Foundation
import TestSupport
import Testing

@testable import tlswatch

/// Debian's headless Chromium.
enum Chromium {
    static let path = "/usr/bin/chromium-headless-shell"

    enum Theme: Int, Sendable { case dark = 0, light = 1 }

    /// The document as it is after so many milliseconds of the page's own clock, which runs ahead of the world's while
    /// nothing is awaited; and what the console said.
    static func document(
        _ server: PageServer, after milliseconds: Int, width: Int = 1_280
    ) throws -> Finished {
        try run(server, width: width, theme: .light, ["--virtual-time-budget=\(milliseconds)", "--dump-dom"])
    }

    static func screenshot(_ server: PageServer, width: Int, height: Int, theme: Theme) throws -> [UInt8] {
        let directory = try TemporaryDirectory()
        let file = directory.file("page.png")
        _ = try run(
            server, width: width, height: height, theme: theme,
            ["--virtual-time-budget=500", "--screenshot=\(file)"])
        return Array(try Data(contentsOf: URL(fileURLWithPath: file)))
    }

    private static func run(
        _ server: PageServer, width: Int, height: Int = 900, theme: Theme, _ arguments: [String]
    ) throws -> Finished {
        let profile = try TemporaryDirectory()
        return try Witness.run(
            path,
            [
                // As root, in a container, the sandbox has no place; the only page shown is our own.
                "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
                "--user-data-dir=\(profile.path)", "--enable-logging=stderr", "--window-size=\(width),\(height)",
                "--blink-settings=preferredColorScheme=\(theme.rawValue)",
            ] + arguments + ["http://127.0.0.1:\(server.port)/"])
    }
}

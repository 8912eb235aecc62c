import Foundation

@testable import tlswatch

/// What is written about the settings, made from the table.
enum SettingDocuments {
    static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    static let begin = "<!-- settings: made by `make docs` -->"
    static let end = "<!-- end of settings -->"

    static func text(_ path: String) throws -> String {
        try String(contentsOf: root.appending(path: path), encoding: .utf8)
    }

    static func table() -> String {
        let head =
            "| key | environment | flag | default | accepts | meaning and cost | SIGHUP |\n|---|---|---|---|---|---|---|\n"
        return head
            + Setting.all.map { setting in
                let meaning = [setting.meaning, setting.cost].filter { !$0.isEmpty }.joined(separator: " ")
                let list = setting.form == .list ? " (list)" : ""
                let flags = ([setting.flag] + [setting.exporterFlag].compactMap { $0 }).map { "`\($0)`" }
                return
                    "| `\(setting.key)`\(list) | `\(setting.variable)` | \(flags.joined(separator: ", ")) | \(setting.standardText) "
                    + "| \(setting.accepts) | \(meaning) | \(setting.reloads ? "yes" : "restart") |\n"
            }.joined()
    }

    /// The document with another table between the marks; `nil` without them.
    static func document(_ text: String) -> String? {
        guard let first = text.range(of: begin + "\n"), let last = text.range(of: end) else { return nil }
        return String(text[..<first.upperBound]) + table() + String(text[last.lowerBound...])
    }

    /// The default file: everything there, nothing in force.
    static func file() -> String {
        var lines = [
            "# Settings of tlswatch with their defaults; see docs/configuration.md. Check them with 'tlswatch check-config'.",
            "# The environment (TLSWATCH_…) overrides this file, and flags override both.",
            "# SIGHUP reloads this file; settings marked (restart) change with the next start only.",
        ]
        for setting in Setting.all {
            lines.append("")
            lines += wrapped(
                [setting.meaning, setting.cost, "Accepts \(setting.accepts).", setting.reloads ? "" : "(restart)"]
                    .filter { !$0.isEmpty }.joined(separator: " "))
            switch setting.form {
            case .single: lines.append("#\(setting.key):" + setting.standard.map { " \(quoted($0))" }.joined())
            case .list: lines.append("#\(setting.key): [\(setting.standard.map(quoted).joined(separator: ", "))]")
            }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// Texts with a colon in them read as mappings to some.
    private static func quoted(_ text: String) -> String { text.contains(":") ? "\"\(text)\"" : text }

    private static func wrapped(_ text: String) -> [String] {
        var lines = ["#"]
        for word in text.split(separator: " ") {
            if lines[lines.count - 1].count + word.count >= 118 { lines.append("#") }
            lines[lines.count - 1] += " " + word
        }
        return lines
    }
}

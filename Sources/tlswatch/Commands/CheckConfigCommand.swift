import ArgumentParser
import HandshakeProbe
import Logging

struct CheckConfigCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check-config",
        abstract: "Validate the configuration and print the effective settings.",
        discussion: """
            Checks the settings of 'run' in the file and the environment, and the web configuration file if one is set. \
            Changes nothing and needs no privileges. Exit status: 65 for an error in a file, 64 for one in the environment.

            EXAMPLES
              tlswatch check-config
              tlswatch check-config tlswatch.yml --format json
            """)

    enum Format: String, ExpressibleByArgument, CaseIterable { case text, json }

    @Argument(help: "Settings file. [default: \(SettingsFile.standardPath) if it exists]")
    var file: String?

    @Option(help: "text or json.")
    var format: Format = .text

    func run() throws {
        do {
            let resolved = try SettingSources(path: file).resolve()
            if let path = resolved.settings.webConfigurationFile {
                _ = try LoadedConfiguration(WebConfiguration(path: path), file: path)
            }
            for notice in resolved.notices { tell("tlswatch: \(LineLogHandler.oneLine(notice))") }
            try OutputFile(path: nil).write(format == .json ? resolved.json : resolved.text)
        } catch {
            throw report(error) { tell("tlswatch: \(LineLogHandler.oneLine($0))") }
        }
    }
}

extension ResolvedSettings {
    /// A line a setting, in columns.
    var text: String {
        let rows =
            [["setting", "value", "from", "default"]]
            + entries.map { entry in
                let value = entry.texts.isEmpty ? "none" : entry.texts.joined(separator: ", ")
                return [entry.setting.key, value, entry.source.rawValue, entry.setting.standardText]
            }
        let widths = (0..<4).map { column in rows.map { $0[column].count }.max() ?? 0 }
        let lines = rows.map { row in
            let cells = zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }.joined(
                separator: "  ")
            return LineLogHandler.oneLine(String(cells.reversed().drop { $0 == " " }.reversed()))
        }
        return "file: \(file ?? "none")\n" + lines.joined(separator: "\n") + "\n"
    }

    /// One object: the file and an array of settings.
    var json: String {
        var object = JSONObject()
        object.text("file", file)
        let settings = entries.map { entry in
            var one = JSONObject()
            one.text("key", entry.setting.key)
            one.literal("value", JSONObject.array(entry.texts))
            one.text("source", entry.source.rawValue)
            one.literal("default", JSONObject.array(entry.setting.standard))
            return String(decoding: one.finish(), as: UTF8.self)
        }
        object.literal("settings", "[" + settings.joined(separator: ",") + "]")
        return String(decoding: object.finish(), as: UTF8.self) + "\n"
    }
}

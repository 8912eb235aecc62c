import ArgumentParser
import HandshakeProbe
import Logging

struct CheckConfigCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check-config",
        abstract: "Validate the configuration and print the effective settings.",
        discussion: """
            Checks the settings of 'run' in the file and the environment, and the web configuration file if one is set. \
            Prints every error with its file and line, or the effective settings and "ok". Changes nothing and needs no \
            privileges. Exit status: 65 for errors in a file, 64 for errors in the environment only.

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
        let (resolved, found) = SettingSources(path: file).check()
        var errors = found
        if let path = resolved.settings.webConfigurationFile {
            errors += Self.errors(ofWebConfiguration: path)
        }
        for notice in resolved.notices { tell("tlswatch: \(LineLogHandler.oneLine(notice))") }
        do {
            if format == .json {
                try OutputFile(path: nil).write(resolved.json(errors: errors.map(\.message)))
            } else if errors.isEmpty {
                try OutputFile(path: nil).write(resolved.text + "ok\n")
            }
            guard errors.isEmpty else { throw ConfigurationErrors(errors: errors) }
        } catch {
            throw report(error) { tell("tlswatch: \(LineLogHandler.oneLine($0))") }
        }
    }

    /// Also of the files that it names.
    private static func errors(ofWebConfiguration path: String) -> [CommandFailure] {
        let (configuration, faults) = WebConfiguration.check(path: path)
        let further = faults.isEmpty ? configuration.tls.map { EndpointSecurity.faults(of: $0, file: path) } : nil
        return (faults + (further ?? [])).map { CommandFailure(.input, $0.description) }
    }
}

extension ResolvedSettings {
    /// A line a setting, in columns.
    var text: String {
        let rows =
            [["setting", "value", "from", "default"]]
            + entries.map { entry in
                let value = entry.texts.isEmpty ? "none" : entry.shown.joined(separator: ", ")
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

    /// One object: the file, and an array of settings or, if there are any, of errors.
    func json(errors: [String]) -> String {
        var object = JSONObject()
        object.text("file", file)
        guard errors.isEmpty else {
            object.literal("ok", "false")
            object.literal("errors", JSONObject.array(errors))
            return String(decoding: object.finish(), as: UTF8.self) + "\n"
        }
        object.literal("ok", "true")
        let settings = entries.map { entry in
            var one = JSONObject()
            one.text("key", entry.setting.key)
            one.literal("value", JSONObject.array(entry.shown))
            one.text("source", entry.source.rawValue)
            one.literal("default", JSONObject.array(entry.setting.standard))
            return String(decoding: one.finish(), as: UTF8.self)
        }
        object.literal("settings", "[" + settings.joined(separator: ",") + "]")
        return String(decoding: object.finish(), as: UTF8.self) + "\n"
    }
}

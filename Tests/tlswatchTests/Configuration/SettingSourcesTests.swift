import HandshakeProbe
import ArgumentParser
import TestSupport
import Testing

@testable import tlswatch

@Suite("Where settings come from") struct SettingSourcesTests {
    private let folder: TemporaryDirectory

    init() throws { folder = try TemporaryDirectory() }

    private func yaml(_ key: String, _ texts: [String]) -> String {
        "\(key): [" + texts.map { "\"\($0)\"" }.joined(separator: ", ") + "]\n"
    }

    private func file(_ setting: Setting, _ texts: [String]) throws -> String {
        let text = setting.form == .list ? yaml(setting.key, texts) : "\(setting.key): \"\(texts[0])\"\n"
        return try folder.write(text, to: "tlswatch.yml")
    }

    private func entry(_ sources: SettingSources, _ key: String) throws -> ResolvedSettings.Entry {
        try #require(try sources.resolve().entries.first { $0.setting.key == key })
    }

    @Test("There is an example of every setting")
    func everySettingHasAnExample() {
        #expect(SettingExample.all.map(\.key) == Setting.all.map(\.key))
    }

    @Test("Flags come before environment before file before the default", arguments: SettingExample.all)
    func flagsComeFirst(_ example: SettingExample) throws {
        let setting = example.setting
        let nowhere = folder.file("nothing.yml")
        var sources = SettingSources(environment: [:], standardPath: nowhere)
        var found = try entry(sources, example.key)
        #expect(found.texts == setting.standard)
        #expect(found.source == .standard)
        sources.path = try file(setting, example.right[0])
        found = try entry(sources, example.key)
        #expect(found.texts == example.right[0])
        #expect(found.source == .file)
        sources.environment = [setting.variable: example.right[1].joined(separator: ",")]
        found = try entry(sources, example.key)
        #expect(found.texts == example.right[1])
        #expect(found.source == .environment)
        sources.flags = [setting.key: example.right[2]]
        found = try entry(sources, example.key)
        #expect(found.texts == example.right[2])
        #expect(found.source == .flag)
        // The others hold their defaults.
        #expect(try sources.resolve().entries.count { $0.source == .standard } == Setting.all.count - 1)
    }

    @Test("What is set reaches the settings, and each example sets something else", arguments: SettingExample.all)
    func everyExampleHasAnEffect(_ example: SettingExample) {
        let effects = example.right.map { "\(RunSettings([example.key: $0]))" }
        #expect(effects[0] != "\(RunSettings())")
        #expect(effects[0] != effects[1] && effects[1] != effects[2])
    }

    @Test("A wrong value is told with file and line, with the variable, with the flag", arguments: SettingExample.all)
    func aWrongValueIsReportedWithItsSource(_ example: SettingExample) throws {
        let setting = example.setting
        for text in example.wrong {
            let path = try folder.write("# first\n\(setting.key): '\(text)'\n", to: "wrong.yml")
            let inFile = #expect(throws: CommandFailure.self, "\(text)") {
                try SettingSources(environment: [:], path: path).resolve()
            }
            #expect(inFile?.status == .input)
            #expect(inFile?.message == "\(path):2: \(setting.key): must be \(setting.accepts), not '\(text)'")
            let inEnvironment = #expect(throws: CommandFailure.self, "\(text)") {
                try SettingSources(environment: [setting.variable: text], standardPath: folder.file("nothing"))
                    .resolve()
            }
            #expect(inEnvironment?.status == .usage)
            #expect(inEnvironment?.message.hasPrefix("\(setting.variable) in the environment: must be ") == true)
            let flag = #expect(throws: (any Error).self, "\(text)") {
                try RunCommand.parse(["\(setting.flag)=\(text)"])
            }
            #expect(flag.map { RunCommand.exitCode(for: $0).rawValue } == 64)
        }
    }

    @Test("What is wrong in a lower source is told although a higher one comes first")
    func wrongValuesInLowerSourcesAreReported() throws {
        let path = try folder.write("ring-size: 3\n", to: "tlswatch.yml")
        let sources = SettingSources(flags: ["ring-size": ["8"]], environment: [:], path: path)
        #expect(throws: CommandFailure.self) { try sources.resolve() }
    }

    @Test("A file that is named must be there; the standard one need not")
    func aNamedFileMustExist() throws {
        let nowhere = folder.file("nothing.yml")
        let failure = #expect(throws: CommandFailure.self) {
            try SettingSources(environment: [:], path: nowhere).resolve()
        }
        #expect(failure?.status == .input)
        #expect(failure?.message.contains(nowhere) == true)
        #expect(try SettingSources(environment: [:], standardPath: nowhere).resolve().file == nil)
        let path = try folder.write("ring-size: 2\n", to: "tlswatch.yml")
        #expect(try SettingSources(environment: [:], standardPath: path).resolve().file == path)
    }

    @Test("An empty variable is none; one that is nearly a setting's is a notice; others are not ours")
    func otherVariablesAreIgnored() throws {
        let nowhere = folder.file("nothing.yml")
        let resolved = try SettingSources(
            environment: [
                "TLSWATCH_RING_SIZE": "", "TLSWATCH_RINGSIZE": "2", "TLSWATCH_PORT": "tcp://10.0.0.1:9899",
                "TLSWATCH_SERVICE_HOST": "10.0.0.1", "RING_SIZE": "2", "TLSWATCH_PID": "1", "TLSWATCH_CONFIG": "a.yml",
            ], standardPath: nowhere
        ).resolve()
        #expect(resolved.entries.allSatisfy { $0.source == .standard })
        #expect(
            resolved.notices == [
                "TLSWATCH_CONFIG in the environment has no effect: give --config",
                "TLSWATCH_PID in the environment has no effect: give --pid",
                "TLSWATCH_RINGSIZE in the environment has no effect; did you mean TLSWATCH_RING_SIZE?",
            ])
    }

    @Test("The help of run shows every setting's default and cost")
    func helpShowsEveryDefault() {
        let words = RunCommand.helpMessage().split(whereSeparator: \.isWhitespace).joined(separator: " ")
        for setting in Setting.all {
            #expect(words.contains(setting.flag), "\(setting.key)")
            #expect(setting.cost.isEmpty || words.contains(setting.cost), "\(setting.key)")
            #expect(words.contains("(default: \(setting.standardText))"), "\(setting.key)")
        }
    }

    @Test("SIGHUP changes what can change; the rest waits, and is told until it is back")
    func aReloadChangesWhatItCan() throws {
        func resolve(_ text: String) throws -> ResolvedSettings {
            try SettingSources(environment: [:], path: try folder.write(text, to: "tlswatch.yml")).resolve()
        }
        var running = try resolve("ring-size: 4\nhandshake-timeout: 10s\n")
        let next = try resolve("ring-size: 8\nhandshake-timeout: 20s\nlog-format: json\nwindow: 5m\n")
        for _ in 0..<2 {
            #expect(running.changes(to: next).restart.map(\.setting.key) == ["ring-size", "window"])
            running.take(next)
            #expect(running.changes(to: next).live.isEmpty)
        }
        #expect(running.settings.engine.handshakeTimeout == 20_000_000_000)
        #expect(running.settings.logFormat == .json)
        #expect(running.settings.engine.ringBytes == 4 << 20)
        let back = try resolve("ring-size: 4\n")
        #expect(running.changes(to: back).restart.isEmpty)
        #expect(running.changes(to: back).live.map(\.setting.key) == ["log-format", "handshake-timeout"])
    }
}

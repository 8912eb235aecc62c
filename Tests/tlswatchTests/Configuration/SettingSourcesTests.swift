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
            let inFile = #expect(throws: ConfigurationErrors.self, "\(text)") {
                try SettingSources(environment: [:], path: path).resolve()
            }
            #expect(inFile?.status == .input)
            let given = setting.isSecret ? "" : ", not '\(text)'"
            #expect(inFile?.message == "\(path):2: \(setting.key): must be \(setting.accepts)\(given)")
            let inEnvironment = #expect(throws: ConfigurationErrors.self, "\(text)") {
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

    @Test("What a header to the collector holds is never told, right or wrong") func secretsAreKept() throws {
        let sources = SettingSources(
            environment: ["TLSWATCH_OTLP_HEADER": "api-key=hunter2"], standardPath: folder.file("nothing.yml"))
        let resolved = try sources.resolve()
        #expect(resolved.settings.otlp.headers.first?.value == "hunter2")
        for told in [resolved.text, resolved.json(errors: [])] {
            #expect(told.contains("(set)") && !told.contains("hunter2"))
        }
        #expect(Setting.otlpHeader.fault(["hunter2"]).map { $0.contains("hunter2") } == false)
    }

    @Test("What is wrong in a lower source is told although a higher one comes first")
    func wrongValuesInLowerSourcesAreReported() throws {
        let path = try folder.write("ring-size: 3\n", to: "tlswatch.yml")
        let sources = SettingSources(flags: ["ring-size": ["8"]], environment: [:], path: path)
        #expect(throws: ConfigurationErrors.self) { try sources.resolve() }
    }

    @Test("All that is wrong is told at once, each with its place, and what is right still holds")
    func everyErrorIsReported() throws {
        let path = try folder.write(
            "ring-size: 3\nringsize: 8\nwindow: [60s, soon]\nmax-series: 5000\nphases: on\nphases: off\nslow: {a: b}\n",
            to: "tlswatch.yml")
        let sources = SettingSources(
            environment: ["TLSWATCH_SLOW": "never", "TLSWATCH_WIRE": "on", "TLSWATCH_EXEMPLARS": "true"], path: path)
        let errors = #expect(throws: ConfigurationErrors.self) { try sources.resolve() }
        let starts = [
            "\(path):5: has a key twice: phases", "\(path):1: ring-size: must be a power of two",
            "\(path):2: ringsize: unknown key; did you mean ring-size?", "\(path):3: window: must be durations",
            "\(path):7: slow: must be a text", "TLSWATCH_WIRE in the environment: must be",
            "TLSWATCH_SLOW in the environment: must be",
        ]
        let messages = errors?.errors.map(\.message) ?? []
        #expect(messages.count == starts.count, "\(messages)")
        for (message, start) in zip(messages, starts) { #expect(message.hasPrefix(start), "\(message)") }
        #expect(errors?.status == .input)
        let settings = sources.check().settings
        #expect(settings.entries.first { $0.setting.key == "max-series" }?.texts == ["5000"])
        #expect(settings.entries.first { $0.setting.key == "exemplars" }?.source == .environment)
        #expect(settings.entries.first { $0.setting.key == "slow" }?.source == .standard)
    }

    @Test("Prometheus's exporters' flags are accepted as they spell them")
    func exporterFlags() throws {
        let run = try RunCommand.parse([
            "--web.listen-address=:9100", "--listen", "127.0.0.1:0", "--web.telemetry-path=/probe",
            "--web.config.file=web.yml", "--log.level=warn", "--log.format=logfmt",
        ])
        #expect(run.listen == [":9100", "127.0.0.1:0"])
        #expect(run.telemetryPath == "/probe")
        #expect(run.webConfigurationFile == "web.yml")
        #expect(run.logLevel == "warn" && run.logFormat == "logfmt")
        #expect(throws: (any Error).self) { try RunCommand.parse(["--listen=127.0.0.1:1", "--listen=127.0.0.1:1"]) }
        let many = (1...ListenAddress.most + 1).map { "--listen=127.0.0.1:\($0)" }
        #expect(throws: (any Error).self) { try RunCommand.parse(many) }
        #expect(throws: Never.self) { try RunCommand.parse(Array(many.dropLast())) }
    }

    @Test("A file that is named must be there; the standard one need not")
    func aNamedFileMustExist() throws {
        let nowhere = folder.file("nothing.yml")
        let failure = #expect(throws: ConfigurationErrors.self) {
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
            if let flag = setting.exporterFlag { #expect(words.contains("\(setting.flag), \(flag)"), "\(flag)") }
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

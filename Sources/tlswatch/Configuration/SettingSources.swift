import Configuration
import FoundationEssentials
import Handshakes
import Synchronization

/// Where the settings of a daemon come from: flags before environment before file before defaults.
struct SettingSources: Sendable {
    var flags: SettingTexts = [:]
    /// Of the process. An empty variable counts as unset.
    var environment: [String: String] = ProcessInfo.processInfo.environment
    /// Named by the user: it must be there. `nil` takes `standardPath` where that exists.
    var path: String?
    var standardPath = SettingsFile.standardPath

    /// The file that would be read now.
    var file: String? {
        path ?? (FileManager.default.fileExists(atPath: standardPath) ? standardPath : nil)
    }

    /// Reads file and environment, checks all of both, and finds what holds.
    ///
    /// - Throws: `ConfigurationErrors`: all that is wrong in the file and in the environment; flags were checked as they came.
    func resolve() throws(ConfigurationErrors) -> ResolvedSettings {
        let (resolved, errors) = check()
        guard errors.isEmpty else { throw ConfigurationErrors(errors: errors) }
        return resolved
    }

    /// What would hold of what is right, and all that is wrong: input for the file, usage for the environment.
    func check() -> (settings: ResolvedSettings, errors: [CommandFailure]) {
        let file = self.file
        let fromFile = file.map { SettingsFile(checking: $0) }
        var errors = fromFile?.faults.map { CommandFailure(.input, $0.description) } ?? []
        var right = ours
        for (name, fault) in faults(of: EnvironmentVariablesProvider(environmentVariables: right)) {
            errors.append(CommandFailure(.usage, "\(name) in the environment: \(fault)"))
            right[name] = nil
        }
        let variables = EnvironmentVariablesProvider(environmentVariables: right)
        let resolved = Self.read([
            (.flag, InMemoryProvider(name: "flags", values: Self.values(flags))), (.environment, variables),
            (.file, InMemoryProvider(name: "file", values: Self.values(fromFile?.texts ?? [:]))),
        ])
        return (ResolvedSettings(entries: resolved, file: file, notices: notices), errors)
    }

    /// Of one run, and no settings.
    private static let flagsAlone = ["PID": "--pid", "CONFIG": "--config"]

    private var ours: [String: String] {
        environment.filter { $0.key.hasPrefix(Setting.variablePrefix) && !$0.value.isEmpty }
    }

    /// Variables that look like a setting's and are none. No error: Kubernetes sets variables by its services' names.
    private var notices: [String] {
        let known = Setting.all.map(\.variable)
        return ours.keys.sorted().compactMap { name in
            guard !known.contains(name) else { return nil }
            if let flag = Self.flagsAlone[name.dropPrefix()] {
                return "\(name) in the environment has no effect: give \(flag)"
            }
            return NearestName.of(name.dropPrefix(), among: known.map { $0.dropPrefix() }).map {
                "\(name) in the environment has no effect; did you mean \(Setting.variablePrefix)\($0)?"
            }
        }
    }

    private func faults(of variables: EnvironmentVariablesProvider) -> [(variable: String, fault: String)] {
        let reader = ConfigReader(provider: variables).scoped(to: Self.scope)
        return Setting.all.compactMap { setting in
            Self.texts(of: setting, in: reader).flatMap(setting.fault).map { (setting.variable, $0) }
        }
    }

    // MARK: swift-configuration

    /// TLSWATCH_ in the environment.
    private static let scope: ConfigKey = "tlswatch"

    private static func values(_ texts: SettingTexts) -> [AbsoluteConfigKey: ConfigValue] {
        var values: [AbsoluteConfigKey: ConfigValue] = [:]
        for setting in Setting.all {
            guard let texts = texts[setting.key] else { continue }
            let content: ConfigContent = setting.form == .list ? .stringArray(texts) : .string(texts[0])
            values[AbsoluteConfigKey(scope).appending(ConfigKey([setting.key]))] = ConfigValue(content, isSecret: false)
        }
        return values
    }

    private static func texts(of setting: Setting, in reader: ConfigReader) -> [String]? {
        let key = ConfigKey([setting.key])
        return setting.form == .list ? reader.stringArray(forKey: key) : reader.string(forKey: key).map { [$0] }
    }

    private static func read(_ providers: [(source: ResolvedSettings.Source, provider: any ConfigProvider)])
        -> [ResolvedSettings.Entry]
    {
        let witness = AnswerWitness()
        let reader = ConfigReader(providers: providers.map(\.provider), accessReporter: witness).scoped(to: scope)
        return Setting.all.map { setting in
            let texts = texts(of: setting, in: reader)
            let answered = witness.provider.withLock { $0 }
            let source = providers.first { $0.provider.providerName == answered }?.source
            return ResolvedSettings.Entry(
                setting: setting, texts: texts ?? setting.standard,
                source: texts == nil ? .standard : source ?? .standard)
        }
    }
}

/// Remembers which provider gave the last value: the reader itself tells only the value.
private final class AnswerWitness: AccessReporter {
    let provider = Mutex<String?>(nil)

    func report(_ event: AccessEvent) {
        let answer = event.providerResults.last { (try? $0.result.get().value) != nil }
        provider.withLock { $0 = answer?.providerName }
    }
}

extension String {
    fileprivate func dropPrefix() -> String { String(dropFirst(Setting.variablePrefix.count)) }
}

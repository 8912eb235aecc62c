import ArgumentParser

/// Texts of settings by key, as one source gives them; a setting that is not given has none.
typealias SettingTexts = [String: [String]]

/// One thing that can be set: in the file, by the environment, by a flag.
struct Setting: Sendable {
    enum Form: Sendable { case single, list }

    /// Its name in the file.
    let key: String
    let form: Form
    /// As it would be written; empty where nothing holds unless it is set.
    let standard: [String]
    /// What that means where it is empty: `all`.
    let standardMeaning: String
    /// What each of its texts may be: "accepts …".
    let accepts: String
    let meaning: String
    /// In memory or time; empty where it costs nothing worth telling.
    let cost: String
    /// Whether SIGHUP changes it in a daemon that runs.
    let reloads: Bool
    /// Its texts hold what nobody else is to read: they are never told.
    let isSecret: Bool
    /// Puts the texts in force; false where they are not what it accepts.
    let apply: @Sendable ([String], inout RunSettings) -> Bool

    init(
        _ key: String, _ form: Form = .single, standard: [String], standardMeaning: String = "none", accepts: String,
        meaning: String, cost: String = "",
        reloads: Bool = false, isSecret: Bool = false,
        apply: @escaping @Sendable ([String], inout RunSettings) -> Bool
    ) {
        self.key = key
        self.form = form
        self.standard = standard
        self.standardMeaning = standardMeaning
        self.accepts = accepts
        self.meaning = meaning
        self.cost = cost
        self.reloads = reloads
        self.isSecret = isSecret
        self.apply = apply
    }

    /// One with a single text, which `parse` understands or refuses.
    init<Value>(
        _ key: String, standard: String?, standardMeaning: String = "none", accepts: String, meaning: String,
        cost: String = "", reloads: Bool = false,
        at place: any WritableKeyPath<RunSettings, Value> & Sendable, parse: @escaping @Sendable (String) -> Value?
    ) {
        self.init(
            key, standard: standard.map { [$0] } ?? [], standardMeaning: standardMeaning, accepts: accepts,
            meaning: meaning, cost: cost, reloads: reloads
        ) { texts, settings in
            guard texts.count == 1, let value = parse(texts[0]) else { return false }
            settings[keyPath: place] = value
            return true
        }
    }

    /// Its flag. Some are spelled as every exporter of Prometheus spells them, and nothing else.
    var flag: String { Self.exporterFlags[key] ?? "--" + key }

    private static let exporterFlags = [
        "web-config-file": "--web.config.file", "telemetry-path": "--web.telemetry-path",
    ]

    /// How Prometheus's exporters spell the same flag, which is accepted as well; `nil` where they have none, or no other.
    var exporterFlag: String? {
        ["listen": "--web.listen-address", "log-level": "--log.level", "log-format": "--log.format"][key]
    }

    /// Its environment variable; several texts with commas between them.
    var variable: String { Self.variablePrefix + key.uppercased().replacing("-", with: "_") }

    /// What needs no word beside the name of the value.
    static let path = "a path"

    static let variablePrefix = "TLSWATCH_"

    var standardText: String { standard.isEmpty ? standardMeaning : standard.joined(separator: ", ") }

    /// For the flag.
    func help(_ valueName: String? = nil) -> ArgumentHelp {
        let accepted = accepts == Self.path ? "" : " Accepts \(accepts)."
        let repeated = form == .list ? " Repeatable." : ""
        return ArgumentHelp(
            "\(meaning)\(accepted)\(repeated) (default: \(standardText))",
            discussion: cost, valueName: valueName)
    }

    /// What is wrong with the texts; `nil` where nothing is.
    func fault(_ texts: [String]) -> String? {
        var scratch = RunSettings()
        guard !apply(texts, &scratch) else { return nil }
        guard !isSecret else { return "must be \(accepts)" }
        // Long enough for every right value; what is longer is no use to a reader.
        let given = texts.joined(separator: ", ").prefix(60)
        return "must be \(accepts), not '\(given)'"
    }

    /// - Throws: `ValidationError` for a flag whose text is not what it accepts.
    static func validate(flags: SettingTexts) throws {
        for setting in all {
            guard let texts = flags[setting.key], let fault = setting.fault(texts) else { continue }
            throw ValidationError("\(setting.flag) \(fault)")
        }
    }
}

extension SettingTexts {
    init(_ given: (Setting, [String])...) {
        self.init(uniqueKeysWithValues: given.filter { !$0.1.isEmpty }.map { ($0.0.key, $0.1) })
    }
}

extension Optional where Wrapped == String {
    var texts: [String] { map { [$0] } ?? [] }
}

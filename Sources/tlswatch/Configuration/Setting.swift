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
    /// What each of its texts may be: "takes …".
    let takes: String
    let meaning: String
    /// In memory or time; empty where it costs nothing worth telling.
    let cost: String
    /// Whether SIGHUP changes it in a daemon that runs.
    let reloads: Bool
    /// Puts the texts in force; false where they are not what it takes.
    let apply: @Sendable ([String], inout RunSettings) -> Bool

    init(
        _ key: String, _ form: Form = .single, standard: [String], takes: String, meaning: String, cost: String = "",
        reloads: Bool = false, apply: @escaping @Sendable ([String], inout RunSettings) -> Bool
    ) {
        self.key = key
        self.form = form
        self.standard = standard
        self.takes = takes
        self.meaning = meaning
        self.cost = cost
        self.reloads = reloads
        self.apply = apply
    }

    /// One with a single text, which `parse` understands or refuses.
    init<Value>(
        _ key: String, standard: String?, takes: String, meaning: String, cost: String = "", reloads: Bool = false,
        at place: any WritableKeyPath<RunSettings, Value> & Sendable, parse: @escaping @Sendable (String) -> Value?
    ) {
        self.init(
            key, standard: standard.map { [$0] } ?? [], takes: takes, meaning: meaning, cost: cost, reloads: reloads
        ) { texts, settings in
            guard texts.count == 1, let value = parse(texts[0]) else { return false }
            settings[keyPath: place] = value
            return true
        }
    }

    /// Its flag; the web configuration's is spelled as every exporter of Prometheus spells it.
    var flag: String { key == "web-config-file" ? "--web.config.file" : "--" + key }

    /// Its environment variable; several texts with commas between them.
    var variable: String { Self.variablePrefix + key.uppercased().replacing("-", with: "_") }

    static let variablePrefix = "TLSWATCH_"

    var standardText: String { standard.isEmpty ? "none" : standard.joined(separator: ", ") }

    /// For the flag.
    func help(_ valueName: String? = nil) -> ArgumentHelp {
        let repeated = form == .list ? " May be given several times." : ""
        return ArgumentHelp(
            "\(meaning) Takes \(takes).\(repeated) (default: \(standardText))",
            discussion: cost, valueName: valueName)
    }

    /// What is wrong with the texts; `nil` where nothing is.
    func fault(_ texts: [String]) -> String? {
        var scratch = RunSettings()
        guard !apply(texts, &scratch) else { return nil }
        // Long enough for every right value; what is longer is no use to a reader.
        let given = texts.joined(separator: ", ").prefix(60)
        return "takes \(takes), not '\(given)'"
    }

    /// - Throws: `ValidationError` for a flag whose text is not what it takes.
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

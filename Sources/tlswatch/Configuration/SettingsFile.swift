import Handshakes

/// The settings of a YAML file: one flat mapping of keys to texts or lists of texts.
struct SettingsFile: Sendable {
    /// Looked for where no file is named.
    static let standardPath = "/etc/tlswatch/tlswatch.yml"
    /// A hundred times the file with every setting.
    static let largest = 1 << 18

    /// Of the keys that are right.
    private(set) var texts: SettingTexts = [:]
    /// What is wrong, in the file's order but for its syntax, which comes first.
    private(set) var faults: [WebConfigurationError] = []

    /// Reads and checks one, whatever is wrong in it.
    init(checking path: String) {
        do throws(WebConfigurationError) {
            read(try Self.text(of: path), from: path)
        } catch {
            faults = [error]
        }
    }

    private static func text(of path: String) throws(WebConfigurationError) -> String {
        let bytes = try SmallFile.read(path, limit: largest, for: (path, nil))
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw WebConfigurationError(file: path, line: nil, key: nil, reason: "is not UTF-8 text")
        }
        return text
    }

    private mutating func read(_ text: String, from path: String) {
        do throws(WebConfigurationError) {
            let entries = try YAMLReader(text: text, file: path, faults: &faults).entries()
            for (key, value) in entries {
                do throws(WebConfigurationError) {
                    try read(key, value)
                } catch {
                    faults.append(error)
                }
            }
        } catch {
            faults.append(error)
        }
    }

    private mutating func read(_ key: String, _ value: YAMLReader) throws(WebConfigurationError) {
        guard let setting = Setting.all.first(where: { $0.key == key }) else {
            let known = Setting.all.map(\.key)
            let nearest = NearestName.of(key, among: known)
            throw value.wrong(
                "unknown key; " + (nearest.map { "did you mean \($0)?" } ?? "known: \(known.joined(separator: ", "))"))
        }
        // A key without a value: its default.
        if value.isNull { return }
        let texts = try setting.form == .list ? value.listOrText() : [value.text()]
        if texts.isEmpty { return }
        if let fault = setting.fault(texts) { throw value.wrong(fault) }
        self.texts[key] = texts
    }

    /// - Throws: the first fault.
    init(path: String) throws(WebConfigurationError) {
        self.init(checking: path)
        if let fault = faults.first { throw fault }
    }

    /// - Throws: the first fault.
    init(text: String, path: String) throws(WebConfigurationError) {
        read(text, from: path)
        if let fault = faults.first { throw fault }
    }
}

extension YAMLReader {
    /// A list's texts, or the one text that stands in its place.
    fileprivate func listOrText() throws(WebConfigurationError) -> [String] {
        guard isList else { return [try text()] }
        var texts: [String] = []
        for entry in try list() { texts.append(try entry.text()) }
        return texts
    }
}

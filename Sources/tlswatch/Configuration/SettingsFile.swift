import Handshakes

/// The settings of a YAML file: one flat mapping of keys to texts or lists of texts.
struct SettingsFile: Sendable {
    /// Looked for where no file is named.
    static let standardPath = "/etc/tlswatch/tlswatch.yml"
    /// A hundred times the file with every setting.
    static let largest = 1 << 18

    private(set) var texts: SettingTexts = [:]

    /// Reads and checks one.
    init(path: String) throws(WebConfigurationError) {
        let bytes = try SmallFile.read(path, limit: Self.largest, for: (path, nil))
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw WebConfigurationError(file: path, line: nil, key: nil, reason: "is not UTF-8 text")
        }
        try self.init(text: text, path: path)
    }

    /// - Parameter path: for messages.
    init(text: String, path: String) throws(WebConfigurationError) {
        for (key, value) in try YAMLReader(text: text, file: path).entries() {
            guard let setting = Setting.all.first(where: { $0.key == key }) else {
                let known = Setting.all.map(\.key)
                let nearest = NearestName.of(key, among: known)
                throw value.wrong(
                    "unknown key; "
                        + (nearest.map { "did you mean \($0)?" } ?? "known: \(known.joined(separator: ", "))"))
            }
            // A key without a value: its default.
            if value.isNull { continue }
            let texts = try setting.form == .list ? value.listOrText() : [value.text()]
            if texts.isEmpty { continue }
            if let fault = setting.fault(texts) { throw value.wrong(fault) }
            self.texts[key] = texts
        }
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

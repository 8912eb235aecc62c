/// One node of a YAML file with its way down from the root, read strictly: nothing is left over, and what is wrong is
/// told with file, line and key. Its errors repeat no values: some are secrets.
struct YAMLReader {
    let file: String
    /// Names down from the root.
    let path: [String]
    private let node: YAMLNode?
    private let keyLine: Int?

    /// Aliases nest: a few dozen of them can stand for more nodes than there is time for.
    static let mostAliases = 16

    /// - Parameter faults: gets what is wrong and does not keep the rest from being read: keys that stand twice.
    /// - Throws: `WebConfigurationError`: no YAML, more than one document, or too many aliases.
    init(text: String, file: String, faults: inout [WebConfigurationError]) throws(WebConfigurationError) {
        self.file = file
        path = []
        keyLine = nil
        guard Self.aliases(in: text) <= Self.mostAliases else {
            throw WebConfigurationError(
                file: file, line: nil, key: nil, reason: "has more than \(Self.mostAliases) aliases (*name)")
        }
        do {
            let document = try YAMLComposer.document(of: text)
            node = document.node
            faults += document.twice.map { fault in
                WebConfigurationError(file: file, line: fault.line, key: nil, reason: fault.reason)
            }
        } catch {
            throw WebConfigurationError(file: file, line: error.line, key: nil, reason: error.reason)
        }
    }

    private init(file: String, path: [String], node: YAMLNode, keyLine: Int?) {
        self.file = file
        self.path = path
        self.node = node
        self.keyLine = keyLine
    }

    func wrong(_ reason: String) -> WebConfigurationError {
        WebConfigurationError(
            file: file, line: node?.line ?? keyLine, key: path.isEmpty ? nil : path.joined(separator: "."),
            reason: reason)
    }

    /// Empty, or YAML's null: the key's default holds.
    var isNull: Bool {
        guard let node else { return true }
        guard case .scalar(let text, isPlain: true) = node.content else { return false }
        return ["", "~", "null", "Null", "NULL"].contains(text)
    }

    /// The entries of a mapping, in the file's order.
    func entries() throws(WebConfigurationError) -> [(key: String, value: YAMLReader)] {
        if isNull { return [] }
        guard case .mapping(let mapping) = node?.content else { throw wrong("must be a mapping of keys to values") }
        var entries: [(key: String, value: YAMLReader)] = []
        for (key, value) in mapping {
            guard case .scalar(let name, _) = key.content else { throw wrong("has a key that is no plain text") }
            entries.append(
                (name, YAMLReader(file: file, path: path + [name], node: value, keyLine: key.line)))
        }
        return entries
    }

    /// The entries of a mapping that knows only these keys.
    ///
    /// - Parameter faults: gets the others.
    func fields(
        _ known: Set<String>, faults: inout [WebConfigurationError]
    ) throws(WebConfigurationError) -> [String: YAMLReader] {
        var fields: [String: YAMLReader] = [:]
        for (key, value) in try entries() {
            guard known.contains(key) else {
                faults.append(value.wrong("unknown key; known here: \(known.sorted().joined(separator: ", "))"))
                continue
            }
            fields[key] = value
        }
        return fields
    }

    /// Any scalar's text, as it stands in the file; "" for null.
    func text() throws(WebConfigurationError) -> String {
        if isNull { return "" }
        guard case .scalar(let text, _) = node?.content else { throw wrong("must be a text") }
        return text
    }

    func flag(default standard: Bool) throws(WebConfigurationError) -> Bool {
        if isNull { return standard }
        guard case .scalar(let text, isPlain: true) = node?.content else { throw wrong("must be true or false") }
        switch text.lowercased() {
        case "true", "yes", "on", "y": return true
        case "false", "no", "off", "n": return false
        default: throw wrong("must be true or false")
        }
    }

    var isList: Bool {
        guard case .sequence = node?.content else { return false }
        return true
    }

    func list() throws(WebConfigurationError) -> [YAMLReader] {
        if isNull { return [] }
        guard case .sequence(let sequence) = node?.content else { throw wrong("must be a list") }
        return sequence.map { YAMLReader(file: file, path: path, node: $0, keyLine: keyLine) }
    }

    /// How often `*name` stands for what `&name` marks. Also where quotes or comments make it plain text: before the
    /// parser has seen the text, only it knows which.
    private static func aliases(in text: String) -> Int {
        let anchors = Set(text.matches(of: /&([A-Za-z0-9_-]+)/).map(\.1))
        return anchors.isEmpty ? 0 : text.matches(of: /\*([A-Za-z0-9_-]+)/).count { anchors.contains($0.1) }
    }
}

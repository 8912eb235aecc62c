/// What holds, and why.
struct ResolvedSettings: Sendable {
    enum Source: String, Sendable {
        case flag, environment, file
        case standard = "default"
    }

    struct Entry: Sendable {
        var setting: Setting
        /// Empty where nothing holds.
        var texts: [String]
        var source: Source

        /// What may be told of `texts`.
        var shown: [String] { setting.isSecret ? texts.map { _ in "(set)" } : texts }
    }

    /// In the order of the table.
    var entries: [Entry]
    /// The file that was read.
    var file: String?
    /// For the user; none of them keeps the daemon from running.
    var notices: [String]

    var settings: RunSettings {
        RunSettings(Dictionary(uniqueKeysWithValues: entries.map { ($0.setting.key, $0.texts) }))
    }

    /// Whether what is given another one's texts can be put in force at once, by key.
    func changes(to next: ResolvedSettings) -> (live: [Entry], restart: [Entry]) {
        let changed = zip(entries, next.entries).filter { $0.texts != $1.texts }.map(\.1)
        return (changed.filter(\.setting.reloads), changed.filter { !$0.setting.reloads })
    }

    /// Takes over what SIGHUP may change; the rest stays as the daemon started with it.
    mutating func take(_ next: ResolvedSettings) {
        for index in entries.indices where entries[index].setting.reloads { entries[index] = next.entries[index] }
    }
}

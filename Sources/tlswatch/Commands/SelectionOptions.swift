import ArgumentParser
import Handshakes

/// Which sessions a command is about, and what they are grouped by: fields of the JSON output.
struct SelectionOptions: ParsableArguments {
    @OptionGroup var condition: ConditionOption

    @Option(
        help: ArgumentHelp(
            "Group the summary by these fields: sessions, share failed, P50, P90, P99, maximum and where the time went, "
                + "for each combination of their values.",
            discussion:
                "Fields of the JSON output, and remote_net and local_port; remote is the address without a client's "
                + "port.", valueName: "field,field"),
        completion: .list(HandshakeKey.names))
    var by: String?

    var isEmpty: Bool { condition.text == nil && by == nil }

    func validate() throws { _ = try keys() }

    func validate(_ format: OutputFormat?) throws {
        if by != nil, let format, ![.summary, .json].contains(format) {
            throw ValidationError("--by is a summary: it cannot be combined with --format \(format.rawValue)")
        }
    }

    func keys() throws(ValidationError) -> [HandshakeKey] { try by.map(HandshakeKey.list) ?? [] }

    /// - Parameter format: as it was asked for.
    func selection(_ format: OutputFormat?, for file: OutputFile) -> SessionSelection {
        let keys = (try? keys()) ?? []
        return SessionSelection(
            format: format ?? (!keys.isEmpty ? .summary : file.isTerminal ? .table : .json),
            filter: condition.filter, keys: keys)
    }
}

/// `--where`
struct ConditionOption: ParsableArguments {
    @Option(
        name: .customLong("where"),
        help: ArgumentHelp(
            "Only sessions that meet this condition on the fields of the JSON output: 'duration_ns > 50ms and sni ~ example'.",
            discussion:
                "=, !=, <, >, <=, >=, ~ (regular expression), and, or, not, has FIELD, parentheses. docs/sessions.md "
                + "describes it.", valueName: "condition"))
    var text: String?

    func validate() throws {
        guard let text else { return }
        do {
            _ = try HandshakeFilter(text)
        } catch {
            throw ValidationError("--where: \(error)")
        }
    }

    /// Read before: `validate`.
    var filter: HandshakeFilter? { text.flatMap { try? HandshakeFilter($0) } }
}

extension HandshakeKey {
    /// `sni,cause`
    static func list(_ text: String) throws(ValidationError) -> [HandshakeKey] {
        let names = text.split(separator: ",", omittingEmptySubsequences: false).map { $0.filter { $0 != " " } }
        var keys: [HandshakeKey] = []
        for name in names {
            guard let key = named(name) else { throw ValidationError("--by: \(unknown(name))") }
            guard !keys.contains(where: { $0.name == name }) else { throw ValidationError("--by: \(name) twice") }
            keys.append(key)
        }
        guard keys.count <= mostKeys else { throw ValidationError("--by: more than \(mostKeys) fields") }
        return keys
    }

    /// More of them make every session a group.
    private static let mostKeys = 8
}

extension OutputFormat: ExpressibleByArgument {}

import ArgumentParser
import HandshakeProbe
import Handshakes

struct DiffCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "diff",
        abstract: "Compare two recordings by groups of sessions, the largest changes first. Needs no privileges.",
        discussion: """
            CHANGE is 'changed' if the share that failed, the P50 or, from 1000 sessions on, the P99 differs by \
            more than chance explains (three standard deviations), 'new' or 'gone' if only one recording has such sessions, else 'none'. MOST is the part of \
            the time whose mean changed most.

            EXAMPLES
              tlswatch diff before.tlswatch after.tlswatch --by sni
              tlswatch diff before.tlswatch after.tlswatch --by comm,remote_net --where 'role = client'
            """)

    enum Format: String, ExpressibleByArgument, CaseIterable {
        case text, json
    }

    @Argument(help: "The earlier recording, or - for standard input.", completion: .file())
    var before: String

    @Argument(help: "The later one, or - for standard input.", completion: .file())
    var after: String

    @Option(
        help: ArgumentHelp(
            "Fields of the JSON output whose values make the groups, as for 'replay'.",
            valueName: "field,field"), completion: .list(HandshakeKey.names))
    var by = "role,stack"

    @OptionGroup var condition: ConditionOption

    @Option(help: ArgumentHelp("Idle time after which a handshake counts as timed out.", valueName: "duration"))
    var handshakeTimeout: DurationArgument = .seconds(60)

    @Option(help: "text or json (one object for each group).")
    var format = Format.text

    func validate() throws {
        _ = try HandshakeKey.list(by)
        guard before != RecordingReader.standardInput || after != RecordingReader.standardInput else {
            throw ValidationError("only one of the two recordings can be standard input")
        }
    }

    func run() throws {
        try reporting {
            ignoreClosedPipes()
            let keys = try HandshakeKey.list(by)
            let changes = GroupChanges(before: try groups(before, keys), after: try groups(after, keys)).changes
            let file = try OutputFile(path: nil)
            let table = ChangeTable(keys: keys, width: file.columns)
            try file.write(format == .json ? table.json(changes) : table.text(changes))
        }
    }

    private func groups(_ path: String, _ keys: [HandshakeKey]) throws -> HandshakeGroups {
        let reader = try RecordingReader(path: path)
        let filter = condition.filter
        var groups = HandshakeGroups(by: keys)
        let result = Replay.run(reader, timeout: handshakeTimeout.nanoseconds) {
            (handshakes: [Handshake]) throws(Never) in
            for handshake in handshakes where filter?.passes(handshake) ?? true { groups.add(handshake) }
            return true
        }
        // Half of a recording says nothing about the other.
        if let cut = result.cut {
            throw CommandFailure(.input, "\(RecordingReader.name(of: path)): \(cut.description)")
        }
        return groups
    }
}

import ArgumentParser
import HandshakeProbe

struct TargetsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "targets",
        abstract:
            "List each TLS library or binary found, its stack and version, who maps it, and how it can be observed.",
        discussion: """
            Attaches nothing.

            EXAMPLES
              tlswatch targets
            """)

    func run() throws {
        try reporting {
            let out = try OutputFile(path: nil)
            let entries = LibrarySurvey.host()
            for entry in entries {
                let how = entry.observable ? "observable" : "not observable"
                try out.write("\(entry.path)\n  \(entry.stack) \(entry.version ?? "(version unknown)"), \(how)\n")
                let pids = entry.processes.sorted().prefix(12).map { String($0) }.joined(separator: " ")
                let more = entry.processes.count > 12 ? " and \(entry.processes.count - 12) more" : ""
                try out.write("  processes: \(entry.processes.isEmpty ? "none now" : pids + more)\n")
                for note in entry.notes { try out.write("  note: \(note)\n") }
            }
            if entries.isEmpty { try out.write("no TLS library found\n") }
        }
    }
}

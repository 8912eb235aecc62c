import ArgumentParser
import HandshakeProbe
import Handshakes
import Kernel

struct TargetsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "targets",
        abstract:
            "List the TLS libraries and binaries found, the processes that use them, and whether they can be observed.",
        discussion: """
            Attaches no probes.

            EXAMPLES
              tlswatch targets
              tlswatch targets --format json
            """)

    enum Format: String, ExpressibleByArgument, CaseIterable { case text, json }

    @Option(help: "text or json.")
    var format: Format = .text

    func run() throws {
        try reporting {
            let out = try OutputFile(path: nil)
            let entries = LibrarySurvey.host()
            if format == .json { return try out.write(json(entries)) }
            for entry in entries {
                let how = entry.observable ? "observable" : "not observable"
                let path = PeerText.clean(entry.path)
                try out.write("\(path)\n  \(entry.stack) \(entry.version ?? "(version unknown)"), \(how)\n")
                try out.write("  processes: \(Self.names(entry.processes))\n")
                for note in entry.notes { try out.write("  note: \(PeerText.clean(note))\n") }
            }
            if entries.isEmpty { try out.write("no TLS library found\n") }
            if !Privileges.current(rung: nil).missing.isEmpty {
                try out.write("other users' processes: skipped (needs CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH)\n")
            }
            try tellConnections(out, covered: entries.reduce(into: []) { $0.formUnion($1.processes) })
        }
    }

    /// Processes of a library that are named, at most.
    private static let mostNamed = 12

    /// `nginx 812 813, node 5120`: by their names.
    private static func names(_ pids: Set<UInt32>) -> String {
        guard !pids.isEmpty else { return "none now" }
        let shown = pids.sorted().prefix(mostNamed)
        let named = Dictionary(grouping: shown, by: { name(of: $0) ?? "(ended)" }).sorted { $0.value[0] < $1.value[0] }
        let words = named.map { name, pids in "\(name) \(pids.map { String($0) }.joined(separator: " "))" }
        let more = pids.count > mostNamed ? " and \(pids.count - mostNamed) more" : ""
        return words.joined(separator: ", ") + more
    }

    /// The process's name, made safe; `nil` if it has ended.
    private static func name(of pid: UInt32) -> String? {
        readTextFile("/proc/\(pid)/comm", limit: 64).map { PeerText.clean(String($0.prefix { $0 != "\n" })) }
    }

    // MARK: JSON

    private func json(_ entries: [LibrarySurvey.Entry]) -> [UInt8] {
        func process(_ pid: UInt32) -> JSONObject {
            var object = JSONObject()
            object.number("pid", UInt64(pid))
            object.text("comm", Self.name(of: pid))
            return object
        }
        let libraries = entries.map { entry in
            var object = JSONObject()
            object.text("path", PeerText.clean(entry.path))
            object.text("stack", entry.stack)
            object.text("version", entry.version)
            object.literal("observable", entry.observable ? "true" : "false")
            object.literal("processes", JSONObject.array(entry.processes.sorted().map(process)))
            object.literal("notes", JSONObject.array(entry.notes.map { PeerText.clean($0) }))
            return object
        }
        let covered = entries.reduce(into: Set<UInt32>()) { $0.formUnion($1.processes) }
        let holders = ConnectionSurvey.host()?.filter { !covered.contains($0.key) }.sorted { $0.key < $1.key }
        let others = holders?.map { pid, holder in
            var object = process(pid)
            object.text("exe", executablePath(of: pid).map { PeerText.clean($0) })
            object.number("port", UInt64(holder.port))
            object.literal("listening", holder.listening ? "true" : "false")
            object.number("connections", UInt64(holder.connections))
            return object
        }
        var object = JSONObject()
        object.literal("libraries", JSONObject.array(libraries))
        // Missing where it could not be looked at.
        object.literal("no_known_library", others.map { JSONObject.array($0) })
        object.literal("all_users", Privileges.current(rung: nil).missing.isEmpty ? "true" : "false")
        return object.finish() + [UInt8(ascii: "\n")]
    }

    /// Who holds connections on ports of TLS without a library that is known.
    private func tellConnections(_ out: OutputFile, covered: Set<UInt32>) throws {
        guard let holders = ConnectionSurvey.host() else {
            try out.write("connections on well-known TLS ports: skipped (needs CAP_BPF and CAP_PERFMON)\n")
            return
        }
        for (pid, holder) in holders.sorted(by: { $0.key < $1.key }) where !covered.contains(pid) {
            let name = PeerText.clean(executablePath(of: pid) ?? "unreadable executable")
            try out.write("\(name)\n  no known TLS library, not observable\n  processes: \(pid)\n")
            try out.write("  note: no_known_library: \(holder.summary)\n")
        }
    }
}

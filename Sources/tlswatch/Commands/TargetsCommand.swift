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
            """)

    func run() throws {
        try reporting {
            let out = try OutputFile(path: nil)
            let entries = LibrarySurvey.host()
            for entry in entries {
                let how = entry.observable ? "observable" : "not observable"
                let path = PeerText.clean(entry.path)
                try out.write("\(path)\n  \(entry.stack) \(entry.version ?? "(version unknown)"), \(how)\n")
                let pids = entry.processes.sorted().prefix(12).map { String($0) }.joined(separator: " ")
                let more = entry.processes.count > 12 ? " and \(entry.processes.count - 12) more" : ""
                try out.write("  processes: \(entry.processes.isEmpty ? "none now" : pids + more)\n")
                for note in entry.notes { try out.write("  note: \(PeerText.clean(note))\n") }
            }
            if entries.isEmpty { try out.write("no TLS library found\n") }
            if !Privileges.current(rung: nil).missing.isEmpty {
                try out.write("other users' processes: skipped (needs CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH)\n")
            }
            try tellConnections(out, covered: entries.reduce(into: []) { $0.formUnion($1.processes) })
        }
    }
    /// Who holds connections on ports of TLS without a library that is known.
    private func tellConnections(_ out: OutputFile, covered: Set<UInt32>) throws {
        guard let holders = ConnectionSurvey.host() else {
            try out.write("connections on well-known TLS ports: skipped (needs CAP_BPF and CAP_PERFMON)\n")
            return
        }
        for (pid, holder) in holders.sorted(by: { $0.key < $1.key }) where !covered.contains(pid) {
            let name = PeerText.clean(executablePath(of: pid) ?? "unreadable executable")
            var holds: [String] = holder.listening ? ["listens on port \(holder.port)"] : []
            if holder.connections > 0 {
                let port = holder.listening ? "" : " (port \(holder.port))"
                let count = holder.connections == 1 ? "1 connection" : "\(holder.connections) connections"
                holds.append("has \(count) on well-known TLS ports\(port)")
            }
            try out.write("\(name)\n  no known TLS library, not observable\n  processes: \(pid)\n")
            try out.write("  note: no_known_library: \(holds.joined(separator: ", and "))\n")
        }
    }
}

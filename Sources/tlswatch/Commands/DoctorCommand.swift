import Code
import ArgumentParser
import HandshakeProbe
import Handshakes
import Kernel

struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Check whether this host can be observed, and explain what is missing.",
        discussion: """
            Changes nothing: BPF programs are loaded to see whether the kernel accepts them, and attached only to a child \
            of tlswatch. Exit status: 69 if the kernel is not supported, 77 if a privilege is missing.

            EXAMPLES
              tlswatch doctor
              tlswatch doctor --format json
            """)

    enum Format: String, ExpressibleByArgument, CaseIterable { case text, json }

    @Option(help: "text or json.")
    var format: Format = .text

    func run() throws { try reporting(diagnose) }

    private func diagnose() throws {
        try Headroom.requireDescriptors(Headroom.observing, to: "try the kernel")
        let features = KernelFeatures.probe()
        let privileges = Privileges.current(rung: features.rungs.first)
        let returnProbes = ReturnProbes.tried(rung: features.rungs.first ?? .perf)
        let refusal = privileges.missing.isEmpty ? Self.refusal() : nil
        let trial =
            features.hasBTF && privileges.missing.isEmpty && refusal == nil
            ? features.rungs.first.map { KernelTrial.run(rung: $0, features: features) } : nil
        let libraries = LibrarySurvey.host()
        let out = try OutputFile(path: nil)
        try out.write(
            format == .json
                ? json(features, refusal, trial, returnProbes, privileges, libraries)
                : text(features, refusal, trial, returnProbes, privileges, libraries))
        if !features.hasBTF || trial?.programs != nil || !ProcessNamespace.isFirst {
            throw ExitCode(CommandFailure.Status.unsupported.rawValue)
        }
        if !privileges.missing.isEmpty || refusal != nil { throw ExitCode(CommandFailure.Status.privilege.rawValue) }
    }

    /// Why bpf(2) itself is refused; `nil` where it is not.
    private static func refusal() -> String? {
        do throws(BPFError) {
            try BPFAccess.require()
            return nil
        } catch {
            return error.description
        }
    }

    private func text(
        _ features: KernelFeatures, _ refusal: String?, _ trial: KernelTrial?, _ returnProbes: ReturnProbes,
        _ privileges: Privileges,
        _ libraries: [LibrarySurvey.Entry]
    ) -> String {
        var lines = ["Kernel \(features.release)"]
        let absence = features.isBTFHidden ? "cannot be seen: /sys is hidden from this process" : "missing"
        lines.append(mark(features.hasBTF, "BTF", features.hasBTF ? "present" : absence + ": nothing can be observed"))
        lines.append(
            mark(
                ProcessNamespace.isFirst, "processes",
                ProcessNamespace.isFirst
                    ? "all processes of the host"
                    : "only those of a pid namespace: nothing can be observed; use the host's (hostPID: true, --pid=host)"
            ))
        for rung in ProbeRung.allCases {
            let there = features.rungs.contains(rung)
            let inUse = features.rungs.first == rung
            let absence = features.isBTFHidden ? "unknown: BTF cannot be seen" : "not in this kernel"
            let used = inUse ? "in use (\(rung.loss))" : there ? "available" : absence
            lines.append(mark(there, "\(rung.rawValue) probes", used))
        }
        for tracepoint in Tracepoint.allCases {
            guard let sentence = features.sentence(on: tracepoint) else { continue }
            lines.append(mark(features.has(tracepoint), tracepoint.rawValue, sentence))
        }
        lines.append(mark(features.keepsRunDelay, "sched_info", features.runDelaySentence))
        for (good, name, detail) in trial?.sentences(features) ?? [] { lines.append(mark(good, name, detail)) }
        if let refusal { lines.append(mark(false, "bpf(2)", refusal)) }
        if trial == nil { lines.append(mark(false, "programs", "not tried (see what is missing)")) }
        lines.append(mark(returnProbes.allowed, "return probes", returnProbes.sentence))
        lines.append("Privileges")
        for capability in privileges.capabilities {
            lines.append(
                mark(
                    capability.held, capability.name,
                    (capability.held ? "held" : capability.required ? "MISSING" : "not held")
                        + " (\(capability.purpose))"))
        }
        lines.append("Packets (--wire, off by default)")
        for (good, name, detail) in PacketSupport.probe().sentences { lines.append(mark(good, name, detail)) }
        lines.append("TLS libraries")
        if libraries.isEmpty { lines.append("  none found in the linker cache or in running processes") }
        for library in libraries {
            lines.append("  \(library.path) (\(library.stack)\(library.version.map { " " + $0 } ?? ""))")
            for site in library.sites {
                lines.append("    \(site.symbol): \(cost(site))")
            }
            for note in library.notes { lines.append("    note: \(note)") }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private func cost(_ site: ProbeSite) -> String {
        switch (site.mode, site.isIndispensable) {
        case (.emulated, _): "emulated (< 1 µs per hit)"
        case (.singleStep, true): "single-stepped (some 15 µs per hit in a virtual machine)"
        case (.singleStep, false): "single-stepped (not probed)"
        }
    }

    private func mark(_ good: Bool, _ name: String, _ detail: String) -> String {
        "  \(good ? "ok " : "-- ")\(name): \(detail)"
    }

    private func json(
        _ features: KernelFeatures, _ refusal: String?, _ trial: KernelTrial?, _ returnProbes: ReturnProbes,
        _ privileges: Privileges,
        _ libraries: [LibrarySurvey.Entry]
    ) -> String {
        var object = JSONObject()
        object.text("kernel", features.release)
        object.literal("btf", "\(features.hasBTF)")
        object.text("probes", features.rungs.first?.rawValue)
        object.literal("probes_available", JSONObject.array(features.rungs.map(\.rawValue)))
        object.literal(
            "tracepoints_missing", JSONObject.array(Tracepoint.allCases.filter { !features.has($0) }.map(\.rawValue)))
        object.text("bpf_refused", refusal)
        if let trial {
            object.literal("programs_load", "\(trial.programs == nil)")
            object.text("programs_refused", trial.programs)
            object.literal("mapping_events", "\(trial.mappingEvents == nil)")
        }
        object.literal("run_delay", "\(features.keepsRunDelay)")
        object.literal("lists_processes", "\(features.listsProcesses)")
        object.literal("return_probes_safe", "\(returnProbes.allowed)")
        object.text("return_probes", returnProbes.sentence)
        object.literal("capabilities_missing", JSONObject.array(privileges.missing))
        let packets = PacketSupport.probe()
        object.text("control_groups", packets.root)
        object.literal("packets_permitted", "\(packets.isPermitted)")
        object.literal("libraries", "[" + libraries.map(\.json).joined(separator: ",") + "]")
        return String(decoding: object.finish(), as: UTF8.self) + "\n"
    }
}

extension LibrarySurvey.Entry {
    var json: String {
        var object = JSONObject()
        object.text("path", path)
        object.text("stack", stack)
        object.text("version", version)
        object.literal("observable", "\(observable)")
        object.literal("processes", "[" + processes.sorted().map { String($0) }.joined(separator: ",") + "]")
        object.literal(
            "sites",
            "["
                + sites.map { site in
                    var entry = JSONObject()
                    entry.text("symbol", site.symbol)
                    entry.text("mode", site.mode.rawValue)
                    return String(decoding: entry.finish(), as: UTF8.self)
                }.joined(separator: ",") + "]")
        object.literal("notes", JSONObject.array(notes))
        return String(decoding: object.finish(), as: UTF8.self)
    }
}

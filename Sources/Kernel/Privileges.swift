import CBPF
import Glibc

/// The capabilities that observing needs, and whether this process has them.
package struct Privileges: Sendable {
    package struct Capability: Sendable {
        package var name: String
        var bit: Int
        /// What it is needed for.
        package var purpose: String
        package var held: Bool
        /// Whether nothing is observed without it.
        package var required = true
    }

    package var capabilities: [Capability]

    /// Names of those missing that are required.
    package var missing: [String] { capabilities.filter { $0.required && !$0.held }.map(\.name) }

    /// Reads CapEff of this process (capabilities(7)).
    ///
    /// - Parameter rung: how probes are attached; `nil` where that is not known.
    /// - Parameter wire: whether packets are to be looked at.
    package static func current(rung: ProbeRung?, wire: Bool = false) -> Privileges {
        Privileges(effective: effectiveSet(), rung: rung, wire: wire)
    }

    /// CAP_SYS_ADMIN stands in for CAP_BPF and CAP_PERFMON. Perf events on functions need CAP_SYS_ADMIN itself in every
    /// kernel with the fix of CVE-2025-38466.
    package init(effective: UInt64, rung: ProbeRung?, wire: Bool = false) {
        func held(_ bit: Int) -> Bool { effective & (1 << UInt64(bit)) != 0 }
        let administrator = held(21)
        capabilities = [
            Capability(name: "CAP_BPF", bit: 39, purpose: "load BPF programs", held: held(39) || administrator),
            Capability(
                name: "CAP_PERFMON", bit: 38, purpose: "attach them to functions and see what processes map",
                held: held(38) || administrator),
            Capability(
                name: "CAP_SYS_PTRACE", bit: 19, purpose: "read which libraries other processes map", held: held(19)),
            Capability(
                name: "CAP_DAC_READ_SEARCH", bit: 2, purpose: "read those libraries, whoever owns them",
                held: held(2) || held(1)),
            Capability(
                name: "CAP_CHECKPOINT_RESTORE", bit: 40, purpose: "read libraries that were replaced while in use",
                held: held(40) || administrator, required: false),
            Capability(
                name: "CAP_LEASE", bit: 28,
                purpose: "delay in-place writes to a probed library until its probes are removed",
                held: held(28), required: false),
        ]
        if wire {
            capabilities.append(
                Capability(
                    name: "CAP_NET_ADMIN", bit: Self.networkAdministrator, purpose: "look at packets (--wire)",
                    held: held(Self.networkAdministrator)))
        }
        if rung == .perf {
            capabilities.append(
                Capability(
                    name: "CAP_SYS_ADMIN", bit: 21, purpose: "attach perf probes, the only type available here",
                    held: administrator))
        }
    }

    private static let networkAdministrator = 12

    // MARK: giving up

    /// What a listening socket on a low port needs, which the endpoint may be told to open.
    private static let bindService: UInt64 = 1 << 10
    private static let administrator: UInt64 = 1 << 21

    /// Leaves this thread, and those that it starts, what observing needs, and no way to more.
    ///
    /// - Throws: `BPFError` where the kernel does not take them; it always does.
    package static func keepForObserving(rung: ProbeRung, wire: Bool = false) throws(BPFError) {
        let held = effectiveSet()
        var kept = Privileges(effective: held, rung: rung, wire: wire).capabilities
            .reduce(bindService) { $0 | (1 << UInt64($1.bit)) }
        // CAP_DAC_OVERRIDE does what CAP_DAC_READ_SEARCH does, and more.
        if held & (1 << 2) == 0 { kept |= 1 << 1 }
        // Where it stands in for the two that came with Linux 5.8.
        if held & (1 << 38) == 0 || held & (1 << 39) == 0 { kept |= administrator }
        try keep(held & kept)
    }

    /// Leaves this thread, and those that it starts, no capability but that of a low port. Call when all threads that
    /// need one run.
    package static func keepForServing() throws(BPFError) { try keep(effectiveSet() & bindService) }

    private static func keep(_ set: UInt64) throws(BPFError) {
        let result = tlswatch_keep_capabilities(set)
        guard result == 0 else { throw .from(-result, operation: "give up capabilities") }
    }

    private static func effectiveSet() -> UInt64 {
        guard let status = readTextFile("/proc/thread-self/status") else { return geteuid() == 0 ? .max : 0 }
        for line in status.split(separator: "\n") where line.hasPrefix("CapEff:") {
            return UInt64(line.dropFirst(7).drop { $0 == "\t" || $0 == " " }, radix: 16) ?? 0
        }
        return 0
    }

    /// - Throws: `BPFError` of category `.privilege` that names what is missing.
    package func require() throws(BPFError) {
        let missing = missing
        guard missing.isEmpty else {
            throw BPFError(
                .privilege, statement: "missing capabilities: \(missing.joined(separator: ", "))",
                advice: "Run as root or grant them (capabilities(7))")
        }
    }
}

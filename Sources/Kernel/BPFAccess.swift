import CBPF
import Glibc

/// Whether bpf(2) answers a process that holds the capabilities for it. Filters and lockdowns refuse the call itself, and
/// libbpf would take its EPERM for a limit on memory.
package enum BPFAccess {
    /// Creates a map of four bytes and lets it go.
    ///
    /// - Throws: `BPFError` of category `.privilege` where the call is refused.
    package static func require() throws(BPFError) {
        let map = unsafe bpf_map_create(BPF_MAP_TYPE_ARRAY, "tlswatch_trial", 4, 4, 1, nil)
        if map >= 0 {
            close(map)
        } else if let refusal = refusal(-map, confinement: confinement) {
            throw refusal
        }
    }

    /// What may stand between this process and the kernel.
    enum Confinement {
        case seccomp, userNamespace, none
    }

    /// `nil` for an errno that is no refusal: what it means is found out by loading the programs.
    static func refusal(_ number: Int32, confinement: Confinement) -> BPFError? {
        guard number == EPERM || number == EACCES else { return nil }
        return switch confinement {
        case .seccomp:
            BPFError(
                .privilege, statement: "bpf(2) is refused (a seccomp filter or lockdown)", errno: number,
                advice: "This process runs under a seccomp filter: it must allow bpf and perf_event_open (docker run "
                    + "--security-opt seccomp=…, or SystemCallFilter= of the service)")
        case .userNamespace:
            BPFError(
                .privilege, statement: "bpf(2) is refused in a user namespace", errno: number,
                advice:
                    "Its capabilities do not count for the host's kernel. Run tlswatch in the initial user namespace")
        case .none:
            BPFError(
                .privilege, statement: "bpf(2) is refused (a seccomp filter or lockdown)", errno: number,
                advice: "All required capabilities are held: check kernel_lockdown(7) and the security modules of this "
                    + "kernel")
        }
    }

    private static var confinement: Confinement {
        let status = readTextFile("/proc/thread-self/status") ?? ""
        for line in status.split(separator: "\n") where line.hasPrefix("Seccomp:") && line.hasSuffix("2") {
            return .seccomp
        }
        // The initial one maps every number to itself (user_namespaces(7)).
        let map = (readTextFile("/proc/self/uid_map") ?? "").split { $0 == " " || $0 == "\n" }
        return map.isEmpty || map == ["0", "0", "4294967295"] ? .none : .userNamespace
    }
}

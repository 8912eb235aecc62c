import CBPF
import Glibc

/// The kernel tracepoints that the programs use, by their BTF names.
package enum Tracepoint: String, Sendable, CaseIterable {
    case socketState = "inet_sock_set_state"
    case socketSend = "sock_send_length"
    case socketReceive = "sock_recv_length"
    case socketRead = "tcp_rcv_space_adjust"
    /// Stands in for the two before it, which Linux 6.3 brought.
    case systemCallExit = "sys_exit"
    case processExec = "sched_process_exec"
    case processExit = "sched_process_exit"
    case processFork = "sched_process_fork"

    /// The BPF program on it.
    package var program: String {
        switch self {
        case .socketState: "socket_state"
        case .socketSend: "socket_send"
        case .socketReceive: "socket_receive"
        case .socketRead: "socket_read"
        case .systemCallExit: "system_call_exit"
        case .processExec: "process_exec"
        case .processExit: "process_exit"
        case .processFork: "process_fork"
        }
    }

    /// What is seen by it, for `doctor`.
    package var gain: String {
        switch self {
        case .socketState: "TCP connect times, first-record delays and closed sockets are observed"
        case .socketSend, .socketReceive, .systemCallExit: "sessions are matched to their sockets"
        case .socketRead: "it is known for how long bytes lay unread in the socket"
        case .processExec: "short-lived programs are named"
        case .processExit: "handshakes end with their process"
        case .processFork: "children of a selected process are observed with it"
        }
    }

    /// What is not seen without it, for `doctor`.
    package var loss: String {
        switch self {
        case .socketState: "TCP connect times, first-record delays and closed sockets are not observed"
        case .socketSend, .socketReceive, .systemCallExit: "sessions are not matched to sockets"
        case .socketRead: "bytes that the program leaves unread count as the peer's time"
        case .processExec: "the executable of a short-lived program may be missing from its sessions"
        case .processExit: "handshakes of killed processes end by timeout"
        case .processFork: "children of a selected process are not observed"
        }
    }
}

/// What the running kernel offers, read from its BTF.
package struct KernelFeatures: Sendable {
    /// `uname -r`.
    package var release: String
    /// Whether the kernel's types could be read (/sys/kernel/btf/vmlinux): nothing works without them.
    package var hasBTF: Bool
    /// Whether /sys is hidden from this process: what the kernel has cannot be told then.
    package var isBTFHidden = false
    package var rungs: [ProbeRung]
    package var tracepoints: Set<String>

    /// Whether the kernel lists what processes map (Linux 5.12).
    package var listsProcesses = false

    /// Whether the kernel keeps how long each thread waited for a processor (CONFIG_SCHED_INFO; without it `struct sched_info`
    /// is empty).
    package var keepsRunDelay = false
    /// Whether programs can read its structures without a helper (bpf_rdonly_cast, Linux 6.2).
    package var castsPointers = false

    /// What becomes of that, for `doctor`.
    package var runDelaySentence: String {
        if isBTFHidden { return "unknown: BTF cannot be seen" }
        return keepsRunDelay
            ? "available (a handshake's time is divided into CPU, run queue, unread and peer)"
            : "missing (CONFIG_SCHED_INFO): of a handshake's time only the CPU part is known"
    }

    package func has(_ tracepoint: Tracepoint) -> Bool { tracepoints.contains(tracepoint.rawValue) }

    /// Whether the program on a tracepoint is loaded: socket I/O is seen in one way only.
    package func uses(_ tracepoint: Tracepoint) -> Bool {
        let standsIn = !(has(.socketSend) && has(.socketReceive))
        switch tracepoint {
        case .socketSend, .socketReceive: return !standsIn
        case .systemCallExit: return standsIn && has(.systemCallExit)
        default: return has(tracepoint)
        }
    }

    /// What a tracepoint does here, or what is lost without it: a sentence for `doctor`. `nil` where nobody needs it.
    package func sentence(on tracepoint: Tracepoint) -> String? {
        switch tracepoint {
        case _ where isBTFHidden: return "unknown: BTF cannot be seen"
        case .systemCallExit where !uses(.socketSend):
            return has(.systemCallExit)
                ? "available (replaces the two above; adds a cost to every system call of the host)"
                : "missing (\(tracepoint.loss))"
        case .systemCallExit: return nil
        case .socketSend where uses(.systemCallExit), .socketReceive where uses(.systemCallExit):
            return "not in this kernel (added in Linux 6.3)"
        default: return has(tracepoint) ? "available (\(tracepoint.gain))" : "missing (\(tracepoint.loss))"
        }
    }

    /// The rung to use: the best there is, or the forced one.
    package func rung(forced: ProbeRung?) throws(BPFError) -> ProbeRung {
        guard hasBTF else {
            throw BPFError(
                .unsupported, operation: "observe handshakes on Linux \(release)",
                advice: isBTFHidden
                    ? "The kernel's type information (BTF) cannot be seen: /sys is hidden from this process. Mount sysfs "
                        + "on /sys (containers: --volume /sys:/sys:ro)"
                    : "The kernel has no type information (BTF, /sys/kernel/btf/vmlinux): it must be built with "
                        + "CONFIG_DEBUG_INFO_BTF=y")
        }
        if let forced {
            guard rungs.contains(forced) else {
                throw BPFError(
                    .unsupported, operation: "use \(forced.rawValue) probes",
                    advice: "Linux \(release) does not support them; it supports: "
                        + rungs.map(\.rawValue).joined(separator: ", "))
            }
            return forced
        }
        return rungs.first ?? .perf
    }

    /// Reads the running kernel.
    package static func probe() -> KernelFeatures {
        LibbpfLog.capture()
        var features = KernelFeatures(release: kernelRelease(), hasBTF: false, rungs: [], tracepoints: [])
        guard let btf = unsafe btf__load_vmlinux_btf() else {
            features.isBTFHidden = !isSysfs(above: "/sys/kernel/btf")
            return features
        }
        defer { unsafe btf__free(btf) }
        features.hasBTF = true
        // Not by bpf_session_is_return: since 6.10 sessions of kprobes have it.
        if unsafe tlswatch_btf_has_enumerator(btf, "bpf_attach_type", "BPF_TRACE_UPROBE_SESSION") {
            features.rungs.append(.session)
        }
        if unsafe btf__find_by_name_kind(btf, "bpf_uprobe_multi_link", UInt32(TLSWATCH_BTF_STRUCT)) > 0 {
            features.rungs.append(.multi)
        }
        features.rungs.append(.perf)
        features.listsProcesses =
            unsafe btf__find_by_name_kind(btf, "bpf_iter__task_vma", UInt32(TLSWATCH_BTF_STRUCT)) > 0
        features.castsPointers =
            unsafe btf__find_by_name_kind(btf, "bpf_rdonly_cast", UInt32(TLSWATCH_BTF_FUNC)) > 0
        features.keepsRunDelay = unsafe tlswatch_btf_has_member(btf, "sched_info", "run_delay")
        for tracepoint in Tracepoint.allCases
        where unsafe btf__find_by_name_kind(btf, "btf_trace_" + tracepoint.rawValue, UInt32(TLSWATCH_BTF_TYPEDEF)) > 0 {
            features.tracepoints.insert(tracepoint.rawValue)
        }
        return features
    }
}

/// Whether the nearest directory that exists, of `path` and those above it, is the kernel's own (sysfs).
func isSysfs(above path: String) -> Bool {
    var path = path
    while true {
        let result = unsafe tlswatch_is_sysfs(path)
        if result >= 0 { return result == 1 }
        guard let slash = path.lastIndex(of: "/"), slash > path.startIndex else { return false }
        path = String(path[..<slash])
    }
}

/// The running kernel's release, `6.1.0-50-amd64`.
func kernelRelease() -> String {
    var name = utsname()
    guard unsafe uname(&name) == 0 else { return "unknown" }
    return unsafe withUnsafeBytes(of: &name.release) { bytes in
        unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
}

import Glibc

/// The pid namespace that this process is in (pid_namespaces(7)). The kernel side tells process numbers of the first one:
/// in another they would name other processes, or none.
package enum ProcessNamespace {
    /// The first one's inode number (the kernel's include/linux/proc_ns.h, PROC_PID_INIT_INO).
    private static let first = "pid:[4026531836]"

    /// False in a container with processes of its own.
    package static var isFirst: Bool {
        guard let own = linkTarget("/proc/self/ns/pid") else { return true }
        return own == first
    }

    /// - Throws: `BPFError` of category `.unsupported` in another one.
    package static func require() throws(BPFError) {
        guard isFirst else {
            throw BPFError(
                .unsupported, operation: "observe from inside a pid namespace",
                advice:
                    "Process ids have another meaning there. Run it in the host's pid namespace: hostPID: true, or --pid=host"
            )
        }
    }
}

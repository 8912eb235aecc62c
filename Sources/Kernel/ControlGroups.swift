import CBPF
import Glibc

/// The host's control groups (cgroup v2), to which programs on packets are attached.
package enum ControlGroups {
    /// Where their hierarchy is mounted; `nil` where it is not, or hidden.
    package static func root() -> String? {
        // With the v1 hierarchies beside it, it lies in a directory of its own.
        ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].first { unsafe tlswatch_is_cgroup2($0) == 1 } ?? mounted()
    }

    /// Opens the directory of a group by its inode.
    ///
    /// - Parameter root: a descriptor of the hierarchy's root.
    /// - Returns: a descriptor, to be closed, and the path; `nil` where the group is gone.
    package static func open(inode: UInt64, root: Int32) -> (descriptor: Int32, path: String)? {
        let descriptor = tlswatch_open_cgroup(root, inode)
        guard descriptor >= 0 else { return nil }
        return (descriptor, linkTarget("/proc/self/fd/\(descriptor)") ?? "\(inode)")
    }

    private static func mounted() -> String? {
        guard let mounts = readTextFile("/proc/self/mounts") else { return nil }
        for line in mounts.split(separator: "\n") {
            let fields = line.split(separator: " ")
            // Paths with spaces are written with escapes, which nobody mounts this under.
            if fields.count > 2, fields[2] == "cgroup2" { return String(fields[1]) }
        }
        return nil
    }

    /// Whether programs that others attached to packets are at work on this group: ours cost less beside them.
    ///
    /// - Returns: how many, both ways; `nil` where the kernel does not tell.
    package static func programs(at path: String) -> Int? {
        let descriptor = unsafe Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        let counts = [TLSWATCH_CGROUP_INGRESS, TLSWATCH_CGROUP_EGRESS].map {
            tlswatch_cgroup_programs(descriptor, UInt32($0.rawValue))
        }
        guard counts.allSatisfy({ $0 >= 0 }) else { return nil }
        return Int(counts.reduce(0, +))
    }
}

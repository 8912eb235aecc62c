import Glibc
import Kernel

/// The host's own file system, which a service or a container of its own sees only in part: names of libraries that
/// programs will find later are to be looked up there.
enum HostView {
    /// Before every path: the first process's root where that process is in another mount namespace, else empty.
    static let root: String = {
        guard let own = linkTarget("/proc/self/ns/mnt"), let first = linkTarget("/proc/1/ns/mnt"), own != first else {
            return ""
        }
        // access(2) would leave capabilities out of it.
        var status = stat()
        return unsafe stat(firstRoot + "/etc", &status) == 0 ? firstRoot : ""
    }()

    private static let firstRoot = "/proc/1/root"
}

import Glibc

/// The host's own file system, which a service or a container of its own sees only in part: names of libraries that
/// programs will find later are to be looked up there.
enum HostView {
    /// Before every path: the first process's root where that process is in another mount namespace, else empty.
    static let root: String = {
        guard let own = namespace("/proc/self/ns/mnt"), let first = namespace("/proc/1/ns/mnt"), own != first else {
            return ""
        }
        // access(2) would leave capabilities out of it.
        var status = stat()
        return unsafe stat(firstRoot + "/etc", &status) == 0 ? firstRoot : ""
    }()

    private static let firstRoot = "/proc/1/root"

    /// `nil` where it may not be read.
    private static func namespace(_ link: String) -> String? {
        var buffer = [CChar](repeating: 0, count: 64)
        let count = unsafe readlink(link, &buffer, buffer.count)
        return count > 0 ? String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self) : nil
    }
}

import Glibc

/// A file by its inode: paths are reused (upgrades) and differ between mount namespaces.
public struct FileIdentity: Hashable, Sendable, Codable {
    public var device: UInt64
    public var inode: UInt64
}

/// An open file whose descriptor closes with it.
struct OpenFile: ~Copyable {
    let descriptor: Int32
    let identity: FileIdentity
    /// Bytes.
    let size: UInt64
    /// Nanoseconds of the last change of its content, since the epoch.
    let modified: Int
    /// The same of any change: nobody can set this one.
    let changed: Int
    /// Whether it had changed so shortly before it was opened that another change could bear the same time.
    let isFresh: Bool
    /// Nanoseconds: above the steps of the kernel's clock for files, 10 ms at most.
    private static let freshness = 20_000_000

    /// Opens for reading; `nil` with errno set if it cannot or it is no regular file.
    init?(_ path: String) {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            return nil
        }
        self.descriptor = descriptor
        size = UInt64(max(0, status.st_size))
        modified = Self.nanoseconds(status.st_mtim)
        changed = Self.nanoseconds(status.st_ctim)
        let age = Int(wallClockNow()) &- changed
        isFresh = age < Self.freshness
        identity = FileIdentity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
    }

    deinit { close(descriptor) }

    private static func nanoseconds(_ time: timespec) -> Int { time.tv_sec &* 1_000_000_000 &+ time.tv_nsec }

    /// Whether it holds what it held when it was opened, for sure.
    var isUnchanged: Bool {
        var status = stat()
        return unsafe !isFresh && fstat(descriptor, &status) == 0
            && Self.nanoseconds(status.st_ctim) == changed && UInt64(max(0, status.st_size)) == size
    }

    /// A path that leads to this very file, whatever has happened to its name.
    var magicPath: String { "/proc/self/fd/\(descriptor)" }
}

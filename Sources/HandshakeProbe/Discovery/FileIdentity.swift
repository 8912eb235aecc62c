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
        modified = status.st_mtim.tv_sec &* 1_000_000_000 &+ status.st_mtim.tv_nsec
        identity = FileIdentity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
    }

    deinit { close(descriptor) }

    /// A path that leads to this very file, whatever has happened to its name.
    var magicPath: String { "/proc/self/fd/\(descriptor)" }
}

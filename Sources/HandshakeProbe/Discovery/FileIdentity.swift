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
        identity = FileIdentity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
    }

    deinit { close(descriptor) }

    /// A path that leads to this very file, whatever has happened to its name.
    var magicPath: String { "/proc/self/fd/\(descriptor)" }
}

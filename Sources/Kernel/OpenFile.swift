import CBPF
import Glibc
import Synchronization

/// An open file. Its descriptor closes with it, or before that: closing may wait for a file system, so a foreign file is
/// opened and closed by `ForeignReader`'s thread.
package final class OpenFile: Sendable {
    /// Good until `close`.
    package let descriptor: Int32
    private let isClosed = Atomic(false)
    package let identity: FileIdentity
    /// Bytes.
    package let size: UInt64
    /// Nanoseconds of the last change of its content, since the epoch.
    package let modified: Int
    /// The same of any change: nobody can set this one.
    package let changed: Int
    /// Whether it had changed so shortly before it was opened that another change could bear the same time.
    package let isFresh: Bool
    /// Nanoseconds: above the steps of the kernel's clock for files, 10 ms at most.
    private static let freshness = 20_000_000

    /// Opens for reading; `nil` with errno set if it cannot or it is no regular file.
    package init?(_ path: String) {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            _ = Glibc.close(descriptor)
            return nil
        }
        self.descriptor = descriptor
        size = UInt64(max(0, status.st_size))
        modified = Self.nanoseconds(status.st_mtim)
        changed = Self.nanoseconds(status.st_ctim)
        let age = Int(wallClockNow()) &- changed
        isFresh = age < Self.freshness
        identity = FileIdentity(
            device: UInt64(status.st_dev), inode: UInt64(status.st_ino),
            origin: FileIdentity.Origin(descriptor: descriptor, changed: changed))
    }

    deinit { close() }

    /// Any thread, once nobody uses the descriptor any more.
    package func close() {
        if !isClosed.exchange(true, ordering: .relaxed) { _ = Glibc.close(descriptor) }
    }

    private static func nanoseconds(_ time: timespec) -> Int { time.tv_sec &* 1_000_000_000 &+ time.tv_nsec }

    /// Whether it holds what it held when it was opened, for sure.
    package var isUnchanged: Bool {
        var status = stat()
        return unsafe !isFresh && fstat(descriptor, &status) == 0
            && Self.nanoseconds(status.st_ctim) == changed && UInt64(max(0, status.st_size)) == size
    }

    /// errno where its first byte cannot be read: a file system whose server has gone opens its files still.
    package var readError: Int32? {
        var byte: UInt8 = 0
        return unsafe pread(descriptor, &byte, 1, 0) < 0 ? errno : nil
    }

    /// A path that leads to this very file, whatever has happened to its name.
    package var magicPath: String { "/proc/self/fd/\(descriptor)" }

    /// The name that the kernel has for it, as in /proc/PID/maps: one for a file, whichever links led to it.
    package var kernelPath: String? { linkTarget(magicPath) }

    /// Whether a server provides its file system, which may stop answering.
    package var isRemote: Bool { tlswatch_is_remote(descriptor) }
}

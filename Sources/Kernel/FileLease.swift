import CBPF
import Glibc

/// A read lease on a file (fcntl(2), F_SETLEASE): who opens it for writing waits as long as this value lives, or as
/// /proc/sys/fs/lease-break-time says.
package final class FileLease: Sendable {
    private let descriptor: Int32

    package enum Refusal: Error {
        /// Somebody has the file open for writing.
        case isBeingWritten
        /// The file is another user's and CAP_LEASE is missing; the file system has no leases.
        case notGiven
    }

    package init(_ file: OpenFile) throws(Refusal) {
        // The same open file, which outlives its first descriptor.
        let descriptor = fcntl(file.descriptor, F_DUPFD_CLOEXEC, 0)
        guard descriptor >= 0 else { throw .notGiven }
        let result = tlswatch_lease_take(descriptor)
        guard result == 0 else {
            close(descriptor)
            throw result == -EAGAIN ? .isBeingWritten : .notGiven
        }
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// Leads to the file itself, whatever became of its name, while this value lives.
    package var magicPath: String { "/proc/self/fd/\(descriptor)" }

    /// Readable once somebody waits for a lease; one for the process. Negative with errno set where there is none.
    package static func wantedDescriptor() -> Int32 { tlswatch_lease_wanted() }

    /// Whether somebody waits for it.
    package var isWanted: Bool { tlswatch_lease_is_wanted(descriptor) }
}

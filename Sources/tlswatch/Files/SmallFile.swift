import Glibc
import HandshakeProbe
import Kernel

/// Reading whole files that are small when all is well.
enum SmallFile {
    /// Bytes of a file, unless told otherwise.
    static let largest = 1 << 20

    /// What tells a changed file from an unchanged one without reading it. Both times: a file that replaces another
    /// can carry the old one's.
    struct Stamp: Equatable, Sendable {
        private var numbers: [Int] = []

        /// Of a file that cannot be asked, one that equals only another such one.
        init(_ path: String) {
            var status = stat()
            guard unsafe stat(path, &status) == 0 else { return }
            numbers = [
                Int(truncatingIfNeeded: status.st_dev), Int(truncatingIfNeeded: status.st_ino), Int(status.st_size),
                status.st_mtim.tv_sec, status.st_mtim.tv_nsec, status.st_ctim.tv_sec, status.st_ctim.tv_nsec,
            ]
        }
    }

    /// - Parameters:
    ///   - limit: the most bytes it may have.
    ///   - owner: the configuration file, and the key in it, that name the path: for the message.
    static func read(
        _ path: String, limit: Int = largest, for owner: (file: String, key: String?)
    ) throws(WebConfigurationError) -> [UInt8] {
        func wrong(_ reason: String) -> WebConfigurationError {
            let which = owner.file == path ? "" : "\(path): "
            return WebConfigurationError(file: owner.file, line: nil, key: owner.key, reason: which + reason)
        }
        // A pipe without a writer must not hold us.
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw wrong("cannot be read: \(errnoText(errno))") }
        defer { close(descriptor) }
        var status = stat()
        if unsafe fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFIFO {
            throw wrong("is a pipe, not a file")
        }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16 << 10)
        while true {
            let count = unsafe Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw wrong("cannot be read: \(errnoText(errno))") }
            guard count > 0 else { return bytes }
            bytes += chunk[..<count]
            guard bytes.count <= limit else { throw wrong("is longer than \(limit) bytes") }
        }
    }
}

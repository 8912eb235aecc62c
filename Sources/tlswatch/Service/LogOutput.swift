import Glibc
import Synchronization

/// The daemon's standard error. Whoever reads it may stop reading: that must not stop who measures or serves. Any thread.
enum LogOutput {
    /// What a pipe takes in one piece once it takes anything (pipe(7), PIPE_BUF).
    private static let longest = 4_096
    private static let patienceMilliseconds: Int32 = 50
    private static let turn = Mutex(())

    /// Writes one line, unless nobody takes it within a twentieth of a second. False then.
    @discardableResult static func write(_ line: String) -> Bool {
        var bytes = Array(line.utf8.prefix(longest - 1))
        bytes.append(UInt8(ascii: "\n"))
        return turn.withLock { _ in
            var output = pollfd(fd: 2, events: Int16(POLLOUT), revents: 0)
            guard unsafe poll(&output, 1, patienceMilliseconds) > 0 else { return false }
            return unsafe Glibc.write(2, bytes, bytes.count) == bytes.count
        }
    }
}

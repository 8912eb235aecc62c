import Glibc
import HandshakeProbe
import Kernel

/// A command that a capture starts and ends with.
struct ChildCommand {
    let pid: pid_t

    /// Starts it with this process's standard streams, default signal dispositions and no signal blocked.
    init(path: String, arguments: [String]) throws(CommandFailure) {
        var attributes = posix_spawnattr_t()
        unsafe posix_spawnattr_init(&attributes)
        defer { unsafe _ = posix_spawnattr_destroy(&attributes) }
        var defaults = sigset_t()
        unsafe sigemptyset(&defaults)
        for signal in [SIGINT, SIGTERM, SIGPIPE] { unsafe sigaddset(&defaults, signal) }
        unsafe posix_spawnattr_setsigdefault(&attributes, &defaults)
        var blocked = sigset_t()
        unsafe sigemptyset(&blocked)
        unsafe posix_spawnattr_setsigmask(&attributes, &blocked)
        unsafe posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK))
        var pointers = unsafe arguments.map { unsafe strdup($0) }
        unsafe pointers.append(nil)
        defer { unsafe pointers.forEach { unsafe free($0) } }
        var child: pid_t = 0
        let result = unsafe posix_spawn(&child, path, nil, &attributes, pointers, environ)
        guard result == 0 else { throw CommandFailure(.usage, "cannot run \(path): \(errnoText(result))") }
        pid = child
    }

    /// Waits for its end. Its exit status, or 128 + the signal that ended it, as shells tell it.
    func wait() -> Int32 {
        var status: Int32 = 0
        while unsafe waitpid(pid, &status, 0) < 0, errno == EINTR {}
        let signal = status & 0x7f
        return signal == 0 ? (status >> 8) & 0xff : 128 + signal
    }
}

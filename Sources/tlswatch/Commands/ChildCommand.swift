import Glibc
import HandshakeProbe
import Kernel

/// A command that a capture starts and ends with.
struct ChildCommand {
    let pid: pid_t

    /// Starts it with this process's standard streams, default signal dispositions and no signal blocked.
    ///
    /// - Parameter account: whom it runs as; `nil` for this process's own user.
    init(path: String, arguments: [String], as account: Account?) throws(CommandFailure) {
        do {
            pid = try startProgram(
                path, arguments: arguments, setting: account?.variables ?? [:], as: account?.credentials)
        } catch {
            throw Self.failure(error, path, account)
        }
    }

    private static func failure(_ error: ProgramStartError, _ path: String, _ account: Account?) -> CommandFailure {
        let user = account.map { " as user \($0.name)" } ?? ""
        let reason = errnoText(error.errno)
        return switch error.step {
        case .start: CommandFailure(.system, "cannot start a process for \(path): \(reason)")
        case .become:
            CommandFailure(.privilege, "cannot run \(path)\(user): \(reason). Run as root (CAP_SETUID, CAP_SETGID)")
        case .execute: CommandFailure(.usage, "cannot run \(path)\(user): \(reason)")
        }
    }

    /// Waits for its end. Its exit status, or 128 + the signal that ended it, as shells tell it.
    func wait() -> Int32 {
        var status: Int32 = 0
        while unsafe waitpid(pid, &status, 0) < 0, errno == EINTR {}
        let signal = status & 0x7f
        return signal == 0 ? (status >> 8) & 0xff : 128 + signal
    }
}

import CBPF

/// A process that asks whether the file system of a file answers (canary.c).
package struct Canary: Sendable {
    package let pid: Int32

    /// `nil` where no process can be started.
    package init?(asking path: String) {
        let pid = unsafe tlswatch_canary_start(path)
        guard pid > 0 else { return nil }
        self.pid = pid
    }

    /// Whether it has ended; waits for that, at most so long. Not to be asked again once it has.
    package func hasEnded(waiting milliseconds: Int32 = 0) -> Bool { tlswatch_canary_ended(pid, milliseconds) }
}

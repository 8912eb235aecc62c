import Dispatch
import Glibc
import HandshakeProbe
import Kernel

/// The signals that end a capture.
enum Interruptions {
    /// Calls `handler` for each, from a thread of its own, as long as the process lives. To be called while the process has
    /// one thread: they are blocked in all that it starts from then on, and wait for this one. None is lost, whenever it
    /// comes; a dispatch source loses those that come before it is registered, which nobody can wait for.
    static func take(_ handler: @escaping @Sendable () -> Void) throws(BPFError) {
        // A shell starts what runs in the background with SIGINT ignored; whoever sends one means it.
        for number in [SIGINT, SIGTERM] { _ = signal(number, SIG_DFL) }
        var taken = sigset_t()
        unsafe sigemptyset(&taken)
        for number in [SIGINT, SIGTERM] { unsafe sigaddset(&taken, number) }
        // Under nohup(1) it stays ignored; once blocked it would wait all the same.
        var hangUp = sigaction()
        unsafe sigaction(SIGHUP, nil, &hangUp)
        let isIgnored = unsafe hangUp.__sigaction_handler.sa_handler.map { unsafe unsafeBitCast($0, to: Int.self) } == 1
        if !isIgnored { unsafe sigaddset(&taken, SIGHUP) }
        unsafe pthread_sigmask(SIG_BLOCK, &taken, nil)
        try WorkerThread.start("tlswatch-signal", in: DispatchGroup()) { [taken] in
            var number: Int32 = 0
            var set = taken
            while true {
                if unsafe sigwait(&set, &number) == 0 { handler() }
            }
        }
    }
}

/// A reader that goes away is told by a failed write, and kills nothing.
func ignoreClosedPipes() { _ = signal(SIGPIPE, SIG_IGN) }

import Dispatch
import Glibc
import Kernel

/// Descriptors and threads that will be needed, asked for while it can still be said what is missing. Later the kernel's
/// answers to features that are tried would be mistaken for its abilities, and the libraries that serve HTTP end the
/// process with a trap.
package enum Headroom {
    /// Maps, programs, links and their like, with one library, measured at 43; and one for each processor's stream of what
    /// is mapped.
    package static var observing: Int { 46 + Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))) }
    /// The event loop, its wake-ups, the listening socket, the signals, and some connections.
    package static let serving = 24
    /// The program's own and the event loop's.
    private static let threads = 6
    /// The Swift runtime takes one for each core as it needs them; with these it gets on.
    private static let runtimeThreads = 8

    /// - Throws: `BPFError` of category `.system`.
    package static func requireDescriptors(_ count: Int, to operation: String) throws(BPFError) {
        var taken: [Int32] = []
        defer { for descriptor in taken { close(descriptor) } }
        while taken.count < count {
            let descriptor = fcntl(2, F_DUPFD_CLOEXEC, 0)
            guard descriptor >= 0 else {
                throw BPFError(
                    .system, operation: operation, errno: errno,
                    advice: "\(count) more are required; raise the limit (ulimit -n; LimitNOFILE= of the service)")
            }
            taken.append(descriptor)
        }
    }

    /// - Throws: `BPFError` of category `.system`.
    package static func requireThreads() throws(BPFError) {
        let gate = DispatchSemaphore(value: 0)
        let ended = DispatchGroup()
        var started = 0
        defer {
            for _ in 0..<started { gate.signal() }
            ended.wait()
        }
        while started < threads + min(runtimeThreads, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))) {
            try WorkerThread.start("tlswatch-trial", in: ended) { gate.wait() }
            started += 1
        }
    }
}

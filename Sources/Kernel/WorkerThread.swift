import CBPF
import Dispatch
import Glibc

/// Starts the threads of this program. Foundation's `Thread` says nothing when the kernel grants none, and whoever waits
/// for its work waits for ever.
package enum WorkerThread {
    private final class Box {
        let name: String
        let body: @Sendable () -> Void
        init(_ name: String, _ body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }
    }

    /// The calling thread's identifier, as /proc/self/task has it.
    package static var current: Int32 { tlswatch_thread() }

    /// Runs `body` on a thread of its own, detached.
    ///
    /// - Parameters:
    ///   - name: as ps(1) and top(1) show it, 15 bytes at most.
    ///   - group: entered until `body` has returned, for whoever waits for that.
    /// - Throws: `BPFError` of category `.system` where a limit is reached (pthread_create(3): EAGAIN).
    package static func start(
        _ name: String, in group: DispatchGroup, _ body: @escaping @Sendable () -> Void
    ) throws(BPFError) {
        group.enter()
        var attributes = pthread_attr_t()
        unsafe pthread_attr_init(&attributes)
        defer { unsafe _ = pthread_attr_destroy(&attributes) }
        unsafe pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        let box = unsafe Unmanaged.passRetained(
            Box(
                name,
                {
                    body()
                    group.leave()
                }))
        var thread = pthread_t()
        let result = unsafe pthread_create(
            &thread, &attributes,
            { argument in
                guard let argument = unsafe argument else { return nil }
                let box = unsafe Unmanaged<Box>.fromOpaque(argument).takeRetainedValue()
                unsafe tlswatch_name_thread(box.name)
                box.body()
                return nil
            }, box.toOpaque())
        guard result == 0 else {
            unsafe box.release()
            group.leave()
            throw BPFError(
                .system, operation: "start a thread", errno: result,
                advice:
                    "Raise the thread limit (ulimit -u; TasksMax= of the service; pids.max of the control group)")
        }
    }
}

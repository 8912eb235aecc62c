import Foundation
import Synchronization

/// The thread that looks for TLS in processes: everything at the start, new programs as they begin, all again from time
/// to time.
final class DiscoveryQueue: Sendable {
    private struct Due {
        var pid: UInt32
        /// Monotonic nanoseconds.
        var time: UInt64
    }

    private struct State {
        var due: [Due] = []
        var stopping = false
    }

    /// A program is looked at when it begins, and again when it may have loaded its libraries.
    private static let looks: [UInt64] = [0, 15_000_000, 60_000_000, 250_000_000, 1_000_000_000]
    private static let sweepInterval: UInt64 = 5_000_000_000
    /// Looks waiting, at most: past it the sweep has to find the rest.
    private static let capacity = 20_000

    private let catalog: LibraryCatalog
    private let options: EngineOptions
    private let state = Mutex(State())
    private let wake = DispatchSemaphore(value: 0)
    private let finished = DispatchGroup()

    init(catalog: LibraryCatalog, options: EngineOptions) {
        self.catalog = catalog
        self.options = options
    }

    private var sweepsHost: Bool { options.libraries.isEmpty && options.processes.isEmpty }

    /// What has to be attached before anything else happens.
    func first() throws(BPFError) {
        guard options.libraries.isEmpty else {
            for path in options.libraries { try add(library: path) }
            return
        }
        if options.processes.isEmpty || !options.commandFiles.isEmpty {
            catalog.addIfPresent(LinkerCache.libraries(["libssl.so", "libcrypto.so"]))
        }
        catalog.addIfPresent(options.commandFiles)
        if options.processes.isEmpty {
            catalog.sweep()
        } else {
            for pid in options.processes { catalog.look(at: pid) }
        }
    }

    private func add(library path: String) throws(BPFError) {
        guard let library = try catalog.add(path: path) else {
            throw BPFError(
                .input, operation: "observe \(path)", advice: "It holds no TLS library that tlswatch knows (OpenSSL)")
        }
        if case .unobserved(let reason, let detail) = library.state {
            throw BPFError(
                reason == .permission ? .privilege : .input, operation: "observe \(path)", advice: detail)
        }
        // Its libcrypto, for the key agreement: beside it, or where the linker finds it.
        let directory = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
        for soname in ["libcrypto.so.3", "libcrypto.so.1.1"] where path.hasSuffix(soname.dropFirst(9)) {
            catalog.addIfPresent([directory + soname] + (LinkerCache.path(of: soname).map { [$0] } ?? []))
        }
    }

    func start() {
        finished.enter()
        let thread = Thread { [self] in
            run()
            finished.leave()
        }
        thread.name = "tlswatch-find"
        thread.start()
    }

    func stop() {
        state.withLock { $0.stopping = true }
        wake.signal()
        finished.wait()
    }

    /// Programs that have just begun. Any thread; does not wait.
    func add(_ pids: [UInt32]) {
        guard options.libraries.isEmpty else { return }
        let now = monotonicNow()
        state.withLock { state in
            for pid in pids where state.due.count < Self.capacity {
                for delay in Self.looks { state.due.append(Due(pid: pid, time: now + delay)) }
            }
        }
        wake.signal()
    }

    private func run() {
        var swept = monotonicNow()
        while true {
            let now = monotonicNow()
            let (ready, next, stopping) = take(now)
            if stopping { return }
            for pid in ready { catalog.look(at: pid) }
            if sweepsHost, now - swept >= Self.sweepInterval {
                catalog.sweep()
                swept = monotonicNow()
            }
            let wait = min(next.map { $0 > now ? $0 - now : 0 } ?? Self.sweepInterval, Self.sweepInterval)
            _ = wake.wait(timeout: .now() + .nanoseconds(Int(wait)))
        }
    }

    private func take(_ now: UInt64) -> (ready: Set<UInt32>, next: UInt64?, stopping: Bool) {
        state.withLock { state in
            let ready = Set(state.due.lazy.filter { $0.time <= now }.map(\.pid))
            state.due.removeAll { $0.time <= now }
            return (ready, state.due.lazy.map(\.time).min(), state.stopping)
        }
    }
}

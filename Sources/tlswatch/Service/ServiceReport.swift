import Glibc
import HandshakeProbe
import Logging
import ServiceLifecycle

/// Tells the service manager how the daemon fares, from ready to stopping. Without a manager it does nothing.
struct ServiceReport: Service {
    /// How often the status line is renewed where no watchdog asks for more.
    private static let statusInterval: UInt64 = 10_000_000_000

    let engine: Engine
    let logger: Logger
    private let notifier = ServiceNotifier.current()

    init(engine: Engine, logger: Logger) {
        self.engine = engine
        self.logger = logger
    }

    /// Call when the first scrape can be answered.
    func ready() {
        send("READY=1\nSTATUS=\(status)")
    }

    func run() async throws {
        guard notifier != nil else {
            try? await gracefulShutdown()
            return
        }
        var watchdog = Watchdog(
            microseconds: environment("WATCHDOG_USEC"), process: environment("WATCHDOG_PID"), own: getpid())
        var stuck = false
        while await pause(watchdog?.interval ?? Self.statusInterval) {
            if watchdog?.mayFeed(drained: engine.snapshot?.drained ?? 0) == false {
                // Told once: what comes next is the manager's restart, or the way back.
                if !stuck {
                    logger.error("the ring buffer is not being drained: the watchdog is not notified")
                    send("STATUS=the ring buffer is not being drained")
                }
                stuck = true
            } else {
                stuck = false
                send((watchdog == nil ? "" : "WATCHDOG=1\n") + "STATUS=\(status)")
            }
        }
        send("STOPPING=1\nSTATUS=stopping")
    }

    /// True when the time has passed, false when it is time to stop.
    private func pause(_ nanoseconds: UInt64) async -> Bool {
        let passed: Void? = try? await cancelWhenGracefulShutdown {
            try await Task.sleep(nanoseconds: nanoseconds)
        }
        return passed != nil
    }

    private var status: String {
        let attached = engine.catalog.libraries.count { $0.state == .attached }
        let ended = engine.snapshot?.outcomes.values.reduce(0, +) ?? 0
        return "observing \(attached) TLS libraries, \(ended) handshakes seen"
    }

    private func send(_ message: String) {
        guard let notifier else { return }
        do {
            try notifier.send(message)
        } catch {
            logger.warning("\(error)")
        }
    }
}

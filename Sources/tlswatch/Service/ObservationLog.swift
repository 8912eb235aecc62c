import HandshakeProbe
import Logging
import ServiceLifecycle

/// Logs what comes under observation and leaves it, and what is lost, a second late at most.
struct ObservationLog: Service {
    private static let interval: UInt64 = 1_000_000_000

    let engine: Engine
    let logger: Logger

    func run() async throws {
        var changes = ObservationChanges()
        while true {
            for change in changes.take(libraries: engine.catalog.libraries, lost: engine.snapshot?.lost ?? 0) {
                let metadata = Logger.Metadata(
                    change.facts.map { ($0.name, .string($0.value)) }, uniquingKeysWith: { $1 })
                logger.log(level: change.weight.level, "\(change.message)", metadata: metadata)
            }
            let passed: Void? = try? await cancelWhenGracefulShutdown {
                try await Task.sleep(nanoseconds: Self.interval)
            }
            if passed == nil { return }
        }
    }
}

extension ObservationChanges.Weight {
    fileprivate var level: Logger.Level {
        switch self {
        case .routine: .info
        case .noteworthy: .notice
        case .grave: .warning
        }
    }
}

import HandshakeProbe
import Logging
import ServiceLifecycle

/// Logs what comes under observation and leaves it, and what is lost, as it is noticed.
struct ObservationLog: Service {
    let engine: Engine
    let logger: Logger

    func run() async throws {
        var changes = ObservationChanges()
        for await _ in engine.observations.cancelOnGracefulShutdown() {
            for change in changes.take(libraries: engine.catalog.libraries, lost: engine.snapshot?.lost ?? 0) {
                let metadata = Logger.Metadata(
                    change.facts.map { ($0.name, .string($0.value)) }
                        + change.numbers.map { ($0.name, .stringConvertible($0.value)) },
                    uniquingKeysWith: { $1 })
                logger.log(level: change.weight.level, "\(change.message)", metadata: metadata)
            }
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

import HandshakeProbe
import Handshakes
import Logging
import ServiceLifecycle
import Synchronization
import UnixSignals

/// Whether the settings in force are those that were read last. For any thread.
final class ReloadOutcome: Sendable {
    /// Those of the start were read without a fault: else there was none.
    private let succeeded = Atomic(true)

    func set(succeeded value: Bool) { succeeded.store(value, ordering: .relaxed) }

    var samples: [FamilySample] {
        [FamilySample(MetricCatalogue.configReloadSuccessful, succeeded.load(ordering: .relaxed) ? 1 : 0)]
    }
}

/// Reads the settings again on each SIGHUP. What is wrong leaves the old ones in force.
struct ReloadService: Service {
    let sources: SettingSources
    let started: ResolvedSettings
    let engine: Engine
    let logFormat: SharedLogFormat
    let logger: Logger
    /// Trapped from before the daemon was ready: none is lost, none ends it.
    let signals: UnixSignalsSequence
    let outcome = ReloadOutcome()

    func run() async throws {
        var inForce = started
        for await _ in signals.cancelOnGracefulShutdown() { reload(&inForce) }
    }

    private func reload(_ inForce: inout ResolvedSettings) {
        let next: ResolvedSettings
        do {
            next = try sources.resolve()
        } catch {
            outcome.set(succeeded: false)
            for one in error.errors {
                logger.error("invalid configuration, the old settings stay in force: \(one.message)")
            }
            return
        }
        outcome.set(succeeded: true)
        for notice in next.notices { logger.warning("\(notice)") }
        let changes = inForce.changes(to: next)
        inForce.take(next)
        let settings = inForce.settings
        engine.reconfigure(EngineTuning(settings.engine))
        logFormat.set(settings.logFormat, settings.logLevel)
        let changed = changes.live.map { "\($0.setting.key)=\($0.shown.joined(separator: ","))" }
        var metadata: Logger.Metadata = [:]
        if let file = next.file { metadata["file"] = "\(file)" }
        if !changed.isEmpty { metadata["changed"] = "\(changed.joined(separator: " "))" }
        logger.info(
            changed.isEmpty ? "configuration reloaded, no changes" : "configuration reloaded", metadata: metadata)
        if !changes.restart.isEmpty {
            let keys = changes.restart.map(\.setting.key).joined(separator: ", ")
            logger.warning("changed settings that require a restart: \(keys)")
        }
    }
}

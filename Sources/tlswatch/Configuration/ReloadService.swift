import HandshakeProbe
import Logging
import ServiceLifecycle
import Synchronization
import UnixSignals

/// Reads the settings again on each SIGHUP. What is wrong leaves the old ones in force.
struct ReloadService: Service {
    let sources: SettingSources
    let started: ResolvedSettings
    let engine: Engine
    let logFormat: SharedLogFormat
    let logger: Logger
    /// Trapped from before the daemon was ready: none is lost, none ends it.
    let signals: UnixSignalsSequence

    func run() async throws {
        var inForce = started
        for await _ in signals.cancelOnGracefulShutdown() { reload(&inForce) }
    }

    private func reload(_ inForce: inout ResolvedSettings) {
        let next: ResolvedSettings
        do {
            next = try sources.resolve()
        } catch {
            logger.error("settings not taken; the former ones stay in force: \(error.message)")
            return
        }
        for notice in next.notices { logger.warning("\(notice)") }
        let changes = inForce.changes(to: next)
        inForce.take(next)
        let settings = inForce.settings
        engine.reconfigure(EngineTuning(settings.engine))
        logFormat.set(settings.logFormat)
        let changed = changes.live.map { "\($0.setting.key)=\($0.texts.joined(separator: ","))" }
        logger.info(
            "settings read again",
            metadata: [
                "file": "\(next.file ?? "none")",
                "changed": "\(changed.isEmpty ? "nothing" : changed.joined(separator: " "))",
            ])
        if !changes.restart.isEmpty {
            let keys = changes.restart.map(\.setting.key).joined(separator: ", ")
            logger.warning("these settings have changed and take a restart: \(keys)")
        }
    }
}

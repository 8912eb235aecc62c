import HandshakeProbe
import Logging
import Synchronization

/// A web configuration in force, with what it names already read.
struct LoadedConfiguration: Sendable {
    var settings = WebConfiguration()
    var security: EndpointSecurity?
    var limiter: RateLimiter?

    /// Without a file: plain HTTP for everybody.
    init() {}

    /// - Parameter file: where the settings are from, for messages.
    init(_ settings: WebConfiguration, file: String) throws(WebConfigurationError) {
        self.settings = settings
        if let tls = settings.tls { security = try EndpointSecurity(tls, file: file) }
        limiter = settings.rateLimit.map { RateLimiter($0) }
    }
}

extension LoadedConfiguration {
    /// What others can do to an endpoint on `address` that lacks protection; `nil` on loopback, and where nothing is
    /// amiss. TLS without passwords is somebody's choice: a network that is closed, or client certificates.
    func exposure(on address: ListenAddress) -> String? {
        guard !address.isLoopback, settings.tls == nil else { return nil }
        return settings.users.isEmpty
            ? "the endpoint listens beyond loopback without TLS or passwords: everyone who can connect can read the "
                + "metrics and the status page; see --web.config.file"
            : "the endpoint listens beyond loopback without TLS: passwords and metrics are sent unencrypted; see "
                + "tls_server_config in the web configuration file"
    }
}

/// The web configuration file: asked at each connection and request, read again when it or a file that it names has
/// changed. What cannot be used leaves the old one in force and is told once. For any thread.
final class WebConfigurationSource: Sendable {
    /// One reading, and what must change before the next: also of one that failed.
    private struct Reading {
        var stamps: [String: SmallFile.Stamp] = [:]
        var result: Result<LoadedConfiguration, WebConfigurationError> = .success(LoadedConfiguration())

        init() {}

        /// Stamps before it reads: what changes meanwhile is found the next time.
        init(path: String) {
            stamps[path] = SmallFile.Stamp(path)
            do {
                let settings = try WebConfiguration(path: path)
                for file in settings.files { stamps[file] = SmallFile.Stamp(file) }
                result = .success(try LoadedConfiguration(settings, file: path))
            } catch {
                result = .failure(error)
            }
        }

        var isStale: Bool { stamps.contains { $0.value != SmallFile.Stamp($0.key) } }
    }

    private struct State {
        var inForce: LoadedConfiguration
        var last: Reading
    }

    private let path: String?
    private let logger: Logger
    private let state: Mutex<State>

    /// - Parameter path: `nil` for plain HTTP.
    /// - Throws: `WebConfigurationError`: the file, or one that it names, cannot be used.
    init(path: String?, logger: Logger) throws(WebConfigurationError) {
        self.path = path
        self.logger = logger
        let reading = path.map { Reading(path: $0) } ?? Reading()
        let loaded = try reading.result.get()
        state = Mutex(State(inForce: loaded, last: reading))
        tell(loaded)
    }

    /// What is in force now.
    func current() -> LoadedConfiguration {
        state.withLock { state in
            guard let path, state.last.isStale else { return state.inForce }
            state.last = Reading(path: path)
            do {
                let next = try state.last.result.get()
                guard (next.security == nil) == (state.inForce.security == nil) else {
                    throw WebConfigurationError(
                        file: path, line: nil, key: "tls_server_config",
                        reason: "turning TLS on or off requires a restart")
                }
                state.inForce = next
                logger.info("web configuration reloaded", metadata: ["file": "\(path)"])
                tell(next)
            } catch {
                logger.error("invalid web configuration, the old one stays in force: \(error)")
            }
            return state.inForce
        }
    }

    private func tell(_ loaded: LoadedConfiguration) {
        for notice in loaded.settings.notices { logger.notice("\(notice)", metadata: ["file": "\(path ?? "")"]) }
    }
}

import Foundation
import Kernel
import Logging
import NIOCore
import ServiceLifecycle
import Synchronization
import TestSupport

@testable import HandshakeProbe
@testable import Handshakes
@testable import tlswatch

/// The lines that a server under test logs.
final class LogLines: Sendable {
    private let lines = Mutex<[String]>([])

    var all: [String] { lines.withLock { $0 } }

    var logger: Logger { Logger(label: "test") { _ in Handler(log: self) } }

    private struct Handler: LogHandler {
        let log: LogLines
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.info

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            log.lines.withLock { $0.append("\(event.level) \(event.message)") }
        }
    }
}

/// A metrics server on a free loopback port, over published values of the test's own.
struct TestServer: Sendable {
    let port: Int
    let accounts: EndpointAccounts
    let log: LogLines

    func rejected(_ reason: RequestRejection) -> UInt64 {
        accounts.sample().rejected.first { $0.reason == reason.rawValue }?.count ?? 0
    }

    func connect(receiveBuffer: Int32? = nil) async throws -> RawClient {
        let port = port
        return try await blocking { try RawClient(port: port, receiveBuffer: receiveBuffer) }
    }

    /// The answer to one plain GET on a connection of its own.
    func get(_ path: String, _ headers: String = "") async throws -> Answer {
        let client = try await connect()
        try await client.send("GET \(path) HTTP/1.1\r\nHost: localhost\r\n\(headers)\r\n")
        return try await client.answer()
    }
}

func serving<Value: Sendable>(
    _ source: MetricsSource = .quiet, addresses: [String] = ["127.0.0.1:0"],
    telemetryPath: String = TelemetryPath.standard, limits: EndpointLimits = EndpointLimits(),
    webConfiguration: String? = nil,
    _ body: (TestServer) async throws -> Value
) async throws -> Value {
    let log = LogLines()
    let (ports, listening) = AsyncStream.makeStream(of: Int.self)
    let server = MetricsServer(
        source: source, addresses: addresses.compactMap { ListenAddress(argument: $0) },
        telemetryPath: telemetryPath,
        configuration: try WebConfigurationSource(path: webConfiguration, logger: log.logger), limits: limits,
        logger: log.logger, onListening: { listening.yield($0.port) })
    let group = ServiceGroup(services: [server], logger: log.logger)
    let running = Task {
        defer { listening.finish() }
        try await group.run()
    }
    guard let port = await ports.first(where: { _ in true }) else {
        try await running.value
        throw HarnessError("the server ended at once")
    }
    let result: Result<Value, any Error>
    do {
        result = .success(try await body(TestServer(port: port, accounts: server.accounts, log: log)))
    } catch {
        result = .failure(error)
    }
    await group.triggerGracefulShutdown()
    try await running.value
    return try result.get()
}

extension EngineSnapshot {
    static func with(_ metrics: MetricsSnapshot, drained: UInt64 = monotonicNow()) -> EngineSnapshot {
        EngineSnapshot(
            metrics: metrics, status: StatusFixtures.edge, outcomes: [:], inFlight: 0, lost: 0, rejected: 0,
            drained: drained)
    }
}

extension MetricsSource {
    /// A daemon that has seen nothing.
    static var quiet: MetricsSource {
        MetricsSource(
            snapshot: {
                var registry = MetricsRegistry(version: "test")
                return .with(registry.snapshot(now: monotonicNow()))
            }, libraries: { [.attached] })
    }

    /// An answer of so many KiB.
    static func large(kibibytes: Int) -> MetricsSource {
        var series = Series<UInt64>()
        for number in 0..<kibibytes {
            let value = "\(number)" + String(repeating: "x", count: 1024)
            series.append(LabelSet(names: ["reason"], values: [value]), UInt64(number))
        }
        let family = MetricFamily(MetricCatalogue.eventsRejected, .integers(series))
        let metrics = MetricsSnapshot(time: 1, families: [family])
        return MetricsSource(snapshot: { .with(metrics) }, libraries: { [.attached] })
    }
}

import Foundation
import HandshakeProbe
import HTTPTypes
import Hummingbird
import HummingbirdCore
import Logging
import NIOPosix
import ServiceLifecycle

/// The HTTP side: reads published snapshots, and no kernel handle.
struct MetricsServer: Service {
    let source: MetricsSource
    let address: ListenAddress
    let configuration: WebConfigurationSource
    var limits = EndpointLimits()
    let accounts = EndpointAccounts()
    let logger: Logger
    /// Called once with the port that it listens on.
    var onListening: @Sendable (Int) -> Void = { _ in }

    /// One event loop, for as long as the process: what peers have begun may come to its end behind the last answer.
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)

    /// Serves until the graceful shutdown.
    func run() async throws { try await application().run() }

    private func application() -> some ApplicationProtocol {
        var quiet = logger
        quiet.logLevel = .warning
        let onListening = onListening
        let connections = OpenConnections(limit: limits.openConnections)
        return Application(
            router: router(),
            server: HTTPServerBuilder { [limits, accounts, configuration] responder in
                EndpointChannel(
                    responder: responder, limits: limits, accounts: accounts, configuration: configuration,
                    connections: connections)
            },
            configuration: .init(
                address: .hostname(address.host, port: address.port), serverName: "tlswatch",
                availableConnectionsDelegate: .maximum(limits.mostConnections, logger: quiet)),
            onServerRunning: { [logger] channel in
                try? await channel.eventLoop.submit {
                    try channel.pipeline.syncOperations.addHandler(AcceptPause(logger: logger), position: .first)
                }.get()
                if let port = channel.localAddress?.port { onListening(port) }
            },
            eventLoopGroupProvider: .shared(group),
            logger: quiet)
    }

    private func router() -> Router<EndpointContext> {
        // HEAD is GET without the body, which Admission takes off.
        let router = Router(context: EndpointContext.self, options: .autoGenerateHeadEndpoints)
        router.add(
            middleware: Admission(
                configuration: configuration,
                authentication: BasicAuthentication(waitingLimit: limits.waitingPasswords), accounts: accounts))
        let metrics = MetricsRoute(
            source: source, accounts: accounts, gate: ScrapeGate(places: limits.concurrentScrapes))
        router.get("/metrics") { request, context -> Response in metrics.respond(to: request, context) }
        router.get("/healthz") { _, _ -> Response in plain(.ok, "ok\n") }
        router.get("/readyz") { [source] _, _ -> Response in
            let missing = source.missing
            guard missing.isEmpty else {
                return plain(.serviceUnavailable, "not ready: \(missing.joined(separator: "; "))\n")
            }
            return plain(.ok, "ready\n")
        }
        let host = ProcessInfo.processInfo.hostName
        router.get("/") { [source] _, _ -> Response in
            guard let status = source.snapshot()?.status else { return plain(.serviceUnavailable, "starting\n") }
            return statusPage(status, host: host)
        }
        return router
    }
}

private func statusPage(_ status: StatusSnapshot, host: String) -> Response {
    var headers = HTTPFields()
    for (name, value) in StatusPage.headers {
        if let name = HTTPField.Name(name) { headers[name] = value }
    }
    let body = StatusPage.render(status, version: Version.current, host: host)
    return Response(status: .ok, headers: headers, body: .init(byteBuffer: ByteBuffer(bytes: body)))
}

import FoundationEssentials
import HTTPTypes
import HandshakeProbe
import Handshakes
import Hummingbird
import HummingbirdCore
import Kernel
import Logging
import NIOHTTP1
import NIOPosix
import ServiceLifecycle
import Synchronization

/// The HTTP side: reads published snapshots, and no kernel handle.
struct MetricsServer: Service {
    let source: MetricsSource
    /// Each has a socket of its own; the limits are of all together.
    let addresses: [ListenAddress]
    /// Of the metrics.
    var telemetryPath = TelemetryPath.standard
    let configuration: WebConfigurationSource
    var limits = EndpointLimits()
    let accounts = EndpointAccounts()
    let logger: Logger
    /// Called with each address that it listens on, its port as it was chosen.
    var onListening: @Sendable (ListenAddress) -> Void = { _ in }
    /// Called once it listens on all.
    var onReady: @Sendable () -> Void = {}

    /// One event loop, for as long as the process: what peers have begun may come to its end behind the last answer.
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)

    /// Serves until the graceful shutdown. Not as Hummingbird's `Application`: its cache of the date wakes the process every
    /// second, which is most of what an idle daemon would cost.
    func run() async throws {
        var quiet = logger
        quiet.logLevel = .warning
        let connections = OpenConnections(limit: limits.openConnections)
        let router = router().buildResponder()
        let waiting = Mutex(addresses.count)
        let listening: @Sendable () -> Void = { [onReady] in
            let isLast = waiting.withLock { count in
                count -= 1
                return count == 0
            }
            if isLast { onReady() }
        }
        // One that cannot be listened on ends the others.
        try await withThrowingTaskGroup(of: Void.self) { group in
            for address in addresses {
                let server = try server(on: address, router, connections, quiet, listening)
                group.addTask { try await server.run() }
            }
            // Not waitForAll, which waits for those that go on.
            for try await _ in group {}
        }
    }

    private func server(
        on address: ListenAddress, _ router: some HTTPResponder<EndpointContext>,
        _ connections: OpenConnections, _ quiet: Logger, _ onServing: @escaping @Sendable () -> Void
    ) throws -> any Service {
        try HTTPServerBuilder { [limits, accounts, configuration] responder in
            EndpointChannel(
                responder: responder, limits: limits, accounts: accounts, configuration: configuration,
                connections: connections)
        }.buildServer(
            configuration: .init(
                address: .hostname(address.host, port: address.port),
                availableConnectionsDelegate: .maximum(limits.mostConnections / addresses.count, logger: quiet)),
            eventLoopGroup: group, logger: quiet,
            responder: { [quiet] request, writer, channel in
                let context = EndpointContext(source: .init(channel: channel, logger: quiet))
                let response = try await Self.answer(request, by: router, context)
                do {
                    try await writer.write(response: response.head, body: response.body)
                } catch is HTTPParserError {
                    // As itself it would be answered, in the middle of the answer.
                    throw AnswerInterrupted()
                }
            },
            onServerRunning: { [logger, onListening] channel in
                try? await channel.eventLoop.submit {
                    try channel.pipeline.syncOperations.addHandler(AcceptPause(logger: logger), position: .first)
                }.get()
                if let bound = channel.localAddress, let host = bound.ipAddress, let port = bound.port {
                    onListening(ListenAddress(host: host, port: port))
                }
                onServing()
            })
    }

    private struct AnswerInterrupted: Error {}

    private static func answer(
        _ request: Request, by router: some HTTPResponder<EndpointContext>, _ context: EndpointContext
    ) async throws -> Response {
        var response: Response
        do {
            response = try await router.respond(to: request, context: context)
        } catch let error as HTTPParserError {
            throw error
        } catch {
            response = Response(status: .internalServerError)
        }
        response.headers[.date] = HTTPDate.text(seconds: Int(wallClockNow() / 1_000_000_000))
        response.headers[.server] = "tlswatch"
        return response
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
        router.get(RouterPath(telemetryPath)) { request, context -> Response in metrics.respond(to: request, context) }
        let sessions = SessionsRoute(source: source)
        router.get("/sessions") { request, _ -> Response in sessions.respond(to: request) }
        router.get("/healthz") { _, _ -> Response in plain(.ok, "ok\n") }
        router.get("/readyz") { [source] _, _ -> Response in
            let missing = source.missing
            guard missing.isEmpty else {
                return plain(.serviceUnavailable, "not ready: \(missing.joined(separator: "; "))\n")
            }
            return plain(.ok, "ready\n")
        }
        let host = ProcessInfo.processInfo.hostName
        router.get("/") { [source, telemetryPath] request, _ -> Response in
            guard let snapshot = source.snapshot(), let status = snapshot.status else {
                return plain(.serviceUnavailable, "starting\n")
            }
            let selection = PageSelection(SessionsRoute.parameters(of: request.uri.query ?? ""))
            let recent = snapshot.recent?.newest(StatusPage.mostRecent, where: selection.passes) ?? []
            return statusPage(status, recent: recent, host: host, metrics: telemetryPath, selection: selection)
        }
        return router
    }
}

private func statusPage(
    _ status: StatusSnapshot, recent: [Handshake], host: String, metrics: String, selection: PageSelection
) -> Response {
    var headers = HTTPFields()
    for (name, value) in StatusPage.headers {
        if let name = HTTPField.Name(name) { headers[name] = value }
    }
    let body = StatusPage.render(
        status, recent: recent, version: Version.current, host: host, metrics: metrics,
        selection: selection)
    return Response(
        status: selection.fault == nil ? .ok : .badRequest, headers: headers,
        body: .init(byteBuffer: ByteBuffer(bytes: body)))
}

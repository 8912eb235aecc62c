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

/// The HTTP side: reads published snapshots, and no kernel handle.
struct MetricsServer: Service {
    let source: MetricsSource
    let address: ListenAddress
    let configuration: WebConfigurationSource
    var limits = EndpointLimits()
    let accounts = EndpointAccounts()
    let logger: Logger
    /// Called once with the address that it listens on, its port as it was chosen.
    var onListening: @Sendable (ListenAddress) -> Void = { _ in }

    /// One event loop, for as long as the process: what peers have begun may come to its end behind the last answer.
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)

    /// Serves until the graceful shutdown. Not as Hummingbird's `Application`: its cache of the date wakes the process every
    /// second, which is most of what an idle daemon would cost.
    func run() async throws {
        var quiet = logger
        quiet.logLevel = .warning
        let connections = OpenConnections(limit: limits.openConnections)
        let router = router().buildResponder()
        let server = try HTTPServerBuilder { [limits, accounts, configuration] responder in
            EndpointChannel(
                responder: responder, limits: limits, accounts: accounts, configuration: configuration,
                connections: connections)
        }.buildServer(
            configuration: .init(
                address: .hostname(address.host, port: address.port),
                availableConnectionsDelegate: .maximum(limits.mostConnections, logger: quiet)),
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
            })
        try await server.run()
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
        router.get("/metrics") { request, context -> Response in metrics.respond(to: request, context) }
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
        router.get("/") { [source] _, _ -> Response in
            guard let snapshot = source.snapshot(), let status = snapshot.status else {
                return plain(.serviceUnavailable, "starting\n")
            }
            return statusPage(status, recent: snapshot.recent?.newest(StatusPage.mostRecent) ?? [], host: host)
        }
        return router
    }
}

private func statusPage(_ status: StatusSnapshot, recent: [Handshake], host: String) -> Response {
    var headers = HTTPFields()
    for (name, value) in StatusPage.headers {
        if let name = HTTPField.Name(name) { headers[name] = value }
    }
    let body = StatusPage.render(status, recent: recent, version: Version.current, host: host)
    return Response(status: .ok, headers: headers, body: .init(byteBuffer: ByteBuffer(bytes: body)))
}

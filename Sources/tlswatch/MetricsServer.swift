import HandshakeProbe
import Hummingbird
import Logging
import Synchronization

/// The HTTP side: reads published snapshots, and no kernel handle.
struct MetricsServer {
    /// The consumer counts as stuck after this long without a drain.
    private static let stuckAfter: UInt64 = 5_000_000_000

    let engine: Engine
    let address: ListenAddress
    let logger: Logger

    func application() -> some ApplicationProtocol {
        let router = Router()
        let scrapes = Scrapes()
        router.get("/metrics") { [engine] request, _ -> Response in
            scrape(request, engine, scrapes)
        }
        router.head("/metrics") { [engine] request, _ -> Response in
            var response = scrape(request, engine, scrapes)
            response.body = .init()
            return response
        }
        router.get("/healthz") { _, _ -> Response in plain(.ok, "ok\n") }
        router.get("/readyz") { [engine] _, _ -> Response in
            guard let snapshot = engine.snapshot, monotonicNow() &- snapshot.drained < Self.stuckAfter else {
                return plain(.serviceUnavailable, "the ring is not being drained\n")
            }
            return plain(.ok, "ready\n")
        }
        router.get("/") { _, _ -> Response in
            plain(.ok, "tlswatch \(Version.current)\n/metrics  /healthz  /readyz\n")
        }
        var quiet = logger
        quiet.logLevel = .warning
        return Application(
            router: router,
            configuration: .init(address: .hostname(address.host, port: address.port), serverName: "tlswatch"),
            logger: quiet)
    }
}

/// One scrape, in the format that was asked for, compressed if that was asked for too.
private func scrape(_ request: Request, _ engine: Engine, _ scrapes: Scrapes) -> Response {
    guard let snapshot = engine.snapshot else { return plain(.serviceUnavailable, "starting\n") }
    let begin = monotonicNow()
    let process = ProcessSample.current()
    let format = ExpositionFormat.negotiate(request.headers[.accept])
    var bytes: [UInt8] = []
    TextExposition.encode(
        snapshot.metrics.adding(process: process, scrape: scrapes.sample()), as: format, created: process.startTime,
        into: &bytes)
    var headers: HTTPFields = [.contentType: format.contentType, .vary: "Accept, Accept-Encoding"]
    if Gzip.isAccepted(request.headers[.acceptEncoding]), let compressed = Gzip.compress(bytes) {
        bytes = compressed
        headers[.contentEncoding] = "gzip"
    }
    scrapes.served(in: monotonicNow() - begin)
    return Response(status: .ok, headers: headers, body: .init(byteBuffer: ByteBuffer(bytes: bytes)))
}

private func plain(_ status: HTTPResponse.Status, _ text: String) -> Response {
    Response(
        status: status, headers: [.contentType: "text/plain; charset=utf-8"],
        body: .init(byteBuffer: ByteBuffer(string: text)))
}

/// The account of the scrapes themselves.
private final class Scrapes: Sendable {
    private let state = Mutex(ScrapeSample(served: 0, lastDuration: nil))

    func sample() -> ScrapeSample { state.withLock { $0 } }

    func served(in duration: UInt64) {
        state.withLock { $0 = ScrapeSample(served: $0.served + 1, lastDuration: duration) }
    }
}

import HTTPTypes
import HandshakeProbe
import Handshakes
import Hummingbird
import Kernel

/// `/metrics`: so many scrapes at a time, each from its beginning until its answer is taken.
struct MetricsRoute: Sendable {
    let source: MetricsSource
    let accounts: EndpointAccounts
    let gate: ScrapeGate

    func respond(to request: Request, _ context: EndpointContext) -> Response {
        guard let place = gate.enter() else {
            accounts.rejected(.busy)
            var response = plain(.serviceUnavailable, "Too many scrapes at a time; try again.\n")
            response.headers[.retryAfter] = "1"
            return response
        }
        context.hold(place)
        return scrape(request, source, accounts)
    }
}

/// One scrape, in the format that was asked for, compressed if that was asked for too.
private func scrape(_ request: Request, _ engine: MetricsSource, _ scrapes: EndpointAccounts) -> Response {
    guard let snapshot = engine.snapshot() else { return plain(.serviceUnavailable, "starting\n") }
    let begin = monotonicNow()
    let process = ProcessSample.current()
    let exposition = Exposition.negotiate(request.headers[.accept])
    let metrics = snapshot.metrics.adding(process.samples + scrapes.sample().samples + engine.samples())
    var bytes: [UInt8] = []
    if exposition.format == .protobuf {
        ProtobufExposition.encode(metrics, as: exposition, created: process.startTime, into: &bytes)
    } else {
        TextExposition.encode(metrics, as: exposition, created: process.startTime, into: &bytes)
    }
    var headers: HTTPFields = [.contentType: exposition.contentType, .vary: "Accept, Accept-Encoding"]
    if Gzip.isAccepted(request.headers[.acceptEncoding]), let compressed = Gzip.compress(bytes) {
        bytes = compressed
        headers[.contentEncoding] = "gzip"
    }
    scrapes.served(in: monotonicNow() - begin)
    return Response(status: .ok, headers: headers, body: .init(byteBuffer: ByteBuffer(bytes: bytes)))
}

import HandshakeProbe
import Kernel
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

/// One POST at a time to a collector: HTTP/1.1, over TLS if it says so, each on a connection of its own.
struct CollectorClient: Sendable {
    struct Answer: Sendable {
        var status: Int
        /// Seconds that it asks to be left alone for (RFC 9110 section 10.2.3); `nil` where it does not, or by a date.
        var retryAfter: Int?
        var body: [UInt8]
    }

    /// The request came to no answer: why, for a log line.
    struct Failure: Error, Sendable {
        var text: String
    }

    /// More of an answer is none: OTLP's are a few bytes.
    private static let answerLimit = 64 << 10

    /// For a connection, which cannot be given up sooner: the daemon's end may have to wait for it.
    private static let connectLimit: Duration = .seconds(3)

    private let address: CollectorAddress
    private let headers: HTTPHeaders
    private let tls: NIOSSLContext?
    private let group: any EventLoopGroup

    /// - Throws: `CommandFailure` where the authorities' file cannot be read.
    init(_ settings: OTLPSettings, address: CollectorAddress, group: any EventLoopGroup) throws(CommandFailure) {
        self.address = address
        self.group = group
        tls = address.isSecure ? try Self.context(settings.certificateFile) : nil
        var headers = HTTPHeaders([
            ("Host", address.authority), ("User-Agent", "tlswatch/\(Version.current)"),
            ("Content-Type", "application/x-protobuf"), ("Connection", "close"),
        ])
        for header in settings.headers { headers.add(name: header.name, value: header.value) }
        self.headers = headers
    }

    private static func context(_ file: String?) throws(CommandFailure) -> NIOSSLContext {
        do {
            var configuration = TLSConfiguration.makeClientConfiguration()
            if let file {
                configuration.additionalTrustRoots = [.certificates(try NIOSSLCertificate.fromPEMFile(file))]
            }
            return try NIOSSLContext(configuration: configuration)
        } catch {
            let what = file.map { "the certificates in \($0)" } ?? "the system's certificates"
            throw CommandFailure(.input, "cannot use \(what) for --otlp: \(error)")
        }
    }

    /// Sends `body` to `base` + `path`, compressed, and waits for the answer, `limit` at most.
    func post(_ body: [UInt8], to path: String, within limit: Duration) async throws(Failure) -> Answer {
        do {
            return try await withThrowingTaskGroup(of: Answer.self) { group in
                group.addTask { try await exchange(body, path, limit) }
                group.addTask {
                    try await Task.sleep(for: limit)
                    throw Failure(text: "no answer within \(limit.components.seconds) s")
                }
                defer { group.cancelAll() }
                guard let answer = try await group.next() else { throw CancellationError() }
                return answer
            }
        } catch let failure as Failure {
            throw failure
        } catch {
            throw Failure(text: Self.text(error))
        }
    }

    private typealias Connection = NIOAsyncChannel<NIOHTTPClientResponseFull, HTTPPart<HTTPRequestHead, ByteBuffer>>

    private func exchange(_ body: [UInt8], _ path: String, _ limit: Duration) async throws -> Answer {
        let connection = try await ClientBootstrap(group: group)
            .connectTimeout(TimeAmount(min(limit, Self.connectLimit)))
            .connect(host: address.host, port: address.port) { channel in
                channel.eventLoop.makeCompletedFuture { try Self.prepare(channel, tls, host: address.host) }
            }
        return try await connection.executeThenClose { incoming, outgoing in
            var head = HTTPRequestHead(version: .http1_1, method: .POST, uri: address.base + path, headers: headers)
            let compressed = Gzip.compress(body)
            if compressed != nil { head.headers.add(name: "Content-Encoding", value: "gzip") }
            let bytes = compressed ?? body
            head.headers.add(name: "Content-Length", value: "\(bytes.count)")
            try await outgoing.write(.head(head))
            try await outgoing.write(.body(ByteBuffer(bytes: bytes)))
            try await outgoing.write(.end(nil))
            for try await response in incoming {
                return Answer(
                    status: Int(response.head.status.code),
                    retryAfter: response.head.headers.first(name: "Retry-After").flatMap { Int($0) },
                    body: response.body.map { Array($0.readableBytesView) } ?? [])
            }
            throw Failure(text: "the connection was closed without an answer")
        }
    }

    private static func prepare(_ channel: any Channel, _ tls: NIOSSLContext?, host: String) throws -> Connection {
        let pipeline = channel.pipeline.syncOperations
        if let tls {
            // An address is no server name (RFC 6066 section 3), and is verified as an address without one.
            let isAddress = (try? SocketAddress(ipAddress: host, port: 0)) != nil
            try pipeline.addHandler(NIOSSLClientHandler(context: tls, serverHostname: isAddress ? nil : host))
        }
        try pipeline.addHTTPClientHandlers()
        try pipeline.addHandler(NIOHTTPClientResponseAggregator(maxContentLength: answerLimit))
        try pipeline.addHandler(RequestParts())
        return try NIOAsyncChannel(wrappingChannelSynchronously: channel)
    }

    private static func text(_ error: any Error) -> String {
        switch error {
        case let error as NIOConnectionError:
            if let cause = error.connectionErrors.first?.error { return text(cause) }
            return error.dnsAError == nil && error.dnsAAAAError == nil ? "not reached" : "no such host"
        case let error as IOError: return errnoText(error.errnoCode)
        case ChannelError.connectTimeout: return "no connection in time"
        case is CancellationError: return "given up"
        default: return String("\(error)".prefix(200))
        }
    }
}

/// Lets a request be written whose body is a buffer.
private final class RequestParts: ChannelOutboundHandler {
    typealias OutboundIn = HTTPPart<HTTPRequestHead, ByteBuffer>
    typealias OutboundOut = HTTPClientRequestPart

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let part: HTTPClientRequestPart =
            switch unwrapOutboundIn(data) {
            case .head(let head): .head(head)
            case .body(let body): .body(.byteBuffer(body))
            case .end(let trailers): .end(trailers)
            }
        context.write(wrapOutboundOut(part), promise: promise)
    }
}

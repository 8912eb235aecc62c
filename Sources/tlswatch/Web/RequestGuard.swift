import NIOCore
import NIOHTTP1

/// Lets whole, small requests through to Hummingbird, one at a time, without their bodies; answers the others itself.
/// Closes the connection where the peer's protocol or the answer says so.
///
/// On its connection's event loop only.
final class RequestGuard: ChannelDuplexHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    private let limits: EndpointLimits
    private let accounts: EndpointAccounts
    private let connection: ConnectionGuard
    private var request: HTTPRequestHead?
    private var bodyBytes = 0
    private var closesAfterAnswer = false
    /// The last answer is out: what still comes is dropped.
    private var isOver = false

    init(limits: EndpointLimits, accounts: EndpointAccounts, connection: ConnectionGuard) {
        self.limits = limits
        self.accounts = accounts
        self.connection = connection
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isOver else { return }
        switch Self.unwrapInboundIn(data) {
        case .head(let head):
            request = head
            bodyBytes = 0
            let declared = head.headers.first(name: "content-length").flatMap { Int($0) } ?? 0
            if declared > limits.bodyBytes { refuse(.bodyTooLarge, context) }
        case .body(let bytes):
            bodyBytes += bytes.readableBytes
            if bodyBytes > limits.bodyBytes { refuse(.bodyTooLarge, context) }
        case .end:
            guard let request else { return }
            connection.requestIsHere()
            closesAfterAnswer = !request.isKeepAlive
            context.fireChannelRead(Self.wrapInboundOut(.head(request)))
            context.fireChannelRead(Self.wrapInboundOut(.end(nil)))
        }
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard !isOver else {
            promise?.fail(ChannelError.outputClosed)
            return
        }
        switch Self.unwrapOutboundIn(data) {
        case .head(var head):
            if !head.isKeepAlive { closesAfterAnswer = true }
            if closesAfterAnswer {
                head.headers.replaceOrAdd(name: "connection", value: "close")
            } else if request?.version == .http1_0 {
                head.headers.replaceOrAdd(name: "connection", value: "keep-alive")
            }
            context.write(Self.wrapOutboundOut(.head(head)), promise: promise)
        case .body:
            context.write(data, promise: promise)
        case .end:
            request = nil
            isOver = closesAfterAnswer
            connection.answerIsWritten()
            context.write(data, promise: promise)
            if isOver { finish(context) }
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let error = error as? HTTPParserError else {
            context.fireErrorCaught(error)
            return
        }
        guard !isOver else { return }
        switch error {
        case .headerOverflow: refuse(.headersTooLarge, context)
        case .invalidEOFState: context.close(promise: nil)  // it went away in the middle
        default: refuse(.malformed, context)
        }
    }

    private func refuse(_ reason: RequestRejection, _ context: ChannelHandlerContext) {
        isOver = true
        accounts.rejected(reason)
        let (status, text): (HTTPResponseStatus, String) =
            switch reason {
            case .headersTooLarge:
                (
                    .requestHeaderFieldsTooLarge,
                    "The request line and headers exceed \(limits.headBytes) bytes or "
                        + "\(limits.headerFields) fields.\n"
                )
            case .bodyTooLarge:
                (.payloadTooLarge, "A body may have at most \(limits.bodyBytes) bytes; none is needed.\n")
            default: (.badRequest, "This is not an HTTP/1.0 or HTTP/1.1 request.\n")
            }
        let head = HTTPResponseHead(
            version: .http1_1, status: status,
            headers: [
                "content-type": "text/plain; charset=utf-8", "content-length": "\(text.utf8.count)",
                "connection": "close",
            ])
        context.write(Self.wrapOutboundOut(.head(head)), promise: nil)
        if request?.method != .HEAD {
            context.write(Self.wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: text)))), promise: nil)
        }
        context.write(Self.wrapOutboundOut(.end(nil)), promise: nil)
        finish(context)
    }

    private func finish(_ context: ChannelHandlerContext) {
        context.flush()
        connection.linger()
        context.close(mode: .output, promise: nil)
    }
}

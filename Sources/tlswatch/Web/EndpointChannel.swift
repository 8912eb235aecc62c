import HummingbirdCore
import Logging
import NIOCore
import NIOHTTP1
import NIOHTTPTypes
import NIOHTTPTypesHTTP1

/// One connection of the HTTP side. In place of Hummingbird's own HTTP/1 channel, which sees neither the protocol
/// version nor the bytes, and whose TLS is fixed at the start.
struct EndpointChannel: HTTPChannelHandler {
    typealias Value = NIOAsyncChannel<HTTPRequestPart, HTTPResponsePart>

    let responder: Responder
    let limits: EndpointLimits
    let accounts: EndpointAccounts
    let configuration: WebConfigurationSource
    let connections: OpenConnections

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        channel.eventLoop.makeCompletedFuture {
            let pipeline = channel.pipeline.syncOperations
            try channel.syncOptions?.setOption(.socketOption(.so_sndbuf), value: numericCast(limits.sendBufferBytes))
            let connection = ConnectionGuard(limits: limits, accounts: accounts, connections: connections)
            try pipeline.addHandler(connection)
            let secure = configuration.current().security
            if let secure { try pipeline.addHandler(secure.makeHandler()) }
            // Both sizes are of the request line and the headers together.
            var decoder = NIOHTTPDecoderLimitConfiguration()
            decoder.maxHeaderFieldSize = limits.headBytes
            decoder.maxHeaderListSize = limits.headBytes
            decoder.maxHeaderFieldCount = limits.headerFields
            try pipeline.configureHTTPServerPipeline(
                withPipeliningAssistance: true, withErrorHandling: false, withOutboundHeaderValidation: true,
                withEncoderConfiguration: .init(), withDecoderLimitConfiguration: decoder)
            try pipeline.addHandler(RequestGuard(limits: limits, accounts: accounts, connection: connection))
            try pipeline.addHandler(HTTP1ToHTTPServerCodec(secure: secure != nil))
            try pipeline.addHandler(
                HTTPConnectionStateHandler(
                    idleTimeout: .nanoseconds(limits.idleTimeout.nanoseconds), logger: logger))
            return try NIOAsyncChannel(
                wrappingChannelSynchronously: channel, configuration: .init(isOutboundHalfClosureEnabled: true))
        }
    }

    func handle(value: Value, logger: Logger) async {
        await handleHTTP(asyncChannel: value, logger: logger)
    }
}

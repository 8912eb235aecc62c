import Glibc
import HandshakeProbe
import Kernel
import Logging
import NIOCore

/// Stands before all else at the listening socket. While the process has no descriptor or memory for another connection
/// (accept(2): EMFILE, ENFILE, ENOBUFS, ENOMEM), none is taken for a moment: connections wait in the kernel, where NIO
/// would ask again without end, and Hummingbird would end serving for good.
final class AcceptPause: ChannelInboundHandler {
    typealias InboundIn = Channel
    typealias InboundOut = Channel

    private static let pause = TimeAmount.milliseconds(250)
    private let logger: Logger
    /// Told once, until a connection has been taken again.
    private var isTold = false

    init(logger: Logger) {
        self.logger = logger
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        isTold = false
        context.fireChannelRead(data)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let number = (error as? IOError)?.errnoCode, [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(number) else {
            // Its peer has gone again: nothing is wrong with the socket.
            if (error as? IOError)?.errnoCode != ECONNABORTED { context.fireErrorCaught(error) }
            return
        }
        if !isTold {
            isTold = true
            logger.warning("connections wait: they cannot be accepted", metadata: ["reason": "\(errnoText(number))"])
        }
        let channel = context.channel
        channel.setOption(.autoRead, value: false).whenFailure { _ in }
        context.eventLoop.scheduleTask(in: Self.pause) {
            channel.setOption(.autoRead, value: true).whenFailure { _ in }
        }
    }
}

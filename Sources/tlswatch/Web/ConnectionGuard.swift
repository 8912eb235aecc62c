import NIOCore

/// Stands next to the socket, before TLS: no peer can make a connection last by sending, or taking, a little at a time.
///
/// On its connection's event loop only.
final class ConnectionGuard: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = IOData
    typealias OutboundOut = IOData

    private enum Phase {
        /// Between requests; how long is the idle timeout's business.
        case idle
        /// A request, or the TLS handshake before it, has begun to arrive.
        case reading
        case answering
        /// The last answer is out.
        case lingering
    }

    private let limits: EndpointLimits
    private let accounts: EndpointAccounts
    private var phase = Phase.idle { didSet { tellWhetherItWaits() } }
    private let connections: OpenConnections
    private var toldThatItWaits = true
    private var context: ChannelHandlerContext?
    private var readDeadline: Scheduled<Void>?
    private var writeDeadline: Scheduled<Void>?
    private var lastDeadline: Scheduled<Void>?
    private var unsentWrites = 0 { didSet { tellWhetherItWaits() } }
    private var place: ScrapeGate.Place?

    init(limits: EndpointLimits, accounts: EndpointAccounts, connections: OpenConnections) {
        self.limits = limits
        self.connections = connections
        self.accounts = accounts
    }

    // MARK: told by the guard behind TLS

    func requestIsHere() {
        phase = .answering
        readDeadline?.cancel()
        readDeadline = nil
    }

    /// Keeps a scrape's place until its answer is taken, or the connection is gone.
    func hold(_ place: ScrapeGate.Place) { self.place = place }

    func answerIsWritten() {
        if phase == .answering { phase = .idle }
    }

    /// The peer has a moment left to read the last answer and close.
    func linger() {
        phase = .lingering
        readDeadline?.cancel()
        readDeadline = nil
        // While it still takes the answer, that has its own deadline.
        if unsentWrites == 0 { closeSoon() }
    }

    // MARK: handler

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        let loop = context.eventLoop
        let own = NIOLoopBound(self, eventLoop: loop)
        connections.opened(self) { loop.execute { own.value.evict() } }
    }

    private func tellWhetherItWaits() {
        let waits = phase != .answering && unsentWrites == 0
        guard waits != toldThatItWaits else { return }
        toldThatItWaits = waits
        connections.changed(self, waits: waits)
    }

    /// Others need its place.
    private func evict() {
        guard let context else { return }
        // A peer that has had its last answer is refused nothing.
        if phase != .lingering { accounts.rejected(.evicted) }
        cancelAll()
        context.close(promise: nil)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        cancelAll()
        connections.closed(self)
        place = nil
        self.context = nil
    }

    func channelInactive(context: ChannelHandlerContext) {
        cancelAll()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if phase == .idle {
            phase = .reading
            readDeadline = close(after: limits.readTimeout, as: .readTimeout)
        }
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let sent = promise ?? context.eventLoop.makePromise()
        unsentWrites += 1
        if unsentWrites == 1 { writeDeadline = close(after: limits.writeTimeout, as: .writeTimeout) }
        sent.futureResult.assumeIsolated().whenComplete { _ in
            self.unsentWrites -= 1
            if self.unsentWrites == 0 {
                self.writeDeadline?.cancel()
                self.writeDeadline = nil
                if self.phase != .answering { self.place = nil }
                if self.phase == .lingering { self.closeSoon() }
            }
        }
        context.write(data, promise: sent)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        // tlswatch stops: no peer keeps it.
        if event is ChannelShouldQuiesceEvent { closeSoon() }
        context.fireUserInboundEventTriggered(event)
    }

    private func closeSoon() {
        guard lastDeadline == nil else { return }
        lastDeadline = close(after: limits.lingerTimeout, as: nil)
    }

    /// Closes the socket itself: a peer that is late does not get TLS's farewell, which it might not take either.
    private func close(after time: TimeAmount, as reason: RequestRejection?) -> Scheduled<Void>? {
        context?.eventLoop.assumeIsolated().scheduleTask(in: time) {
            guard let context = self.context else { return }
            if let reason { self.accounts.rejected(reason) }
            self.cancelAll()
            context.close(promise: nil)
        }
    }

    private func cancelAll() {
        for deadline in [readDeadline, writeDeadline, lastDeadline] { deadline?.cancel() }
        readDeadline = nil
        writeDeadline = nil
        lastDeadline = nil
    }
}

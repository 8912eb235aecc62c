import Hummingbird
import NIOCore

/// A request's way through the router, with the connection that it came by.
struct EndpointContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    private let channel: any Channel

    init(source: ApplicationRequestContextSource) {
        coreContext = CoreRequestContextStorage(source: source)
        channel = source.channel
    }

    /// Gives the place back when the answer is taken, or the connection gone; to be called before answering.
    func hold(_ place: ScrapeGate.Place) {
        channel.eventLoop.execute { [channel] in
            // Where the connection is gone already there is no guard, and the place is free at once.
            try? channel.pipeline.syncOperations.handler(type: ConnectionGuard.self).hold(place)
        }
    }
}

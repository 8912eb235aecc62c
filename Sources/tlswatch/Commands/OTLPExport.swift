import FoundationEssentials
import HandshakeProbe
import Handshakes
import Logging
import NIOPosix

/// The export by OTLP of a daemon whose settings ask for one.
struct OTLPExport: Sendable {
    /// What the ring's thread fills.
    let queue: SpanQueue
    let accounts = OTLPAccounts()
    private let address: CollectorAddress
    private let settings: OTLPSettings
    private let client: CollectorClient
    private let resource: OTLPResource

    /// `nil` where no collector is named.
    ///
    /// - Throws: `CommandFailure` for an authority's file that cannot be used: told before a probe is attached.
    init?(_ settings: RunSettings) throws(CommandFailure) {
        guard let address = settings.otlp.collector else { return nil }
        self.address = address
        self.settings = settings.otlp
        client = try CollectorClient(settings.otlp, address: address, group: MultiThreadedEventLoopGroup.singleton)
        queue = SpanQueue(slow: settings.engine.metrics.slow, share: settings.otlp.share, accounts: accounts)
        let host = ProcessInfo.processInfo.hostName
        resource = OTLPResource(
            version: Version.current, host: host, instance: "\(host):\(settings.listen.first?.port ?? 0)")
    }

    func service(_ source: MetricsSource, _ endpoint: EndpointAccounts, _ logger: Logger) -> OTLPExporter {
        OTLPExporter(
            address: address, interval: settings.interval, client: client, queue: queue, accounts: accounts,
            resource: resource,
            metrics: {
                source.snapshot()?.metrics.adding(
                    ProcessSample.current().samples + endpoint.sample().samples + source.samples())
            },
            logger: logger)
    }
}

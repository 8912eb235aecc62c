import TestSupport
import Testing

@testable import HandshakeProbe
@testable import Handshakes

@Suite struct CatalogueCostTests {
    @Test("The cost that a family tells begins with the series that programs, rejections and reasons make")
    func cost() {
        #expect(MetricCatalogue.events.cost.hasPrefix("\(KernelProgram.allCases.count),"))
        #expect(MetricCatalogue.eventsDropped.cost.hasPrefix("\(2 * KernelProgram.allCases.count),"))
        var registry = MetricsRegistry(version: "1")
        registry.observe(stack: OpenSSL.name, reasons: OpenSSLState.usualReasons)
        let prepared = text(registry.snapshot(now: second))
        for family in [MetricCatalogue.handshakes, MetricCatalogue.keyExchanges] {
            let count = lines(family.name, in: prepared).count
            #expect(family.cost.prefix { $0.isNumber } == "\(count)", "\(family.name): \(count)")
        }
        #expect(MetricCatalogue.eventsRejected.cost.hasPrefix("\(Rejection.allCases.count),"))
        #expect(MetricCatalogue.probeHits.cost.hasSuffix("\(KernelProgram.allCases.count { $0.isTracepoint })"))
    }
}

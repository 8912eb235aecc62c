import Foundation
import Testing

@testable import HandshakeProbe

@Suite struct ExpositionFormatTests {
    /// What Prometheus 2.53 and 3.x send, a browser, curl, and others.
    private static let requests: [(String?, ExpositionFormat)] = [
        (nil, .text004), ("", .text004), ("*/*", .text004),
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
                + "text/plain;version=0.0.4;q=0.3,*/*;q=0.2", .openMetrics
        ),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
                + "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
                + "text/plain;version=0.0.4;q=0.3,*/*;q=0.2", .openMetrics
        ),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", .text004),
        ("text/plain; version=1.0.0", .text100), ("text/plain;version=\"1.0.0\", text/plain;version=0.0.4", .text100),
        ("text/plain;version=0.0.4;q=0.9, application/openmetrics-text;version=1.0.0;q=0.1", .text004),
        ("application/openmetrics-text;version=1.0.0;q=0", .text004),
        ("application/openmetrics-text;version=9.9.9", .text004),
        ("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited", .text004),
        ("application/openmetrics-text;q=garbage, text/plain;q=7, ;;;=,,", .text004),
        ("APPLICATION/OpenMetrics-Text; Version=1.0.0", .openMetrics),
    ]

    @Test("The format that the scraper weighs most, of those there are", arguments: requests)
    func negotiation(_ accept: String?, _ expected: ExpositionFormat) {
        #expect(ExpositionFormat.negotiate(accept) == expected)
    }

    @Test("A header of any length is read to an end")
    func longHeader() {
        let long = String(repeating: "text/plain;version=1.0.0;q=0.1,", count: 10_000)
        #expect(ExpositionFormat.negotiate(long) == .text100)
    }

    @Test("OpenMetrics: families without _total, units, canonical bounds, creation times, and an end")
    func openMetrics() throws {
        var bytes: [UInt8] = []
        TextExposition.encode(fullSnapshot(), as: .openMetrics, created: 1_500_000_000_250_000_000, into: &bytes)
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines.suffix(2) == ["# EOF", ""])
        #expect(lines.contains("# TYPE tlswatch_handshakes counter"))
        #expect(!lines.contains { $0.hasPrefix("# TYPE") && $0.contains("_total ") })
        #expect(lines.contains("# UNIT tlswatch_handshake_duration_seconds seconds"))
        #expect(lines.contains { $0.hasPrefix("tlswatch_handshakes_total{") })
        #expect(lines.contains { $0.hasPrefix("tlswatch_handshakes_created{") && $0.hasSuffix(" 1500000000.25") })
        let bounds = lines.compactMap { $0.firstMatch(of: /[{,]le="([^"]*)"/)?.1 }
        #expect(!bounds.isEmpty && bounds.allSatisfy { $0 == "+Inf" || $0.contains(".") })
        // Nothing but its own comments differs from the text format's samples.
        var plain: [UInt8] = []
        TextExposition.encode(fullSnapshot(), into: &plain)
        let samples = String(decoding: plain, as: UTF8.self).split(separator: "\n").filter {
            !$0.hasPrefix("#") && $0.firstMatch(of: /[{,]le="/) == nil
        }
        #expect(Set(samples).isSubset(of: Set(lines)))
    }

    @Test("The rules ask for metrics and labels that there are", arguments: ["recording-rules.yml", "alerts.yml"])
    func rules(_ name: String) throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let text = try String(contentsOf: root.appendingPathComponent("metrics/\(name)"), encoding: .utf8)
        let known = Dictionary(uniqueKeysWithValues: MetricCatalogue.all.map { ($0.name, Set($0.labels)) })
        var asked = 0
        // A name outside of a recorded one (which has colons), with the matchers behind it.
        for match in text.matches(of: /[\s(]((?:tlswatch)_[a-z_]+)(?:\{([^}]*)\})?[\[)\s]/) {
            let name = String(match.1)
            let family =
                known[name]
                ?? ["_bucket", "_sum", "_count"].lazy
                .filter { name.hasSuffix($0) }.compactMap { known[String(name.dropLast($0.count))] }.first
            let labels = try #require(family, "\(name) is no metric of tlswatch")
            asked += 1
            for matcher in (match.2 ?? "").split(separator: ",") {
                let label = matcher.prefix { $0.isLetter || $0 == "_" }
                #expect(labels.contains(String(label)), "\(name) has no label \(label)")
            }
        }
        #expect(asked >= 2)
    }
}

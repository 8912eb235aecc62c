import Foundation
import Testing

@testable import Handshakes

@Suite("Formats of an exposition") struct ExpositionFormatTests {
    /// What Prometheus 2.53 and 3.x send, a browser, curl, and others.
    /// What Prometheus 2.42, 2.53 and 3.x send, a browser, curl, and others.
    private static let requests: [(String?, Exposition)] = [
        (nil, Exposition()), ("", Exposition()), ("*/*", Exposition()),
        (
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,"
                + "application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,"
                + "text/plain;version=0.0.4;q=0.5,*/*;q=0.1", Exposition(.protobuf)
        ),
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
                + "text/plain;version=0.0.4;q=0.3,*/*;q=0.2", Exposition(.openMetrics)
        ),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
                + "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
                + "text/plain;version=0.0.4;q=0.3,*/*;q=0.2", Exposition(.openMetrics, escaping: .allowUTF8)
        ),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Exposition()),
        ("text/plain; version=1.0.0", Exposition(.text100)),
        ("text/plain;version=\"1.0.0\", text/plain;version=0.0.4", Exposition(.text100)),
        ("text/plain;version=0.0.4;q=0.9, application/openmetrics-text;version=1.0.0;q=0.1", Exposition()),
        ("application/openmetrics-text;version=1.0.0;q=0", Exposition()),
        ("application/openmetrics-text;version=9.9.9", Exposition()),
        // Not delimited, or not this message: not what is served.
        ("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text", Exposition()),
        ("application/vnd.google.protobuf;proto=other.Message;encoding=delimited", Exposition()),
        ("application/openmetrics-text;q=garbage, text/plain;q=7, ;;;=,,", Exposition()),
        ("APPLICATION/OpenMetrics-Text; Version=1.0.0", Exposition(.openMetrics)),
        ("text/plain;version=1.0.0;escaping=dots", Exposition(.text100, escaping: .dots)),
        ("text/plain;version=1.0.0;escaping=values", Exposition(.text100, escaping: .values)),
        ("text/plain;version=1.0.0;escaping=nonsense", Exposition(.text100)),
    ]

    @Test("The format that the scraper weighs most, of those there are", arguments: requests)
    func theHeaviestFormatIsServed(_ accept: String?, _ expected: Exposition) {
        #expect(Exposition.negotiate(accept) == expected)
    }

    @Test("The answer says which format it is, and echoes the escaping that was asked for")
    func contentTypes() {
        #expect(Exposition().contentType == "text/plain; version=0.0.4; charset=utf-8")
        #expect(
            Exposition(.openMetrics, escaping: .allowUTF8).contentType
                == "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8")
        #expect(
            Exposition(.protobuf).contentType
                == "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited")
    }

    @Test("The escaping scheme dots doubles underscores in every name, as Prometheus's own library does")
    func dotsAreEscapedAsPrometheusDoes() {
        var bytes: [UInt8] = []
        TextExposition.encode(fullSnapshot(), as: Exposition(.text100, escaping: .dots), into: &bytes)
        let text = String(decoding: bytes, as: UTF8.self)
        #expect(text.contains("# TYPE tlswatch__handshakes__total counter\n"))
        #expect(text.contains(#"tls__version="TLSv1.3""#))
        #expect(text.contains("tlswatch__handshake__duration__seconds_bucket{"))
        #expect(text.contains(#"cipher="TLS_AES_256_GCM_SHA384""#), "values stay as they are")
    }

    @Test("A header of any length is read to an end")
    func longHeader() {
        let long = String(repeating: "text/plain;version=1.0.0;q=0.1,", count: 10_000)
        #expect(Exposition.negotiate(long) == Exposition(.text100))
    }

    @Test("OpenMetrics: families without _total, units, canonical bounds, creation times, and an end")
    func openMetrics() throws {
        var bytes: [UInt8] = []
        TextExposition.encode(
            fullSnapshot(), as: Exposition(.openMetrics), created: 1_500_000_000_250_000_000, into: &bytes)
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines.suffix(2) == ["# EOF", ""])
        #expect(lines.contains("# TYPE tlswatch_handshakes counter"))
        #expect(!lines.contains { $0.hasPrefix("# TYPE") && $0.contains("_total ") })
        #expect(lines.contains("# UNIT tlswatch_handshake_duration_seconds seconds"))
        #expect(lines.contains { $0.hasPrefix("tlswatch_handshakes_total{") })
        #expect(lines.contains { $0.hasPrefix("tlswatch_handshakes_created{") && $0.hasSuffix(" 1500000000.25") })
        let bounds = lines.compactMap { $0.firstMatch(of: /[{,]le="([^"]*)"/)?.1 }
        #expect(!bounds.isEmpty)
        #expect(bounds.allSatisfy { $0 == "+Inf" || $0.contains(".") })
        // Nothing but its own comments differs from the text format's samples.
        var plain: [UInt8] = []
        TextExposition.encode(fullSnapshot(), into: &plain)
        let samples = String(decoding: plain, as: UTF8.self).split(separator: "\n").filter {
            !$0.hasPrefix("#") && $0.firstMatch(of: /[{,]le="/) == nil
        }
        #expect(Set(samples).isSubset(of: Set(lines)))
    }

    @Test("The rules ask for metrics and labels that there are", arguments: ["recording-rules.yml", "alerts.yml"])
    func theRulesAskForKnownMetrics(_ name: String) throws {
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

import Foundation
import TestSupport
import Testing

@testable import Handshakes

private let promtool = "/usr/bin/promtool"

/// promtool's verdict on `text`: its exit status and what it said.
private func promtoolCheck(_ text: String) throws -> (status: ChildEnd, output: String) {
    let result = try ChildProcess.run(promtool, ["check", "metrics"], input: Array(text.utf8))
    return (result.status, result.output + result.errors)
}

private let promtoolIsThere = FileManager.default.isExecutableFile(atPath: promtool)

@Suite("The text exposition") struct TextExpositionTests {
    /// `make docs` writes it anew; what changed in it is for the reviewer.
    @Test("The text is the golden one, line by line") func matchesTheGoldenText() throws {
        let text = text(fullSnapshot())
        let path = "Tests/HandshakesTests/Fixtures/metrics.txt"
        if ProcessInfo.processInfo.environment["TLSWATCH_WRITE_DOCS"] == "1" {
            try text.write(to: CatalogueDocuments.root.appending(path: path), atomically: true, encoding: .utf8)
        }
        let goldenText = try CatalogueDocuments.text(path)
        // Line by line, so that a difference is readable.
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        let golden = goldenText.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines.count == golden.count)
        for (line, wanted) in zip(lines, golden) { #expect(line == wanted) }
    }

    @Test("Every family of the catalogue is served, in order") func servesEveryFamilyOfTheCatalogueSorted() {
        let names = fullSnapshot().families.map(\.descriptor.name)
        #expect(names == MetricCatalogue.all.map(\.name).sorted())
    }

    @Test("The catalogue's names, types and labels go together") func catalogueIsConsistent() {
        for descriptor in MetricCatalogue.all {
            #expect(descriptor.name.hasSuffix("_total") == (descriptor.type == .counter), "\(descriptor.name)")
            #expect(descriptor.labels.count <= LabelValues.limit)
            #expect(Set(descriptor.labels).count == descriptor.labels.count)
            #expect(descriptor.help.hasSuffix("."))
            if let unit = descriptor.unit {
                let stem = descriptor.name.hasSuffix("_total") ? descriptor.name.dropLast(6) : descriptor.name[...]
                #expect(stem.hasSuffix("_" + unit))
            }
        }
    }

    @Test("promtool has nothing to say about the text", .enabled(if: promtoolIsThere, "promtool is not at \(promtool)"))
    func promtoolIsContent() throws {
        let verdict = try promtoolCheck(text(fullSnapshot()))
        #expect(verdict.status == .exited(0), "\(verdict.output)")
        #expect(verdict.output.isEmpty, "\(verdict.output)")
    }

    /// What a peer or a host may put into a label.
    static let hostile = [
        "", "\"", "\\", "\n", "a\"} 1\ntlswatch_forged_total 99\n", "\\\"", "\\n", "\u{0}", "\u{1}", "\r\n",
        "\u{7F}\u{1B}[31m", "unknown", "é", "e\u{301}", "\u{202E}", "💥",
        String(repeating: "x", count: 100_000), "{}", "# HELP x y",
    ]

    @Test(
        "What a peer or a host puts into a label does not break the scrape",
        .enabled(if: promtoolIsThere, "promtool is not at \(promtool)"))
    func hostileLabelsDoNotBreakTheScrape() throws {
        var registry = MetricsRegistry(version: "1\"\n")
        var coverage = CoverageSample()
        for value in Self.hostile {
            var handshake = completedHandshake(end: second)
            handshake.alpn = value
            handshake.stack = value
            handshake.group = value
            handshake.reason = value
            registry.record(handshake, now: second)
            coverage.probes.append(.init(stack: value, library: value, state: value, count: 1))
        }
        registry.update(coverage: coverage)
        let text = text(registry.snapshot(now: second))
        #expect(!text.contains("\ntlswatch_forged_total"))
        #expect(text.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F || $0 == "\n" })
        let samples = text.split(separator: "\n").filter { !$0.hasPrefix("#") }
            .map { $0.prefix(upTo: $0.lastIndex(of: " ") ?? $0.endIndex) }
        #expect(Set(samples).count == samples.count, "a series was written twice")
        let verdict = try promtoolCheck(text)
        #expect(verdict.status == .exited(0), "\(verdict.output)")
        #expect(verdict.output.isEmpty, "\(verdict.output)")
    }

    @Test("Label values are escaped") func escapesLabelValues() {
        let set = LabelSet(names: ["a", "b"], values: ["x\"y\\z\nw", "\u{1}"])
        #expect(String(decoding: set.text, as: UTF8.self) == #"a="x\"y\\z\nw",b="\#u{FFFD}""#)
    }

    @Test("The length of a label value is bounded") func boundsTheLengthOfLabelValues() {
        let set = LabelSet(names: ["a"], values: [String(repeating: "é", count: 50_000)])
        #expect(set.values == [String(repeating: "é", count: Label.byteLimit / 2)])
    }

    @Test(
        "Seconds are written to the nanosecond",
        arguments: [
            (0, "0"), (1, "0.000000001"), (1_500_000, "0.0015"), (1_000_000_000, "1"), (60_000_000_001, "60.000000001"),
            (UInt64.max, "18446744073.709551615"),
        ])
    func writesSecondsToTheNanosecond(nanoseconds: UInt64, wanted: String) {
        var bytes: [UInt8] = []
        DecimalText.append(seconds: nanoseconds, to: &bytes)
        #expect(String(decoding: bytes, as: UTF8.self) == wanted)
    }

    @Test(
        "Numbers are written as Prometheus reads them",
        arguments: [
            (0.0, "0"), (0.05, "0.05"), (3.0, "3"), (-1.5, "-1.5"), (Double.nan, "NaN"), (.infinity, "+Inf"),
            (-.infinity, "-Inf"), (1e-9, "1e-09"), (1e300, "1e+300"),
        ])
    func writesNumbersAsPrometheusReadsThem(number: Double, wanted: String) {
        var bytes: [UInt8] = []
        DecimalText.append(number, to: &bytes)
        #expect(String(decoding: bytes, as: UTF8.self) == wanted)
    }

    @Test("Bounds of buckets are inclusive, their counts cumulative") func bucketBoundsAreInclusiveAndCumulative() {
        var histogram = DurationHistogram()
        for value in [99_999, 100_000, 100_001, 30_000_000_000, 30_000_000_001] as [UInt64] {
            histogram.observe(value)
        }
        #expect(histogram.buckets[0] == 2)
        #expect(histogram.buckets[1] == 1)
        #expect(histogram.buckets[16] == 1)
        #expect(histogram.buckets[17] == 1)
        #expect(histogram.count == 5)
    }
}

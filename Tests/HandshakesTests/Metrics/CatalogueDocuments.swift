import Foundation
import TestSupport

@testable import Handshakes

/// The catalogue as documents: what a program reads and the tables that people read.
enum CatalogueDocuments {
    static let begin = "<!-- catalogue: made by `make docs` -->"
    static let end = "<!-- catalogue ends -->"

    /// The source tree's top.
    static var root: URL {
        (0..<4).reduce(URL(fileURLWithPath: #filePath)) { folder, _ in folder.deletingLastPathComponent() }
    }

    static func text(_ path: String) throws -> String {
        try String(contentsOf: root.appending(path: path), encoding: .utf8)
    }

    /// The rows of the project's README: the ones to begin with.
    static let main = [
        MetricCatalogue.handshakes, MetricCatalogue.handshakeDuration, MetricCatalogue.handshakeWindow,
        MetricCatalogue.handshakeParameters, MetricCatalogue.keyExchangeFailureRatio, MetricCatalogue.alpnShare,
        MetricCatalogue.observedProcesses, MetricCatalogue.eventsDropped, MetricCatalogue.windowIncomplete,
    ]

    private struct Entry: Encodable {
        var name, type, help, cost: String
        var unit: String?
        var labels, optional_labels: [String]
    }

    static func json() throws -> String {
        let optional = optionalLabels()
        let entries = MetricCatalogue.all.map {
            Entry(
                name: $0.name, type: $0.type.rawValue, help: $0.help, cost: $0.cost, unit: $0.unit, labels: $0.labels,
                optional_labels: optional[$0.name] ?? [])
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(["metrics": entries]), as: UTF8.self) + "\n"
    }

    /// What `--label` adds, by family, as a registry with all of them has it.
    static func optionalLabels() -> [String: [String]] {
        var options = MetricsRegistry.Options()
        options.labels = ExtraLabel.allCases.map { ExtraLabelOption($0) }
        var registry = MetricsRegistry(version: "", options: options)
        registry.record(completedHandshake(end: second), now: second)
        var added: [String: [String]] = [:]
        for family in registry.snapshot(now: second).families {
            let plain = MetricCatalogue.all.first { $0.name == family.descriptor.name }?.labels ?? []
            added[family.descriptor.name] = family.descriptor.labels.filter { !plain.contains($0) }
        }
        return added
    }

    /// With `wide`, every column; else what fits beside prose.
    static func table(_ descriptors: [MetricDescriptor], wide: Bool) -> String {
        var lines =
            wide
            ? ["| metric | type | labels | unit | meaning | series |", "|---|---|---|---|---|---|"]
            : ["| metric | labels | meaning |", "|---|---|---|"]
        for descriptor in descriptors {
            let labels = descriptor.labels.map { "`\($0)`" }.joined(separator: ", ")
            let help = descriptor.help.hasSuffix(".") ? String(descriptor.help.dropLast()) : descriptor.help
            let cells =
                wide
                ? [
                    "`\(descriptor.name)`", descriptor.type.rawValue, labels, descriptor.unit ?? "", help,
                    descriptor.cost,
                ]
                : ["`\(descriptor.name)`", labels, help]
            lines.append("| " + cells.joined(separator: " | ") + " |")
        }
        return lines.joined(separator: "\n")
    }

    /// `document` with `table` between the marks; `nil` without them.
    static func document(_ document: String, with table: String) -> String? {
        guard let begin = document.range(of: begin), let end = document.range(of: end),
            begin.upperBound <= end.lowerBound
        else { return nil }
        return document[..<begin.upperBound] + "\n\n" + table + "\n\n" + document[end.lowerBound...]
    }
}

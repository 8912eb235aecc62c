import Foundation

@testable import Handshakes

/// What an expression may ask for: the catalogue's metrics, those that the rules record, and Prometheus's own.
struct MetricNames {
    /// What Prometheus adds to every series of a target.
    private static let target = ["job", "instance"]

    /// Labels that are told when asked for, of the families that take them: one may select by them in any case, since a matcher
    /// such as `sni=~".*"` takes series without the label.
    private static let optional = Set(ExtraLabel.allCases.map(\.rawValue))
    private static let extended = Set(
        (SessionMetric.counters(slow: 0) + SessionMetric.histograms).filter(\.takesExtraLabels).map(\.metric.name)
            + [MetricCatalogue.handshakeWindow.name, MetricCatalogue.handshakeWindowSessions.name])

    private var labels: [String: Set<String>] = ["up": Set(target)]

    init(recorded: [String]) {
        for descriptor in MetricCatalogue.all {
            let all = Set(descriptor.labels + Self.target)
            labels[descriptor.name] = all
            guard descriptor.type == .histogram else { continue }
            labels[descriptor.name + "_bucket"] = all.union(["le"])
            labels[descriptor.name + "_sum"] = all
            labels[descriptor.name + "_count"] = all
        }
        // level:metric:operations, where the level is what is left of the labels.
        for name in recorded {
            labels[name] = Set((name.split(separator: ":").first ?? "").split(separator: "_").map(String.init))
        }
    }

    /// Labels that the series of `query` have: those it groups by, else those of the metrics in it.
    func results(of query: PromQLNames) -> Set<String> {
        let grouped = query.groupings.flatMap(\.labels)
        guard grouped.isEmpty else { return Set(grouped) }
        return query.selectors.reduce(into: []) { $0.formUnion(labels[$1.name] ?? []) }
    }

    /// What is asked for and does not exist, in words.
    func faults(in query: PromQLNames) -> [String] {
        var faults = query.selectors.isEmpty ? ["it asks for no metric"] : []
        for selector in query.selectors {
            guard let known = labels[selector.name] else {
                faults.append("no metric \(selector.name)")
                continue
            }
            let selectable = known.union(takesExtraLabels(selector.name) ? Self.optional : [])
            faults += selector.labels.filter { !selectable.contains($0) }.map { "\(selector.name) has no label \($0)" }
        }
        for grouping in query.groupings {
            for selector in grouping.over {
                guard let known = labels[selector.name] else { continue }
                faults += grouping.labels.filter { !known.contains($0) }
                    .map { "\(selector.name) has no label \($0) to group by" }
            }
        }
        return faults
    }

    func has(_ name: String, label: String) -> Bool {
        labels[name]?.contains(label) == true || takesExtraLabels(name) && Self.optional.contains(label)
    }

    private func takesExtraLabels(_ name: String) -> Bool {
        let family = ["_bucket", "_sum", "_count"].first { name.hasSuffix($0) }.map { String(name.dropLast($0.count)) }
        return Self.extended.contains(name) || family.map(Self.extended.contains) == true
    }
}

/// A rule file's rules: the one shape in which this project writes them.
struct RuleFile {
    struct Rule {
        /// The recorded metric or the alert.
        var name: String
        var isAlert: Bool
        var expression: String
    }

    private(set) var rules: [Rule] = []

    init(_ text: String) {
        var indent: Int?
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            let content = line.drop { $0 == " " }
            let depth = line.count - content.count
            if let block = indent {
                if content.isEmpty || depth > block {
                    rules[rules.count - 1].expression += content + "\n"
                    continue
                }
                indent = nil
            }
            for (mark, isAlert) in [("- record: ", false), ("- alert: ", true)] where content.hasPrefix(mark) {
                rules.append(Rule(name: String(content.dropFirst(mark.count)), isAlert: isAlert, expression: ""))
            }
            guard content.hasPrefix("expr: "), !rules.isEmpty else { continue }
            let value = content.dropFirst("expr: ".count)
            if value == "|" { indent = depth } else { rules[rules.count - 1].expression = String(value) }
        }
    }
}

import Foundation
import TestSupport
import Testing

@testable import Handshakes

private let promtool = "/usr/bin/promtool"
private let promtoolIsThere = FileManager.default.isExecutableFile(atPath: promtool)

/// The dashboard, the rules and the alerts ask for what the daemon serves, in words that Prometheus understands.
@Suite("Dashboard, rules and alerts") struct DashboardTests {
    private static let ruleFiles = [
        "recording-rules.yml", "recording-rules-classic.yml", "recording-rules-native.yml",
        "recording-rules-global.yml",
        "alerts.yml",
    ]

    private func rules() throws -> [RuleFile.Rule] {
        try Self.ruleFiles.flatMap { RuleFile(try CatalogueDocuments.text("metrics/" + $0)).rules }
    }

    private func names() throws -> MetricNames {
        MetricNames(recorded: try rules().filter { !$0.isAlert }.map(\.name))
    }

    @Test("Every rule's metrics and labels exist, those of other rules included")
    func ruleNames() throws {
        let (names, rules) = (try names(), try rules())
        #expect(rules.count > 20)
        #expect(rules.allSatisfy { !$0.expression.isEmpty })
        for rule in rules {
            let faults = names.faults(in: PromQLNames(rule.expression))
            #expect(faults.isEmpty, "\(rule.name): \(faults)")
        }
    }

    @Test("Every panel's metrics and labels exist, and so do those of its legend")
    func panelNames() throws {
        let (names, dashboard) = (try names(), try Dashboard.read())
        let targets = dashboard.panels.flatMap { panel in (panel.targets ?? []).map { (panel, $0) } }
        #expect(targets.count > 40)
        for (panel, target) in targets {
            let query = PromQLNames(Dashboard.substituted(target.expr))
            let faults = names.faults(in: query)
            #expect(faults.isEmpty, "\(panel.title): \(faults)")
            let shown = target.legendLabels
            #expect(names.results(of: query).isSuperset(of: shown), "\(panel.title): the legend asks for \(shown)")
        }
        for variable in dashboard.templating.list where variable.type == "query" {
            let definition = try #require(variable.definition)
            let match = try #require(
                try /label_values\((?<selector>.+), (?<label>[a-z_]+)\)/.wholeMatch(in: definition), "\(definition)")
            let query = PromQLNames(String(match.output.selector))
            #expect(names.faults(in: query).isEmpty, "\(variable.name): \(names.faults(in: query))")
            #expect(names.has(query.selectors.first?.name ?? "", label: String(match.output.label)))
        }
    }

    @Test("Prometheus's own parser reads every expression", .enabled(if: promtoolIsThere, "no promtool"))
    func prometheusReadsEveryExpression() throws {
        let rules = try rules()
        for file in Self.ruleFiles {
            // As many as promtool finds were found here: none was overlooked.
            let path = CatalogueDocuments.root.appending(path: "metrics/" + file).path
            let count = RuleFile(try CatalogueDocuments.text("metrics/" + file)).rules.count
            #expect(try Tool.run(promtool, ["check", "rules", path]).contains("\(count) rules found"), "\(file)")
        }
        let targets = try Dashboard.read().panels.flatMap { $0.targets ?? [] }.map { Dashboard.substituted($0.expr) }
        // A JSON document is a YAML document, but for an escaped slash.
        let wrapped = (targets + rules.map(\.expression)).enumerated().map { ["record": "r:\($0)", "expr": $1] }
        let document = try JSONSerialization.data(
            withJSONObject: ["groups": [["name": "all", "rules": wrapped]]], options: .withoutEscapingSlashes)
        let directory = try TemporaryDirectory()
        let file = try directory.write(String(decoding: document, as: UTF8.self), to: "rules.yml")
        let verdict = try Tool.run(promtool, ["check", "rules", file])
        #expect(verdict.contains("\(wrapped.count) rules found"), "\(verdict)")
    }

    @Test("Every panel says what it shows, in which unit, from the chosen data source; none lies on another")
    func everyPanelExplainsItself() throws {
        let dashboard = try Dashboard.read()
        #expect((36...39).contains(dashboard.schemaVersion), "Grafana 9 and 10")
        #expect(
            dashboard.templating.list.map(\.name) == [
                "datasource", "job", "instance", "role", "sni", "comm", "unit", "remote_net",
            ])
        #expect(Set(dashboard.panels.map(\.id)).count == dashboard.panels.count)
        var taken: Set<[Int]> = []
        for panel in dashboard.panels {
            for x in panel.gridPos.x..<panel.gridPos.x + panel.gridPos.w {
                for y in panel.gridPos.y..<panel.gridPos.y + panel.gridPos.h {
                    #expect(x < 24, "\(panel.title) lies on another")
                    #expect(taken.insert([x, y]).inserted, "\(panel.title) lies on another")
                }
            }
            guard panel.type != "row" else { continue }
            #expect(panel.description?.hasSuffix(".") == true, "\(panel.title)")
            #expect((panel.fieldConfig?.defaults.unit ?? panel.options?.yAxis?.unit) != nil, "\(panel.title)")
            #expect(panel.datasource?.uid == "${datasource}", "\(panel.title)")
            #expect(panel.targets?.isEmpty == false, "\(panel.title)")
            #expect(panel.targets?.allSatisfy { $0.legendFormat?.isEmpty == false } == true, "\(panel.title)")
        }
    }

    @Test(
        "A panel's threshold is its alert's",
        arguments: [
            ("TLSHandshakesSlow", "Duration, fleet"), ("TLSHandshakesSlow", "P99 by host"),
            ("TLSHandshakesSlow", "P99, fleet"), ("TLSHandshakesFail", "Failure ratio"),
            ("TLSHandshakesFail", "Failure ratio over time"), ("TLSKeyExchangesFail", "Key-exchange failures"),
            ("TLSWatchProcessesUnobserved", "Unobserved by host"), ("TLSWatchLosesEvents", "Lost events"),
            ("TLSWatchRejectsEvents", "Rejected events"),
        ])
    func thresholdsAreTheAlerts(_ alert: String, _ title: String) throws {
        let rule = try #require(try rules().first { $0.isAlert && $0.name == alert })
        let limit = try #require(rule.expression.firstMatch(of: /> ([0-9.]+)/))
        let panel = try #require(try Dashboard.read().panels.first { $0.title == title })
        let steps = try #require(panel.fieldConfig?.defaults.thresholds?.steps)
        #expect(steps.compactMap(\.value) == [try #require(Double(limit.output.1))])
    }

    @Test(
        "A misspelt metric or label is found",
        arguments: [
            ("tlswatch_handshake_total", "no metric tlswatch_handshake_total"),
            ("rate(tlswatch_handshakes_total_bucket[5m])", "no metric tlswatch_handshakes_total_bucket"),
            (#"tlswatch_handshakes_total{rol="server"}"#, "tlswatch_handshakes_total has no label rol"),
            (
                #"tlswatch_handshakes_total{role="a \" } b",outcom!~"x"}"#,
                "tlswatch_handshakes_total has no label outcom"
            ),
            (
                "sum by (role, le) (rate(tlswatch_handshake_duration_seconds_sum[5m]))",
                "tlswatch_handshake_duration_seconds_sum has no label le to group by"
            ),
            (
                "sum by (cipher) (up) / on (job) tlswatch_window_incomplete",
                "up has no label cipher to group by"
            ),
            ("role:tlswatch_handshakes:rate1m", "no metric role:tlswatch_handshakes:rate1m"),
            (
                #"role:tlswatch_handshakes:rate5m{instance="a"}"#,
                "role:tlswatch_handshakes:rate5m has no label instance"
            ),
            ("vector(1)", "it asks for no metric"),
        ])
    func misspelt(_ expression: String, _ fault: String) throws {
        #expect(try names().faults(in: PromQLNames(expression)) == [fault])
    }

    @Test("Functions, keywords, numbers, durations and strings are no metrics")
    func onlyMetricsAreTakenForMetrics() {
        let query = PromQLNames(
            #"""
            topk by (role) (3, rate(a_total{b="c{d}",e=~'\'f'}[5m:1m] offset 1h)) or 1e3 * Inf > bool 0x1f
            and on (role) group_left (g) h unless `i` == sum(j) without (k)
            """#)
        #expect(query.selectors.map(\.name) == ["a_total", "h", "j"])
        #expect(query.selectors[0].labels == ["b", "e"])
        #expect(query.groupings.map(\.labels) == [["role"], ["role"], ["g"], ["k"]])
        #expect(query.groupings[0].over.map(\.name) == ["a_total"])
    }
}

/// What is looked at of a Grafana dashboard.
struct Dashboard: Decodable {
    struct Panel: Decodable {
        struct Grid: Decodable { var x, y, w, h: Int }
        struct Field: Decodable {
            struct Defaults: Decodable {
                struct Thresholds: Decodable {
                    struct Step: Decodable { var value: Double? }
                    var steps: [Step]
                }
                var unit: String?
                var thresholds: Thresholds?
            }
            var defaults: Defaults
        }
        struct Options: Decodable {
            struct Axis: Decodable { var unit: String? }
            var yAxis: Axis?
        }
        struct Source: Decodable { var uid: String }

        var id: Int
        var type, title: String
        var description: String?
        var gridPos: Grid
        var fieldConfig: Field?
        var options: Options?
        var datasource: Source?
        var targets: [Target]?
    }

    struct Target: Decodable {
        var expr: String
        var legendFormat: String?

        /// `{{role}}`
        var legendLabels: [String] {
            (legendFormat ?? "").matches(of: /\{\{([a-z_]+)\}\}/).map { String($0.output.1) }
        }
    }

    struct Templating: Decodable {
        struct Variable: Decodable {
            var name, type: String
            var definition: String?
        }
        var list: [Variable]
    }

    var schemaVersion: Int
    var panels: [Panel]
    var templating: Templating

    static func read() throws -> Dashboard {
        try JSONDecoder().decode(Dashboard.self, from: Data(CatalogueDocuments.text("metrics/dashboard.json").utf8))
    }

    /// With a value for what Grafana puts in.
    static func substituted(_ expression: String) -> String {
        expression.replacing("$__rate_interval", with: "5m")
    }
}

import Foundation
import Testing

@testable import Handshakes

/// A page for each alert: what it means, where to look, what it may be.
@Suite("Runbooks") struct RunbookTests {
    private static let place = "https://runbooks.example/tlswatch/"

    private func alerts() throws -> [String] {
        RuleFile(try CatalogueDocuments.text("metrics/alerts.yml")).rules.filter(\.isAlert).map(\.name)
    }

    private func page(_ alert: String) throws -> String { try CatalogueDocuments.text("docs/runbooks/\(alert).md") }

    @Test("Each alert names its page, and each page is an alert's") func pages() throws {
        let named = try CatalogueDocuments.text("metrics/alerts.yml").matches(of: /runbook_url: (\S+)/).map {
            String($0.output.1)
        }
        let alerts = try alerts()
        #expect(named == alerts.map { Self.place + $0 + ".md" })
        let folder = CatalogueDocuments.root.appending(path: "docs/runbooks").path
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: folder).sorted() == alerts.map { $0 + ".md" }.sorted())
        for alert in alerts {
            let headings = try page(alert).split(separator: "\n").filter { $0.hasPrefix("#") }
            #expect(headings == ["# \(alert)", "## First look", "## Causes"])
        }
    }

    @Test("What the pages ask Prometheus for exists, and so do the fields that they select and group by")
    func questions() throws {
        let rules = try ["recording-rules", "recording-rules-classic"].flatMap {
            RuleFile(try CatalogueDocuments.text("metrics/\($0).yml")).rules
        }
        let names = MetricNames(recorded: rules.filter { !$0.isAlert }.map(\.name))
        var (queries, conditions) = (0, 0)
        for alert in try alerts() {
            for code in try page(alert).matches(of: /`([^`]+)`/).map({ String($0.output.1) }) {
                if code.contains(/[a-z]_[a-z]+[{(\[]|[a-z]:[a-z]/), !code.contains("curl"), !code.contains("sudo") {
                    queries += 1
                    let faults = names.faults(in: PromQLNames(code))
                    #expect(faults.isEmpty, "\(alert): \(code): \(faults)")
                }
                if let condition = code.firstMatch(of: /where[ =]'?([^']+)'/).map({ String($0.output.1) }) {
                    conditions += 1
                    #expect(throws: Never.self, "\(alert): \(condition)") { try HandshakeFilter(condition) }
                }
                for name in code.firstMatch(of: /--by ([a-z_,]+)/).map({ $0.output.1.split(separator: ",") }) ?? [] {
                    #expect(HandshakeKey.named(String(name)) != nil, "\(alert): --by \(name)")
                }
            }
        }
        #expect(queries >= 10 && conditions >= 5)
    }
}

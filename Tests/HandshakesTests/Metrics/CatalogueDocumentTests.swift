import Foundation
import TestSupport
import Testing

@testable import Handshakes

/// What is written about the metrics is what the code serves. `make docs` writes it anew.
@Suite("The metrics as documented") struct CatalogueDocumentTests {
    private static let rewrites = ProcessInfo.processInfo.environment["TLSWATCH_WRITE_DOCS"] == "1"

    private func expect(_ path: String, toBe wanted: String) throws {
        if Self.rewrites {
            try wanted.write(to: CatalogueDocuments.root.appending(path: path), atomically: true, encoding: .utf8)
        }
        #expect(try CatalogueDocuments.text(path) == wanted, "\(path) is not what the code serves: `make docs`")
    }

    @Test("metrics/catalogue.json is the catalogue")
    func theCatalogueFileIsTheCatalogue() throws {
        try expect("metrics/catalogue.json", toBe: CatalogueDocuments.json())
    }

    @Test(
        "The tables are the catalogue's",
        arguments: [
            ("metrics/README.md", MetricCatalogue.all, true), ("README.md", CatalogueDocuments.main, false),
        ])
    func theTablesAreTheCatalogues(_ path: String, _ descriptors: [MetricDescriptor], _ wide: Bool) throws {
        let document = try CatalogueDocuments.text(path)
        let table = CatalogueDocuments.table(descriptors, wide: wide)
        try expect(path, toBe: #require(CatalogueDocuments.document(document, with: table)))
    }

    @Test("The cost that a family tells begins with the lines that one label set makes")
    func costsAreCountedInLines() {
        for family in fullSnapshot().families {
            guard case .histograms = family.samples else { continue }
            let name = family.descriptor.name
            let lines = text(fullSnapshot()).split(separator: "\n").filter {
                $0.hasPrefix(name + "_") && !$0.hasPrefix("#")
            }
            #expect(lines.count == family.samples.count * 20, "\(name)")
            #expect(family.descriptor.cost.hasPrefix("20 "), "\(name)")
        }
        #expect(MetricCatalogue.all.allSatisfy { $0.cost.first?.isNumber == true })
    }
}

import Foundation
import Testing

@testable import tlswatch

/// What is written about the settings is what the table has. `make docs` writes it anew.
@Suite("The settings as documented") struct SettingsDocumentTests {
    private static let rewrites = ProcessInfo.processInfo.environment["TLSWATCH_WRITE_DOCS"] == "1"

    private func expect(_ path: String, toBe wanted: String) throws {
        if Self.rewrites {
            try wanted.write(to: SettingDocuments.root.appending(path: path), atomically: true, encoding: .utf8)
        }
        #expect(try SettingDocuments.text(path) == wanted, "\(path) is not what the table has: `make docs`")
    }

    @Test("docs/configuration.md has the table of settings")
    func theDocumentHasTheTable() throws {
        let path = "docs/configuration.md"
        try expect(path, toBe: #require(SettingDocuments.document(SettingDocuments.text(path))))
    }

    @Test("packaging/tlswatch.yml is every setting with its default, and none in force")
    func thePackagedFileHasEverySetting() throws {
        try expect("packaging/tlswatch.yml", toBe: SettingDocuments.file())
        #expect(try SettingsFile(text: SettingDocuments.file(), path: "tlswatch.yml").texts.isEmpty)
    }

    @Test("The default file with every line in force sets every default, and changes nothing")
    func thePackagedFileChangesNothing() throws {
        let text = SettingDocuments.file().split(separator: "\n").compactMap { line in
            line.hasPrefix("# ") ? nil : line.dropFirst()
        }.joined(separator: "\n")
        let texts = try SettingsFile(text: text, path: "tlswatch.yml").texts
        for setting in Setting.all { #expect(texts[setting.key] ?? [] == setting.standard, "\(setting.key)") }
        #expect("\(RunSettings(texts))" == "\(RunSettings())")
    }

    @Test("A key is told in kebab case, with its own variable and flag, and what it means")
    func keysAreWrittenInKebabCase() {
        #expect(Set(Setting.all.map(\.key)).count == Setting.all.count)
        for setting in Setting.all {
            #expect(setting.key.wholeMatch(of: /[a-z]+(-[a-z]+)*/) != nil)
            #expect(setting.meaning.hasSuffix("."))
            #expect((setting.cost.isEmpty || setting.cost.hasSuffix(".")))
            #expect(!"\(setting.meaning)\(setting.cost)\(setting.accepts)".contains("|"))
        }
    }

    @Test("Where listen is set it is said that the unit admits this host alone, and what admits others")
    func otherHosts() throws {
        let unit = try SettingDocuments.text("packaging/tlswatch.service")
        #expect(unit.contains("\nIPAddressDeny=any\n"))
        #expect(unit.contains("tlswatch.service.d/other-hosts.conf"))
        let settings = try SettingDocuments.text("packaging/tlswatch.yml")
        let listen = try #require(settings.components(separatedBy: "\n\n").first { $0.contains("\n#listen:") })
        #expect(listen.contains("IPAddressDeny=any"))
        #expect(listen.contains("examples/other-hosts.conf"))
        let document = try SettingDocuments.text("docs/configuration.md")
        #expect(document.contains("tlswatch.service.d/other-hosts.conf"))
        // The drop-in that it shows is the one that is shipped.
        let shipped = try SettingDocuments.text("packaging/examples/other-hosts.conf").split(separator: "\n")
        let dropIn = shipped.filter { !$0.hasPrefix("#") }
        #expect(dropIn.contains { $0.hasPrefix("IPAddressAllow=") })
        for line in dropIn { #expect(document.contains("\n\(line)\n"), "\(line)") }
    }
}

import ArgumentParser
import Foundation
import Testing

@testable import tlswatch

/// The manual page has what the command has. `make docs` writes its tables anew.
@Suite("The manual page") struct ManualPageTests {
    private static let rewrites = ProcessInfo.processInfo.environment["TLSWATCH_WRITE_DOCS"] == "1"

    @Test("packaging/tlswatch.1 has every command with its options, and every variable")
    func thePageHasEveryCommand() throws {
        let wanted = try #require(try ManualPage.page(SettingDocuments.text(ManualPage.path)))
        if Self.rewrites {
            let file = SettingDocuments.root.appending(path: ManualPage.path)
            try wanted.write(to: file, atomically: true, encoding: .utf8)
        }
        #expect(
            try SettingDocuments.text(ManualPage.path) == wanted, "the page is not what the command has: `make docs`")
    }

    @Test("What the page is made from is all that the program takes")
    func thePageIsMadeFromEverything() throws {
        let page = try SettingDocuments.text(ManualPage.path)
        let program = try ManualPage.program()
        let commands = try #require(program.command.subcommands).filter { $0.commandName != "help" }
        #expect(commands.map(\.commandName) == TLSWatch.configuration.subcommands.map { $0._commandName })
        for command in commands {
            #expect(page.contains("\n.Ss \(command.commandName)\n"))
            #expect(page.contains("\n.Cm \(command.commandName)\n"), "in the synopsis")
            for name in (command.arguments ?? []).flatMap({ $0.names ?? [] }) where name.name.count > 1 {
                guard !["help", "version"].contains(name.name) else { continue }
                #expect(page.contains(".It Fl -\(name.name)") || page.contains(" , Fl -\(name.name)"))
            }
        }
        for status in ["0", "64", "65", "69", "71", "77", "130"] { #expect(page.contains("\n.It \(status)\n")) }
    }
}

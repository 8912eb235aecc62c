import ArgumentParser
import Foundation

@testable import tlswatch

/// The parts of tlswatch(1) that the program itself tells: its commands with their options, and the variables.
enum ManualPage {
    static let path = "packaging/tlswatch.1"

    /// What ArgumentParser tells of a program.
    struct Program: Decodable {
        var command: Command
    }

    struct Command: Decodable {
        var commandName: String
        var abstract: String?
        var discussion: String?
        var arguments: [Argument]?
        var subcommands: [Command]?
    }

    struct Argument: Decodable {
        struct Name: Decodable {
            var kind: String
            var name: String
        }
        var kind: String
        var names: [Name]?
        var valueName: String?
        var abstract: String?
        var discussion: String?
        var defaultValue: String?
        var allValues: [String]?
        var isRepeating: Bool
        var isOptional: Bool
        var sectionTitle: String?
        var shouldDisplay: Bool
    }

    static func program() throws -> Program {
        try JSONDecoder().decode(Program.self, from: Data(TLSWatch._dumpHelp().utf8))
    }

    /// The page with its parts made anew; `nil` without their marks.
    static func page(_ text: String) throws -> String? {
        let commands = try program().command.subcommands ?? []
        let parts = [
            ("commands", commands.filter { $0.commandName != "help" }.map(section).joined()),
            ("variables", variables()),
        ]
        var page: String? = text
        for (name, part) in parts { page = page.flatMap { replacing(name, with: part, in: $0) } }
        return page
    }

    private static func replacing(_ name: String, with part: String, in text: String) -> String? {
        guard let first = text.range(of: ".\\\" \(name): made by `make docs`\n"),
            let last = text.range(of: ".\\\" end of \(name)\n")
        else { return nil }
        return text[..<first.upperBound] + part + text[last.lowerBound...]
    }

    private static func section(_ command: Command) -> String {
        let common = ["help", "version"]
        let arguments = (command.arguments ?? []).filter { argument in
            argument.shouldDisplay && !(argument.names ?? []).contains { common.contains($0.name) }
        }
        // The examples have a section of their own.
        let discussion = command.discussion.map {
            String($0.prefix(upTo: $0.range(of: "EXAMPLES")?.lowerBound ?? $0.endIndex))
        }
        var lines = [".Ss \(command.commandName)", text(command.abstract)]
        if let discussion = discussion.map(text), !discussion.isEmpty { lines += [".Pp", discussion] }
        if !arguments.isEmpty { lines += [".Bl -tag -width Ds"] + arguments.map(item) + [".El"] }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func item(_ argument: Argument) -> String {
        let value = argument.valueName.map(escaped) ?? "value"
        // What turns a flag off again needs no line of its own.
        let names = (argument.names ?? []).map { $0.kind == "long" ? "-" + $0.name : $0.name }.map(escaped)
        var head = ".It " + (names.isEmpty ? "Ar \(value)" : names.map { "Fl \($0)" }.joined(separator: " , "))
        if argument.kind == "option" { head += " Ar \(value)" }
        var told = [argument.abstract, argument.discussion].compactMap { $0 }.map(text).filter { !$0.isEmpty }
        if let values = argument.allValues, !values.isEmpty {
            told.append(text("One of \(values.joined(separator: ", "))."))
        }
        if let standard = argument.defaultValue { told.append(text("The default is \(standard).")) }
        if let section = argument.sectionTitle { told.append(text("\(section) only.")) }
        return ([head] + told).joined(separator: "\n")
    }

    private static func variables() -> String {
        let items = Setting.all.map { ".It Ev \($0.variable)\n\(text("As \($0.flag)."))" }
        return ([".Bl -tag -width Ds"] + items + [".El"]).joined(separator: "\n") + "\n"
    }

    /// Running text: nothing in it is a request, and each sentence has its own line as mdoc(7) asks.
    private static func text(_ text: String?) -> String {
        let words = (text ?? "").split { $0.isWhitespace }.joined(separator: " ")
        return escaped(words).replacing(/(?<end>[.)])\ (?<next>[A-Z])/) { "\($0.output.end)\n\($0.output.next)" }
            .split(separator: "\n").map { ".'".contains($0.first ?? " ") ? "\\&" + $0 : $0 }.joined(separator: "\n")
    }

    private static func escaped(_ text: String) -> String {
        text.replacing("\\", with: "\\e").replacing("--", with: "\\-\\-")
    }
}

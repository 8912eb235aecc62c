import Foundation
import Handshakes

/// What is written about the fields of a session, made from their table.
enum SessionDocuments {
    static let begin = "<!-- fields: made by `make docs` -->"
    static let end = "<!-- end of fields -->"

    static func table() -> String {
        let head = "| field | type | unit | meaning | absent if |\n|---|---|---|---|---|\n"
        return head
            + HandshakeField.all.map { field in
                "| `\(field.name)` | \(type(of: field)) | \(field.unit ?? "") | \(field.meaning) "
                    + "| \(field.absence ?? "never") |\n"
            }.joined()
    }

    /// The document with another table between the marks; `nil` without them.
    static func document(_ text: String) -> String? {
        guard let first = text.range(of: begin + "\n\n"), let last = text.range(of: "\n" + end) else { return nil }
        return String(text[..<first.upperBound]) + table() + String(text[last.lowerBound...])
    }

    /// The schema with other properties and requirements; the rules between fields stay. `nil` without the marks of either.
    static func schema(_ text: String) -> String? {
        guard let first = text.range(of: "  \"properties\": {\n"),
            let last = text.range(of: "  \"additionalProperties\"")
        else { return nil }
        let properties = HandshakeField.all.map { field in
            let lines = ["\"description\": \(quoted(plain(field.meaning) + "."))"] + constraints(of: field)
            return "    \"\(field.name)\": {\n" + lines.map { "      \($0)" }.joined(separator: ",\n") + "\n    }"
        }
        let required = HandshakeField.all.filter { $0.absence == nil }.map { "    \"\($0.name)\"" }
        return String(text[..<first.upperBound]) + properties.joined(separator: ",\n") + "\n  },\n  \"required\": [\n"
            + required.joined(separator: ",\n") + "\n  ],\n" + String(text[last.lowerBound...])
    }

    private static func type(of field: HandshakeField) -> String {
        switch field.kind {
        case .time, .text, .word, .address: "string"
        case .count, .nanoseconds: "integer"
        case .flag: "boolean"
        case .ratio: "number"
        }
    }

    /// The schema's keywords for a kind, a line each.
    private static func constraints(of field: HandshakeField) -> [String] {
        if case .word(let words) = field.kind {
            let values = words.map { "        \"\($0)\"" }.joined(separator: ",\n")
            return ["\"enum\": [\n\(values)\n      ]"]
        }
        let bounds: [String] =
            switch field.kind {
            case .time:
                [pattern(#"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{9}Z$"#)]
            case .text(.any), .flag, .word: []
            case .text(.notEmpty): ["\"minLength\": 1"]
            case .text(.atMost(let length)): ["\"minLength\": 1", "\"maxLength\": \(length)"]
            case .text(.pattern(let text)): [pattern(text)]
            case .count(let range):
                ["\"minimum\": \(range.lowerBound)"]
                    + (range.upperBound == .max ? [] : ["\"maximum\": \(range.upperBound)"])
            case .nanoseconds: ["\"minimum\": 0"]
            case .ratio: ["\"minimum\": 0", "\"maximum\": 1"]
            case .address: [pattern(":[0-9]+$")]
            }
        return ["\"type\": \"\(type(of: field))\""] + bounds
    }

    private static func pattern(_ text: String) -> String { "\"pattern\": \(quoted(text))" }

    /// Without Markdown's marks.
    private static func plain(_ text: String) -> String { text.replacing("`", with: "") }

    private static func quoted(_ text: String) -> String {
        var bytes: [UInt8] = []
        JSONText.append(text, to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }
}

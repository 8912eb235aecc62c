/// One field of a session: its name, what it means and how it is read from a `Handshake`.
///
/// `all` is the one table of them. The JSON line, its schema and document, the status page's details, the table's columns and
/// the extra labels follow it.
package final class HandshakeField: Sendable {
    /// What a field holds, and within which bounds.
    package enum Kind: Sendable, Equatable {
        /// Wall-clock time.
        case time
        case text(TextForm)
        /// One of these.
        case word([String])
        case count(ClosedRange<UInt64>)
        case flag
        /// A duration of the monotonic clock.
        case nanoseconds
        /// From 0 to 1.
        case ratio
        /// `127.0.0.1:443`, `[::1]:443`.
        case address

        /// The words of an enumeration.
        static func words<Word: RawRepresentable<String> & CaseIterable>(_ type: Word.Type) -> Kind {
            .word(Word.allCases.map(\.rawValue))
        }
    }

    /// What is promised of a text.
    package enum TextForm: Sendable, Equatable {
        case any
        case notEmpty
        /// Not empty, and at most so many bytes: chosen by peers.
        case atMost(Int)
        /// A regular expression (ECMA 262).
        case pattern(String)
    }

    /// In JSON, in expressions and as a label: snake case, with the unit's suffix.
    package let name: String
    package let kind: Kind
    /// What people call it: on the status page.
    package let title: String
    /// In Markdown, without the full stop.
    package let meaning: String
    /// When it is absent, in Markdown: completes "absent if"; `nil` if every session has it.
    package let absence: String?
    /// Reads the field of a session; `nil` if the fact was not observed.
    package let value: @Sendable (Handshake) -> FieldValue?
    /// `,"name":`
    let key: [UInt8]

    init(
        _ name: String, _ kind: Kind, title: String, _ meaning: String, absentIf absence: String? = nil,
        _ value: @escaping @Sendable (Handshake) -> FieldValue?
    ) {
        self.name = name
        self.kind = kind
        self.title = title
        self.meaning = meaning
        self.absence = absence
        self.value = value
        var key = [UInt8(ascii: ",")]
        JSONText.append(name, to: &key)
        self.key = key + [UInt8(ascii: ":")]
    }

    /// The unit of its numbers; `nil` for texts and plain numbers.
    package var unit: String? {
        switch kind {
        case .nanoseconds: "nanoseconds"
        case .ratio: "ratio"
        case .time, .text, .word, .count, .flag, .address: nil
        }
    }

    /// The field of this name.
    package static func named(_ name: String) -> HandshakeField? { byName[name] }

    private static let byName = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })
}

import TestSupport
import Testing

@testable import Handshakes

@Suite struct HandshakeFieldTests {
    @Test("Each field has a name of its own in snake case, by which it is found, a title and a meaning")
    func names() {
        #expect(Set(HandshakeField.all.map(\.name)).count == HandshakeField.all.count)
        for field in HandshakeField.all {
            #expect(field.name.wholeMatch(of: /[a-z]+(_[a-z]+)*/) != nil, "\(field.name)")
            #expect(HandshakeField.named(field.name) === field)
            #expect(field.name.hasSuffix("_ns") == (field.kind == .nanoseconds), "\(field.name)")
            #expect(!field.title.isEmpty && field.meaning.first?.isUppercase ?? false || field.meaning.hasPrefix("`"))
            // They go into a table's cells, and get their full stop there.
            for text in [field.meaning, field.absence ?? "-"] {
                #expect(!text.isEmpty && !text.contains("|") && !text.hasSuffix("."), "\(field.name)")
            }
        }
        #expect(HandshakeField.named("duration") == nil)
    }

    @Test("What is always there is so for a session of which nothing is known, and no value is out of its kind")
    func values() {
        // Seen by the wire alone, of a process that sent nothing.
        var bare = unfinishedHandshake(end: second, outcome: .timeout, reason: nil)
        bare.observedBy = .wire
        bare.pid = 0
        bare.calls = 0
        for field in HandshakeField.all {
            #expect((field.value(bare) != nil) == (field.absence == nil), "\(field.name)")
            guard let value = field.value(completedHandshake(end: second)) else { continue }
            switch (field.kind, value) {
            case (.text, .text), (.address, .text), (.count, .count), (.flag, .flag), (.nanoseconds, .nanoseconds),
                (.ratio, .ratio), (.time, .time):
                break
            case (.word(let words), .text(let word)): #expect(words.contains(word), "\(field.name)")
            default: Issue.record("\(field.name) is \(value)")
            }
        }
    }

    @Test(
        "A value is printed as JSON has it, without quotes",
        arguments: [
            (.text("a\"b"), "a\"b"), (.count(.max), "18446744073709551615"), (.nanoseconds(0), "0"),
            (.flag(true), "true"), (.flag(false), "false"), (.ratio(0), "0.0"), (.ratio(1), "1.0"),
            (.ratio(2.0 / 3), "0.666667"), (.time(0), "1970-01-01T00:00:00.000000000Z"),
        ] as [(FieldValue, String)])
    func text(_ value: FieldValue, _ text: String) {
        #expect(value.text == text)
    }

    @Test("Values of one field are in order: numbers by size, texts by their bytes")
    func order() {
        let ordered: [[FieldValue]] = [
            [.count(2), .count(10)], [.nanoseconds(2), .nanoseconds(10)],
            [.text(""), .text("B"), .text("a"), .text("é")],
            [.flag(false), .flag(true)], [.ratio(0.1), .ratio(0.2)], [.time(-1), .time(1)],
        ]
        for values in ordered {
            #expect(values.reversed().sorted() == values)
            for value in values { #expect(!(value < value) && value == value) }
        }
        // Total: whatever is compared, one comes first.
        let all = ordered.flatMap { $0 }
        for left in all {
            for right in all where left != right { #expect((left < right) != (right < left), "\(left) \(right)") }
        }
    }

    @Test(
        "A moment is broken down as the calendar has it",
        arguments: [
            (0, "1970-01-01T00:00:00.000000000Z"), (-1, "1969-12-31T23:59:59.999999999Z"),
            (951_782_399_000_000_000, "2000-02-28T23:59:59.000000000Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00.000000000Z"),
            (1_709_251_199_999_999_999, "2024-02-29T23:59:59.999999999Z"),
            (1_709_251_200_000_000_000, "2024-03-01T00:00:00.000000000Z"),
            (4_107_542_399_000_000_000, "2100-02-28T23:59:59.000000000Z"),
            (4_107_542_400_000_000_000, "2100-03-01T00:00:00.000000000Z"),
            (1_767_323_045_678_901_234, "2026-01-02T03:04:05.678901234Z"),
            (Int64.max, "2262-04-11T23:47:16.854775807Z"), (Int64.min, "1677-09-21T00:12:43.145224192Z"),
        ] as [(Int64, String)])
    func moments(_ time: Int64, _ text: String) {
        #expect(UTCTime(time).text == text)
    }
}

import Foundation
import Logging
import Testing

@testable import tlswatch

@Suite("Formats of the log") struct LogFormatTests {
    private func line(_ format: LogFormat, journal: Bool = false, _ message: String, _ metadata: Logger.Metadata)
        -> String
    {
        LineLogHandler(shared: SharedLogFormat(format), journal: journal)
            .line(level: .warning, message: message, metadata: metadata, time: 1_700_000_000_123_456_789)
    }

    @Test("JSON is one object a line, whatever the message holds")
    func jsonIsAnObjectALine() throws {
        let text = line(
            .json, "a \"quoted\"\nline\u{1b}[2J",
            [
                "count": .stringConvertible(3), "sum": .stringConvertible(UInt64.max), "on": .stringConvertible(true),
                "text": "4", "list": ["a", .dictionary(["b": "c\n"])],
            ])
        #expect(!text.contains("\n"))
        #expect(!text.contains("\u{1b}"))
        let object = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        #expect(object["time"] as? String == "2023-11-14T22:13:20.123456789Z")
        #expect(object["level"] as? String == "warning")
        #expect(object["message"] as? String == "a \"quoted\"\nline\u{1b}[2J")
        let metadata = try #require(object["metadata"] as? [String: Any])
        #expect(text.contains(#""count":3,"#), "numbers are numbers")
        #expect(text.contains(#""sum":18446744073709551615"#), "numbers are numbers")
        #expect(metadata["on"] as? Bool == true)
        #expect(metadata["text"] as? String == "4")
        let list = try #require(metadata["list"] as? [Any])
        #expect(list.first as? String == "a")
        #expect((list.last as? [String: String]) == ["b": "c\n"])
    }

    @Test("Text is one line with its time; control characters of others do not reach the terminal")
    func textIsALineWithItsTime() {
        #expect(
            line(.text, "attached", ["path": "/x\ny\u{1b}[2J\u{2028}", "a": "1"])
                == "2023-11-14T22:13:20.123456789Z warning attached a=1 path=/x\\u{a}y\\u{1b}[2J\\u{2028}")
    }

    @Test("logfmt is as Go's slog writes it")
    func logfmtIsPairs() {
        #expect(
            line(.logfmt, "two words", ["path": "/x\n\"y", "a": "1", "b": "", "c": "k=v", "d": "plain/word"])
                == "time=2023-11-14T22:13:20.123456789Z level=warn msg=\"two words\" a=1 b=\"\" c=\"k=v\" d=plain/word "
                + "path=\"/x\\u000a\\\"y\"")
    }

    @Test("The level is all loggers', and changes while they are in use; one logger can be quieter")
    func level() {
        let shared = SharedLogFormat(.text, .warn)
        var handler = LineLogHandler(shared: shared, journal: false)
        #expect(handler.logLevel == .warning)
        shared.set(.json, .debug)
        #expect(handler.logLevel == .debug && shared.value == .json)
        handler.logLevel = .warning
        #expect(handler.logLevel == .warning)
        shared.set(.json, .error)
        #expect(handler.logLevel == .error)
        #expect(LogLevel.allCases.map(\.level) == [.debug, .info, .warning, .error])
    }

    @Test("For the journal, text has the priority and no time")
    func theJournalGetsAPriority() {
        #expect(line(.text, journal: true, "attached", [:]) == "<4>attached")
        #expect(line(.json, journal: true, "attached", [:]).hasPrefix("{"))
        #expect(Logger.Level.allCases.map(\.priority) == [7, 7, 6, 5, 4, 3, 2])
    }

    @Test("JOURNAL_STREAM counts only where it names this very stream")
    func onlyThisStreamIsTheJournal() {
        #expect(JournalStream.matches("8:4711", device: 8, inode: 4711))
        #expect(!JournalStream.matches("8:4711", device: 8, inode: 4712))
        #expect(!JournalStream.matches("8:4711", device: 9, inode: 4711))
        #expect(!JournalStream.matches("1", device: 8, inode: 4711))
    }
}

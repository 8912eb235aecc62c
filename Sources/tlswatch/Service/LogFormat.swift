import Glibc
import HandshakeProbe
import Handshakes
import Kernel
import Logging
import Synchronization

/// How `run` writes its log, on standard error: a line an event.
enum LogFormat: String, Sendable, CaseIterable {
    case text, json
}

/// The format of every logger of this process, which can change while they are in use. Any thread.
final class SharedLogFormat: Sendable {
    private let format: Mutex<LogFormat>

    init(_ format: LogFormat) { self.format = Mutex(format) }

    var value: LogFormat { format.withLock { $0 } }
    func set(_ next: LogFormat) { format.withLock { $0 = next } }

    /// Makes it the one. Once, before the first message.
    func bootstrap() {
        let journal = JournalStream.isStandardError
        LoggingSystem.bootstrap { [self] _ in LineLogHandler(shared: self, journal: journal) }
    }
}

/// systemd's journal behind standard error (systemd.exec(5), JOURNAL_STREAM).
enum JournalStream {
    static var isStandardError: Bool {
        guard let value = environment("JOURNAL_STREAM") else { return false }
        var status = stat()
        guard unsafe fstat(2, &status) == 0 else { return false }
        return matches(value, device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
    }

    /// The variable is inherited by programs whose standard error leads elsewhere, so it names the stream it means.
    static func matches(_ value: String, device: UInt64, inode: UInt64) -> Bool {
        value == "\(device):\(inode)"
    }
}

/// Writes each event as one line, in one write: lines of several threads do not mix. Any thread.
struct LineLogHandler: LogHandler {
    var shared: SharedLogFormat
    /// Whether the journal reads it, which has the time already and takes the priority from a prefix (sd-daemon(3)).
    var journal: Bool
    var logLevel: Logger.Level = .info
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider?

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    /// Characters of a line that are written; the rest is somebody's very long name.
    private static let longest = 4096
    var budget = LogBudget.process

    func log(event: LogEvent) {
        // The end of the process is always told.
        let (admitted, leftOut) = budget.admit()
        guard admitted || event.level >= .critical else { return }
        if leftOut > 0 {
            let message = "\(leftOut) log lines were suppressed before this one: too many at a time"
            LogOutput.write(line(level: .warning, message: message, metadata: [:], time: wallClockNow()))
        }
        var all = metadata
        for more in [metadataProvider?.get(), event.metadata] { all.merge(more ?? [:]) { $1 } }
        let text = line(level: event.level, message: event.message.description, metadata: all, time: wallClockNow())
        if !LogOutput.write(text) { budget.leftOut() }
    }

    /// - Parameter time: nanoseconds since 1970.
    func line(level: Logger.Level, message: String, metadata: Logger.Metadata, time: Int64) -> String {
        switch shared.value {
        case .json: json(level, message, metadata, time)
        case .text: text(level, message, metadata, time)
        }
    }

    private func json(_ level: Logger.Level, _ message: String, _ metadata: Logger.Metadata, _ time: Int64) -> String {
        var object = JSONObject()
        object.text("time", UTCTime(time).text)
        object.text("level", level.rawValue)
        object.text("message", String(message.prefix(Self.longest)))
        if !metadata.isEmpty { object.literal("metadata", Self.json(metadata)) }
        return String(decoding: object.finish(), as: UTF8.self)
    }

    private static func json(_ metadata: Logger.Metadata) -> String {
        var object = JSONObject()
        for (key, value) in metadata.sorted(by: { $0.key < $1.key }) { object.literal(key, json(value)) }
        return String(decoding: object.finish(), as: UTF8.self)
    }

    private static func json(_ value: Logger.Metadata.Value) -> String {
        switch value {
        case .dictionary(let entries): return json(entries)
        case .array(let values): return "[" + values.map { json($0) }.joined(separator: ",") + "]"
        case .stringConvertible(let number as any BinaryInteger): return "\(number)"
        case .stringConvertible(let truth as Bool): return "\(truth)"
        case .string, .stringConvertible:
            var bytes: [UInt8] = []
            JSONText.append(value.description, to: &bytes)
            return String(decoding: bytes, as: UTF8.self)
        }
    }

    private func text(_ level: Logger.Level, _ message: String, _ metadata: Logger.Metadata, _ time: Int64) -> String {
        let head = journal ? "<\(level.priority)>" : "\(UTCTime(time).text) \(level.rawValue) "
        let facts = metadata.sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }
        return head + Self.oneLine(message + facts.joined())
    }

    /// Paths and names are other people's text: none of them may begin a line of its own, or move a terminal's cursor.
    static func oneLine(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars.prefix(longest) {
            if scalar.properties.generalCategory == .control || scalar == "\u{2028}" || scalar == "\u{2029}" {
                result += "\\u{\(String(scalar.value, radix: 16))}"
            } else {
                result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}

extension Logger.Level {
    /// syslog(3)'s number.
    var priority: Int {
        switch self {
        case .trace, .debug: 7
        case .info: 6
        case .notice: 5
        case .warning: 4
        case .error: 3
        case .critical: 2
        }
    }
}

import Glibc
import HandshakeProbe
import Handshakes
import Kernel
import Logging
import Synchronization

/// How `run` writes its log, on standard error: a line an event.
enum LogFormat: String, Sendable, CaseIterable {
    case text, json, logfmt
}

/// The least severe messages of a log, in the words of Prometheus's exporters.
enum LogLevel: String, Sendable, CaseIterable {
    case debug, info, warn, error

    var level: Logger.Level {
        switch self {
        case .debug: .debug
        case .info: .info
        case .warn: .warning
        case .error: .error
        }
    }
}

/// Format and level of every logger of this process, which can change while they are in use. Any thread.
final class SharedLogFormat: Sendable {
    private let state: Mutex<(format: LogFormat, level: LogLevel)>

    init(_ format: LogFormat, _ level: LogLevel = .info) { state = Mutex((format, level)) }

    var value: LogFormat { state.withLock { $0.format } }
    var level: Logger.Level { state.withLock { $0.level }.level }
    func set(_ format: LogFormat, _ level: LogLevel) { state.withLock { $0 = (format, level) } }

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
    /// That of one logger, which can only be quieter than the others.
    private var own: Logger.Level = .trace
    var logLevel: Logger.Level {
        get { max(own, shared.level) }
        set { own = newValue }
    }
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider?

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    /// Characters of a line that are written; the rest is somebody's very long name.
    private static let longest = 4096
    var budget = LogBudget.process

    init(shared: SharedLogFormat, journal: Bool) {
        self.shared = shared
        self.journal = journal
    }

    func log(event: LogEvent) {
        // The end of the process is always told.
        let (admitted, leftOut) = budget.admit()
        guard admitted || event.level >= .critical else { return }
        if leftOut > 0, logLevel <= .warning {
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
        case .logfmt: logfmt(level, message, metadata, time)
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

    /// As Go's slog writes it: `time=… level=INFO msg="…" key=value`.
    private func logfmt(_ level: Logger.Level, _ message: String, _ metadata: Logger.Metadata, _ time: Int64) -> String
    {
        var pairs = ["time=\(UTCTime(time).text)", "level=\(level.exporterName)", "msg=\(Self.quoted(message))"]
        for (key, value) in metadata.sorted(by: { $0.key < $1.key }) {
            pairs.append("\(key)=\(Self.quoted(value.description))")
        }
        return pairs.joined(separator: " ")
    }

    /// In quotes unless it is one plain word.
    private static func quoted(_ text: String) -> String {
        let isPlain = { (byte: UInt8) in
            (0x21..<0x7f).contains(byte) && ![UInt8(ascii: "\""), UInt8(ascii: "="), UInt8(ascii: "\\")].contains(byte)
        }
        if !text.isEmpty, text.utf8.count <= longest, text.utf8.allSatisfy(isPlain) { return text }
        var bytes: [UInt8] = []
        JSONText.append(String(text.unicodeScalars.prefix(longest)), to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
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
    /// The word that Prometheus's exporters have for it.
    var exporterName: String { self == .warning ? "warn" : rawValue }

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

import Glibc
import HandshakeProbe
import Handshakes

/// Builds one JSON object; what is `nil` is left out.
struct JSONObject {
    private var bytes: [UInt8] = [UInt8(ascii: "{")]

    mutating func text(_ key: String, _ value: String?) {
        guard let value else { return }
        begin(key)
        JSONText.append(value, to: &bytes)
    }

    mutating func number(_ key: String, _ value: UInt64?) {
        literal(key, value.map { String($0) })
    }

    /// A value that is JSON already.
    mutating func literal(_ key: String, _ value: String?) {
        guard let value else { return }
        begin(key)
        bytes += value.utf8
    }

    private mutating func begin(_ key: String) {
        if bytes.count > 1 { bytes.append(UInt8(ascii: ",")) }
        JSONText.append(key, to: &bytes)
        bytes.append(UInt8(ascii: ":"))
    }

    func finish() -> [UInt8] { bytes + [UInt8(ascii: "}")] }
}

func pad(_ value: Int, _ width: Int) -> String {
    let digits = String(value)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
}

/// A point in time, broken down.
struct CalendarTime {
    var year, month, day, hour, minute, second: Int

    /// - Parameter seconds: since 1970.
    init(_ seconds: Int, utc: Bool) {
        var time = time_t(seconds)
        var fields = unsafe tm()
        unsafe _ = utc ? gmtime_r(&time, &fields) : localtime_r(&time, &fields)
        year = unsafe Int(fields.tm_year) + 1900
        month = unsafe Int(fields.tm_mon) + 1
        day = unsafe Int(fields.tm_mday)
        hour = unsafe Int(fields.tm_hour)
        minute = unsafe Int(fields.tm_min)
        second = unsafe Int(fields.tm_sec)
    }

    /// `YYYY-MM-DD`
    var date: String { "\(pad(year, 4))-\(pad(month, 2))-\(pad(day, 2))" }
    /// `HH:MM:SS`
    var clock: String { "\(pad(hour, 2)):\(pad(minute, 2)):\(pad(second, 2))" }
}

extension JSONObject {
    /// An array of objects.
    static func array(_ objects: [JSONObject]) -> String {
        "[" + objects.map { String(decoding: $0.finish(), as: UTF8.self) }.joined(separator: ",") + "]"
    }

    /// An array of texts.
    static func array(_ texts: [String]) -> String {
        let items = texts.map { text in
            var bytes: [UInt8] = []
            JSONText.append(text, to: &bytes)
            return String(decoding: bytes, as: UTF8.self)
        }
        return "[" + items.joined(separator: ",") + "]"
    }
}

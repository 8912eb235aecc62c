import Glibc
import HandshakeProbe
import Handshakes

/// A session as one line of JSON: the keys and their order are the contract's.
enum JSONFormat {
    static func append(_ handshake: Handshake, to output: inout [UInt8]) {
        var object = JSONObject()
        object.text("time", timestamp(handshake.wallTime))
        object.number("pid", UInt64(handshake.pid))
        object.number("tid", UInt64(handshake.tid))
        object.text("comm", handshake.comm)
        object.text("thread", handshake.thread)
        object.text("exe", handshake.exe)
        object.text("container", handshake.container)
        object.text("stack", handshake.stack)
        object.text("library", handshake.library)
        object.text("library_version", handshake.libraryVersion)
        object.text("role", handshake.role.rawValue)
        object.text("outcome", handshake.outcome.rawValue)
        object.text("reason", handshake.reason)
        object.number("alert", handshake.alert.map(UInt64.init))
        object.text("alert_direction", handshake.alertDirection?.rawValue)
        object.text("library_reason", handshake.libraryReason)
        object.number("duration_ns", handshake.duration)
        object.number("busy_ns", handshake.busy)
        object.number("wait_ns", handshake.wait)
        object.number("calls", UInt64(handshake.calls))
        object.text("tls_version", handshake.tlsVersion)
        object.text("cipher", handshake.cipher)
        object.text("group", handshake.group)
        object.text("alpn", handshake.alpn)
        object.text("sni", handshake.sni)
        object.literal("resumed", handshake.resumed.map { $0 ? "true" : "false" })
        object.text("early_data", handshake.earlyData?.rawValue)
        object.literal("hello_retry_request", handshake.helloRetryRequest.map { $0 ? "true" : "false" })
        object.literal(
            "client_certificate_requested", handshake.clientCertificateRequested.map { $0 ? "true" : "false" })
        object.literal("client_certificate_given", handshake.clientCertificateGiven.map { $0 ? "true" : "false" })
        object.text("transport", handshake.transport?.rawValue)
        object.number("tcp_connect_ns", handshake.tcpConnect)
        object.number("first_record_delay_ns", handshake.firstRecordDelay)
        object.number("key_exchange_ns", handshake.keyExchange)
        object.number("key_exchange_compute_ns", handshake.keyExchangeCompute)
        object.number("alpn_negotiation_ns", handshake.alpnNegotiation)
        object.number("finished_ns", handshake.finished)
        object.literal("alpn_share", handshake.alpnShare.map(rounded))
        object.text("local", handshake.local)
        object.text("remote", handshake.remote)
        object.text("socket_confidence", handshake.socketConfidence.rawValue)
        output += object.finish()
        output.append(UInt8(ascii: "\n"))
    }

    /// A ratio to six digits.
    private static func rounded(_ value: Double) -> String {
        "\((value * 1_000_000).rounded() / 1_000_000)"
    }

    /// RFC 3339 in UTC with nanoseconds.
    static func timestamp(_ nanoseconds: Int64) -> String {
        let (second, fraction) = nanoseconds.quotientAndRemainder(dividingBy: 1_000_000_000)
        let time = CalendarTime(Int(second), utc: true)
        return "\(time.date)T\(time.clock).\(pad(Int(abs(fraction)), 9))Z"
    }
}

/// Builds one JSON object; what is `nil` is left out.
struct JSONObject {
    private var bytes: [UInt8] = [UInt8(ascii: "{")]

    mutating func text(_ key: String, _ value: String?) {
        guard let value else { return }
        begin(key)
        JSONObject.append(value, to: &bytes)
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
        JSONObject.append(key, to: &bytes)
        bytes.append(UInt8(ascii: ":"))
    }

    func finish() -> [UInt8] { bytes + [UInt8(ascii: "}")] }

    /// RFC 8259 section 7.
    static func append(_ text: String, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""): bytes += Array("\\\"".utf8)
            case UInt8(ascii: "\\"): bytes += Array("\\\\".utf8)
            case 0..<0x20, 0x7f:
                let digits = String(byte, radix: 16)
                bytes += Array(("\\u" + String(repeating: "0", count: 4 - digits.count) + digits).utf8)
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
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

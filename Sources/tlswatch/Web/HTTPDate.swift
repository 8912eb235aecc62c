import Glibc

/// The time as HTTP tells it (RFC 9110, section 5.6.7: IMF-fixdate).
enum HTTPDate {
    private static let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    /// `seconds` since the epoch, as `Sun, 06 Nov 1994 08:49:37 GMT`.
    static func text(seconds: Int) -> String {
        var seconds = seconds
        var time = unsafe tm()
        unsafe gmtime_r(&seconds, &time)
        let date = unsafe "\(two(time.tm_mday)) \(months[Int(time.tm_mon)]) \(time.tm_year + 1900)"
        let clock = unsafe "\(two(time.tm_hour)):\(two(time.tm_min)):\(two(time.tm_sec))"
        return unsafe "\(days[Int(time.tm_wday)]), \(date) \(clock) GMT"
    }

    private static func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
}

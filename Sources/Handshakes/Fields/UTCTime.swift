/// A moment in UTC, broken down by the Gregorian calendar.
package struct UTCTime: Sendable, Equatable {
    package let year, month, day, hour, minute, second, nanosecond: Int

    private static let secondsPerDay: Int64 = 86_400
    /// Of the calendar's cycle: days, and years.
    private static let (cycleDays, cycleYears): (Int64, Int64) = (146_097, 400)
    /// From March 1 of the year 0 to 1970.
    private static let epoch: Int64 = 719_468

    /// - Parameter time: nanoseconds since 1970.
    package init(_ time: Int64) {
        let (seconds, nanosecond) = Self.floored(time, by: 1_000_000_000)
        let (days, second) = Self.floored(seconds, by: Self.secondsPerDay)
        // Years that begin in March: the day that leap years have more is their last.
        let (cycle, dayOfCycle) = Self.floored(days + Self.epoch, by: Self.cycleDays)
        let yearOfCycle = (dayOfCycle - dayOfCycle / 1_460 + dayOfCycle / 36_524 - dayOfCycle / 146_096) / 365
        let dayOfYear = dayOfCycle - (365 * yearOfCycle + yearOfCycle / 4 - yearOfCycle / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        day = Int(dayOfYear - (153 * monthFromMarch + 2) / 5 + 1)
        month = Int(monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9)
        year = Int(cycle * Self.cycleYears + yearOfCycle) + (month <= 2 ? 1 : 0)
        hour = Int(second / 3_600)
        minute = Int(second / 60 % 60)
        self.second = Int(second % 60)
        self.nanosecond = Int(nanosecond)
    }

    private static func floored(_ value: Int64, by divisor: Int64) -> (quotient: Int64, remainder: Int64) {
        let (quotient, remainder) = value.quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }

    /// RFC 3339 with nanoseconds: `2026-01-02T03:04:05.678901234Z`.
    package var text: String {
        var bytes: [UInt8] = []
        append(to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Appends `text`.
    package func append(to output: inout [UInt8]) {
        func append(_ number: Int, _ width: Int, _ end: Unicode.Scalar) {
            var divisor = 1
            for _ in 1..<width { divisor *= 10 }
            while divisor > 0 {
                output.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: number / divisor % 10))
                divisor /= 10
            }
            output.append(UInt8(ascii: end))
        }
        append(year, 4, "-")
        append(month, 2, "-")
        append(day, 2, "T")
        append(hour, 2, ":")
        append(minute, 2, ":")
        append(second, 2, ".")
        append(nanosecond, 9, "Z")
    }
}

extension UTCTime {
    /// The nanoseconds since 1970 that are so written, from the first to the last: `2026-01-02`, `2026-01-02T03:04Z`,
    /// `2026-01-02T03:04:05Z`, with up to nine fractional digits. `nil` for what is no time or outside of what 64 bits hold.
    static func range(of text: String) -> ClosedRange<Int64>? {
        var bytes = Array(text.utf8)[...]
        func number(_ digits: Int, _ range: ClosedRange<Int64>) -> Int64? {
            guard bytes.count >= digits else { return nil }
            var value: Int64 = 0
            for byte in bytes.prefix(digits) {
                guard (0x30...0x39).contains(byte) else { return nil }
                value = value * 10 + Int64(byte - 0x30)
            }
            bytes = bytes.dropFirst(digits)
            return range.contains(value) ? value : nil
        }
        func take(_ character: Unicode.Scalar) -> Bool {
            guard bytes.first == UInt8(ascii: character) else { return false }
            bytes = bytes.dropFirst()
            return true
        }
        // 64 bits of nanoseconds hold these years.
        guard let year = number(4, 1_678...2_261), take("-"), let month = number(2, 1...12), take("-"),
            let day = number(2, 1...days(in: month, of: year))
        else { return nil }
        var seconds = days(before: month, of: year, and: day) * secondsPerDay
        if bytes.isEmpty { return moments(seconds, 0, lasting: secondsPerDay * 1_000_000_000) }
        guard take("T") || take("t") || take(" "), let hour = number(2, 0...23), take(":"),
            let minute = number(2, 0...59)
        else { return nil }
        seconds += hour * 3_600 + minute * 60
        if take("Z") || take("z") { return bytes.isEmpty ? moments(seconds, 0, lasting: 60_000_000_000) : nil }
        guard take(":"), let second = number(2, 0...59) else { return nil }
        var unit: Int64 = 1_000_000_000
        var fraction: Int64 = 0
        if take(".") {
            while unit > 1, let digit = number(1, 0...9) {
                unit /= 10
                fraction += digit * unit
            }
            guard unit < 1_000_000_000 else { return nil }
        }
        guard take("Z") || take("z"), bytes.isEmpty else { return nil }
        return moments(seconds + second, fraction, lasting: unit)
    }

    private static func moments(_ seconds: Int64, _ fraction: Int64, lasting length: Int64) -> ClosedRange<Int64> {
        let first = seconds * 1_000_000_000 + fraction
        return first...first + length - 1
    }

    private static func days(in month: Int64, of year: Int64) -> Int64 {
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        return month == 2 ? (isLeap ? 29 : 28) : [4, 6, 9, 11].contains(month) ? 30 : 31
    }

    /// Since 1970. Years begin in March: the day that leap years have more is their last.
    private static func days(before month: Int64, of year: Int64, and day: Int64) -> Int64 {
        let fromMarch = (month + 9) % 12
        let year = month <= 2 ? year - 1 : year
        let dayOfYear = (153 * fromMarch + 2) / 5 + day - 1
        return year * 365 + year / 4 - year / 100 + year / 400 + dayOfYear - epoch
    }
}

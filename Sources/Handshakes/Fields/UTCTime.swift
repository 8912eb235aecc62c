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

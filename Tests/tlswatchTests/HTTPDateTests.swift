import Foundation
import Testing

@testable import tlswatch

@Suite("HTTP dates") struct HTTPDateTests {
    @Test("RFC 9110's own example, and the first second")
    func datesAreThoseOfTheStandard() {
        #expect(HTTPDate.text(seconds: 784_111_777) == "Sun, 06 Nov 1994 08:49:37 GMT")
        #expect(HTTPDate.text(seconds: 0) == "Thu, 01 Jan 1970 00:00:00 GMT")
    }

    @Test("Every month and weekday is what Foundation makes of it")
    func againstFoundation() {
        let formatter = DateFormatter()
        formatter.locale = Locale(identifier: "en_US_POSIX")
        formatter.timeZone = TimeZone(secondsFromGMT: 0)
        formatter.dateFormat = "EEE, dd MMM yyyy HH:mm:ss 'GMT'"
        for step in 0..<500 {
            let seconds = 1_700_000_000 + step * 1_234_567
            #expect(
                HTTPDate.text(seconds: seconds)
                    == formatter.string(from: Date(timeIntervalSince1970: TimeInterval(seconds))))
        }
    }
}

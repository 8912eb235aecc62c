import Testing

@testable import tlswatch

@Suite("Figures as text") struct DisplayTextTests {
    @Test(
        "Durations have three digits",
        arguments: [
            (0, "0 ns"), (999, "999 ns"), (1_000, "1.00 µs"), (1_834, "1.83 µs"), (9_994, "9.99 µs"),
            (9_995, "10.0 µs"),
            (99_949, "99.9 µs"), (99_950, "100 µs"), (999_499, "999 µs"), (999_500, "1.00 ms"), (1_834_211, "1.83 ms"),
            (61_200_000, "61.2 ms"), (999_499_999, "999 ms"), (999_500_000, "1.00 s"), (61_200_000_000, "61.2 s"),
            (UInt64.max, "18,446,744,074 s"),
        ] as [(UInt64, String)])
    func durationsHaveThreeDigits(_ nanoseconds: UInt64, _ text: String) {
        #expect(DisplayText.duration(nanoseconds) == text.replacing(" ", with: "\u{a0}"))
    }

    @Test(
        "The ticks of an axis are round numbers",
        arguments: [(500, "500 ns"), (2_000, "2 µs"), (50_000_000, "50 ms"), (1_000_000_000, "1 s")]
            as [(UInt64, String)])
    func ticksAreRound(_ nanoseconds: UInt64, _ text: String) {
        #expect(DisplayText.roundDuration(nanoseconds) == text.replacing(" ", with: "\u{a0}"))
    }

    @Test(
        "0 % and 100 % are said only of none and all",
        arguments: [
            (0, 10, "0 %"), (10, 10, "100 %"), (1, 1_000_000, "<0.1 %"), (999_999, 1_000_000, "99.9 %"),
            (1, 8, "12.5 %"),
            (1, 0, "–"),
        ] as [(UInt64, UInt64, String)])
    func noneAndAllAreSaidOnlyOfNoneAndAll(_ part: UInt64, _ whole: UInt64, _ text: String) {
        #expect(DisplayText.share(part, of: whole) == text.replacing(" ", with: "\u{a0}"))
    }

    @Test(
        "Spans of time have their two largest units",
        arguments: [(0, "0 s"), (60, "60 s"), (725, "12 min 5 s"), (7_200, "2 h"), (273_912, "3 d 4 h")]
            as [(UInt64, String)])
    func spansHaveTheTwoLargestUnits(_ seconds: UInt64, _ text: String) {
        #expect(DisplayText.span(seconds) == text.replacing(" ", with: "\u{a0}"))
    }

    @Test("Counts and rates are short") func countsAndRates() {
        #expect([0, 999, 1_000, 6_279_403].map { DisplayText.count($0) } == ["0", "999", "1,000", "6,279,403"])
        #expect(DisplayText.rate(1_482, seconds: 60) == "24.7")
        #expect(DisplayText.rate(214, seconds: 60) == "3.57")
        #expect(DisplayText.rate(120_000, seconds: 60) == "2,000")
        #expect(DisplayText.rate(3, seconds: 0) == "–")
        #expect(DisplayText.time(1_767_323_045_678_901_234) == ("2026-01-02", "03:04:05"))
    }
}

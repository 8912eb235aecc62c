/// The upper bounds of a classic histogram, in nanoseconds, and their `le` texts in seconds.
package struct DurationBounds: Sendable {
    /// The two sets there are.
    package enum Name: Sendable {
        case handshake, phase
    }

    /// How many finite bounds there are; one bucket more is for what is above them.
    package static let count = 17

    package let nanoseconds: InlineArray<17, UInt64>
    /// `le` values as they are written, without quotes.
    package let texts: [[UInt8]]
    /// The same as OpenMetrics wants them: always with a fraction.
    let canonicalTexts: [[UInt8]]

    private init(_ nanoseconds: InlineArray<17, UInt64>) {
        self.nanoseconds = nanoseconds
        texts = nanoseconds.indices.map { index in
            var text: [UInt8] = []
            DecimalText.append(seconds: nanoseconds[index], to: &text)
            return text
        }
        canonicalTexts = texts.map { $0.contains(UInt8(ascii: ".")) ? $0 : $0 + Array(".0".utf8) }
    }

    /// 100 µs to 30 s: whole handshakes.
    package static let handshake = DurationBounds([
        100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000, 25_000_000, 50_000_000, 100_000_000,
        250_000_000, 500_000_000, 1_000_000_000, 2_500_000_000, 5_000_000_000, 10_000_000_000, 30_000_000_000,
    ])

    /// 10 µs to 2.5 s: parts of a handshake.
    package static let phase = DurationBounds([
        10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000, 25_000_000,
        50_000_000, 100_000_000, 250_000_000, 500_000_000, 1_000_000_000, 2_500_000_000,
    ])

    /// The bucket of a duration: the first whose bound is not below it, or the one past all bounds.
    package func bucket(of nanoseconds: UInt64) -> Int {
        var index = 0
        while index < Self.count, self.nanoseconds[index] < nanoseconds { index += 1 }
        return index
    }
}

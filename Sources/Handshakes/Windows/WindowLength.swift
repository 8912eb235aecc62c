/// The length of a sliding window, and how it is told.
package struct WindowLength: Sendable, Equatable {
    package let seconds: UInt64

    /// Seconds: rates over the histograms are what longer spans are for.
    package static let longest: UInt64 = 3_600

    /// 1 to 3,600 seconds.
    package init(seconds: UInt64) {
        self.seconds = min(max(1, seconds), Self.longest)
    }

    package var nanoseconds: UInt64 { seconds * 1_000_000_000 }
    var slotLength: UInt64 { 1_000_000_000 }
    /// The label's value, `60s`.
    package var text: String { "\(seconds)s" }
}

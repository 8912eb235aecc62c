/// The length of a sliding window, and how it is told.
public struct WindowLength: Sendable, Equatable {
    public let seconds: UInt64

    /// Seconds: rates over the histograms are what longer spans are for.
    public static let longest: UInt64 = 3_600

    /// 1 to 3,600 seconds.
    public init(seconds: UInt64) {
        self.seconds = min(max(1, seconds), Self.longest)
    }

    var nanoseconds: UInt64 { seconds * 1_000_000_000 }
    var slotLength: UInt64 { 1_000_000_000 }
    /// The label's value, `60s`.
    public var text: String { "\(seconds)s" }
}

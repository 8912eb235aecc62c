import ArgumentParser
import Handshakes

/// A duration as people write it: `250ms`, `10s`, `1h30m`.
struct DurationArgument: ExpressibleByArgument, Equatable {
    /// Nanoseconds, above zero.
    var nanoseconds: UInt64
    private var text: String

    init?(argument: String) {
        guard let nanoseconds = DurationSyntax.nanoseconds(argument), nanoseconds > 0 else { return nil }
        self.nanoseconds = nanoseconds
        text = argument
    }

    private init(nanoseconds: UInt64, text: String) {
        self.nanoseconds = nanoseconds
        self.text = text
    }

    static func seconds(_ count: UInt64) -> DurationArgument {
        DurationArgument(nanoseconds: count * 1_000_000_000, text: "\(count)s")
    }

    var defaultValueDescription: String { text }
}

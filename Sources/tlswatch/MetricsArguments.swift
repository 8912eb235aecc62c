import ArgumentParser
import HandshakeProbe
import Handshakes

/// What is told at /metrics beyond what always is.
struct MetricsArguments: ParsableArguments {
    @Option(help: Setting.window.help("duration"))
    var window: [String] = []

    @Option(
        help: Setting.label.help("name[:cap]"), completion: .list(ExtraLabel.allCases.map(\.rawValue)))
    var label: [String] = []

    @Flag(inversion: .prefixedNo, help: Setting.exemplars.help())
    var exemplars: Bool?

    @Option(help: Setting.slow.help("duration"))
    var slow: String?

    @Option(help: Setting.maxSeries.help("count"))
    var maxSeries: String?

    /// Those that were given.
    var texts: SettingTexts {
        SettingTexts(
            (.window, window), (.label, label), (.exemplars, exemplars.map { ["\($0)"] } ?? []),
            (.slow, slow.texts), (.maxSeries, maxSeries.texts))
    }

    func validate() throws { try Setting.validate(flags: texts) }
}

/// `sni`, `sni:50`.
struct ExtraLabelArgument {
    static let largestCap = 10_000

    let option: ExtraLabelOption

    init?(argument: String) {
        let parts = argument.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard let label = parts.first.flatMap({ ExtraLabel(rawValue: String($0)) }) else { return nil }
        guard parts.count == 2 else {
            option = ExtraLabelOption(label)
            return
        }
        guard let cap = Int(parts[1]), (1...Self.largestCap).contains(cap) else { return nil }
        option = ExtraLabelOption(label, cap: cap)
    }
}

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

import ArgumentParser

/// Where OTLP goes to.
struct OTLPArguments: ParsableArguments {
    @Option(help: Setting.otlp.help("url"))
    var otlp: String?

    @Option(help: Setting.otlpHeader.help("name=value"))
    var otlpHeader: [String] = []

    @Option(help: Setting.otlpCertificate.help("file"))
    var otlpCertificate: String?

    @Option(help: Setting.otlpInterval.help("duration"))
    var otlpInterval: String?

    @Option(help: Setting.otlpShare.help("share"))
    var otlpShare: String?

    /// Those that were given.
    var texts: SettingTexts {
        SettingTexts(
            (.otlp, otlp.texts), (.otlpHeader, otlpHeader), (.otlpCertificate, otlpCertificate.texts),
            (.otlpInterval, otlpInterval.texts), (.otlpShare, otlpShare.texts))
    }

    func validate() throws { try Setting.validate(flags: texts) }
}

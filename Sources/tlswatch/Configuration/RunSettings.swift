import HandshakeProbe

/// What all settings come to. As made, every default holds.
struct RunSettings: Sendable {
    var listen = [ListenAddress.standard]
    /// The metrics' path.
    var telemetryPath = TelemetryPath.standard
    var webConfigurationFile: String?
    var logFormat = LogFormat.text
    var logLevel = LogLevel.info
    var otlp = OTLPSettings()
    var engine = EngineOptions(version: Version.current, revision: Version.revision)

    init() {}

    /// With texts that have been found right.
    init(_ texts: SettingTexts) {
        for setting in Setting.all {
            if let given = texts[setting.key] { _ = setting.apply(given, &self) }
        }
    }
}

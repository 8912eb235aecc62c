/// Why handshakes of any stack can fail: what their series are made for before the first failure.
enum FailureReasons {
    /// Snake case; a library's error without a name is not among them.
    static let common: [String] = {
        let alerts = (0...UInt8.max).map(IANA.alert).filter { !$0.hasPrefix("alert_") }
        let transport = ["peer_closed", "connection_reset", "transport_error", Label.unknown]
        return Set(alerts + transport).sorted()
    }()
}

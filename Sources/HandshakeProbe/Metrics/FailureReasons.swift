/// Why handshakes can fail, as far as that is known beforehand: what their series are made for before the first failure.
enum FailureReasons {
    /// The reasons of a stack, snake case; a library's error without a name is not among them.
    static func known(stack: String) -> [String] {
        stack == OpenSSL.name ? openSSL : common
    }

    private static let common: [String] = {
        let alerts = (0...UInt8.max).map(IANA.alert).filter { !$0.hasPrefix("alert_") }
        let transport = ["peer_closed", "connection_reset", "transport_error", Label.unknown]
        return Set(alerts + transport).sorted()
    }()

    /// Besides the alerts: the library's words for what real peers do. Its others, some three hundred, are as good as never
    /// seen, and get their series when they are.
    private static let openSSL: [String] = Set(common + OpenSSLState.usualReasons).sorted()
}

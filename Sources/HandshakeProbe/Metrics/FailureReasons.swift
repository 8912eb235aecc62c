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

    /// Besides the alerts: the library's own words, by the numbers that it may give.
    private static let openSSL: [String] = {
        let words = (100..<1_000 as Range<Int32>)
            .map { OpenSSLState.failure(alert: -1, reason: $0, version: nil).reason }
            .filter { !$0.hasPrefix("library_error_") }
        return Set(common + words).sorted()
    }()
}

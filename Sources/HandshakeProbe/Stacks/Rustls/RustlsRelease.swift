/// What is believed of a release of rustls: the order in which it declares its errors.
struct RustlsRelease: Sendable {
    /// As in the paths of its source files: `0.23.46`.
    let version: String
    /// The second number of it: what differs otherwise is told apart by the code.
    let series: Int
    /// rustls's Error, in the order of its declaration.
    let words: [String]

    /// The error whose number stands in a connection while its input is taken: the code says it too, and another number would
    /// be another enumeration.
    var notComplete: Int64 { number(Self.notComplete) }
    /// The error that holds the alert that has come.
    var alertReceived: Int64 { number(Self.alertReceived) }

    private func number(_ word: String) -> Int64 { Int64(words.firstIndex(of: word) ?? -1) }

    private static let notComplete = "handshake_not_complete"
    private static let alertReceived = "alert_received"

    /// `nil` of releases that are not observed: until 0.20 messages are kept as structures, from 0.24 on states are no trait
    /// objects.
    init?(_ version: String) {
        let numbers = version.split(separator: ".").prefix(3).map { Int($0.prefix { $0.isNumber }) }
        guard numbers.count == 3, numbers[0] == 0, let series = numbers[1], let patch = numbers[2],
            let words = Self.words(series, patch)
        else { return nil }
        (self.version, self.series, self.words) = (version, series, words)
    }

    private static func words(_ series: Int, _ patch: Int) -> [String]? {
        let before = ["inappropriate_message", "inappropriate_handshake_message"]
        let between = [
            "invalid_message", "no_certificates_presented", "unsupported_name_type", "decrypt_error", "encrypt_error",
            "peer_incompatible", "peer_misbehaved", alertReceived, "invalid_certificate",
        ]
        let behind = [
            "general", "no_current_time", "no_random_bytes", notComplete, "peer_sent_oversized_record",
            "no_application_protocol", "bad_max_fragment_size",
        ]
        return switch (series, patch) {
        case (21, 0): before + between + ["invalid_sct"] + behind
        case (21, _): before + between + ["invalid_sct", "invalid_crl"] + behind
        case (22, _), (23, ..<10): before + between + ["invalid_crl"] + behind + ["other"]
        case (23, _):
            before + ["invalid_encrypted_client_hello"] + between + ["invalid_crl"] + behind
                + ["inconsistent_keys", "other"]
        default: nil
        }
    }
}

/// rustls's AlertDescription: in the order of its declaration.
enum RustlsAlert {
    private static let numbers: [UInt8] = [
        0, 10, 20, 21, 22, 30, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 60, 70, 71, 80, 86, 90, 100, 109, 110,
        111, 112, 113, 114, 115, 116, 120, 121,
    ]

    /// The number on the wire; `nil` of one that rustls has no name for.
    static func number(_ index: UInt8) -> UInt8? {
        Int(index) < numbers.count ? numbers[Int(index)] : nil
    }
}

import Handshakes

/// What a `--web.config.file` says, in the exporter-toolkit's words (prometheus/exporter-toolkit,
/// docs/web-configuration.md); nothing of it has been opened yet but the file itself.
struct WebConfiguration: Sendable, Equatable {
    /// PEM text in the file, or a path.
    enum Source: Sendable, Equatable {
        case inline(String, key: String)
        case file(String, key: String)

        /// The key that gave it, for messages.
        var key: String {
            switch self {
            case .inline(_, let key), .file(_, let key): key
            }
        }
    }

    /// Go's `tls.ClientAuthType`.
    enum ClientAuthentication: String, Sendable {
        case none = "NoClientCert"
        case request = "RequestClientCert"
        case requireAny = "RequireAnyClientCert"
        case verifyIfGiven = "VerifyClientCertIfGiven"
        case requireAndVerify = "RequireAndVerifyClientCert"
    }

    struct TLS: Sendable, Equatable {
        var certificate: Source
        var key: Source
        var clientAuthority: Source?
        var clientAuthentication = ClientAuthentication.none
        var clientAllowedNames: [String] = []
        var minimumVersion = TLSVersionName.tls12
        var maximumVersion = TLSVersionName.tls13
        /// Empty: the library's own.
        var cipherSuites: [TLSCipherName] = []
        var curves: [TLSCurveName] = []
    }

    var tls: TLS?
    /// For every response.
    var headers: [String: String] = [:]
    /// bcrypt hashes by name; empty: everybody.
    var users: [String: String] = [:]
    var rateLimit: RateLimit?
    /// What was accepted and has no effect here.
    var notices: [String] = []

    /// The files that it names.
    var files: [String] {
        [tls?.certificate, tls?.key, tls?.clientAuthority].compactMap { source in
            if case .file(let path, _)? = source { path } else { nil }
        }
    }
}

/// Names as the toolkit takes them, in the order of strength.
enum TLSVersionName: String, Sendable, CaseIterable, Comparable {
    case tls10 = "TLS10"
    case tls11 = "TLS11"
    case tls12 = "TLS12"
    case tls13 = "TLS13"

    static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// Go's names of the cipher suites that it holds secure, with their IANA numbers.
enum TLSCipherName: String, Sendable, CaseIterable {
    case aes128 = "TLS_AES_128_GCM_SHA256"
    case aes256 = "TLS_AES_256_GCM_SHA384"
    case chacha20 = "TLS_CHACHA20_POLY1305_SHA256"
    case ecdsaAES128CBC = "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"
    case ecdsaAES256CBC = "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA"
    case rsaAES128CBC = "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"
    case rsaAES256CBC = "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA"
    case ecdsaAES128 = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
    case ecdsaAES256 = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
    case rsaAES128 = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
    case rsaAES256 = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"
    case rsaChacha20 = "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"
    case ecdsaChacha20 = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"

    var number: UInt16 {
        switch self {
        case .aes128: 0x1301
        case .aes256: 0x1302
        case .chacha20: 0x1303
        case .ecdsaAES128CBC: 0xC009
        case .ecdsaAES256CBC: 0xC00A
        case .rsaAES128CBC: 0xC013
        case .rsaAES256CBC: 0xC014
        case .ecdsaAES128: 0xC02B
        case .ecdsaAES256: 0xC02C
        case .rsaAES128: 0xC02F
        case .rsaAES256: 0xC030
        case .rsaChacha20: 0xCCA8
        case .ecdsaChacha20: 0xCCA9
        }
    }

    /// TLS 1.3's suites cannot be chosen, here as in Go.
    var isTLS13: Bool { number >> 8 == 0x13 }
}

enum TLSCurveName: String, Sendable, CaseIterable {
    case p256 = "CurveP256"
    case p384 = "CurveP384"
    case p521 = "CurveP521"
    case x25519 = "X25519"

    var number: UInt16 {
        switch self {
        case .p256: 0x17
        case .p384: 0x18
        case .p521: 0x19
        case .x25519: 0x1D
        }
    }
}

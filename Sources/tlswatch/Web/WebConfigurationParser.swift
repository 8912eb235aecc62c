extension WebConfiguration {
    /// A megabyte is a hundred times the longest certificate chain in use.
    static let largestFile = SmallFile.largest

    /// Reads and checks one; opens none of the files that it names.
    init(path: String) throws(WebConfigurationError) {
        let bytes = try SmallFile.read(path, for: (path, nil))
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw WebConfigurationError(file: path, line: nil, key: nil, reason: "is not UTF-8 text")
        }
        try self.init(text: text, path: path)
    }

    /// - Parameter path: where the text is from: relative paths in it start in that folder.
    init(text: String, path: String) throws(WebConfigurationError) {
        let root = try YAMLReader(text: text, file: path)
        let fields = try root.fields(["tls_server_config", "http_server_config", "basic_auth_users", "rate_limit"])
        if let section = fields["tls_server_config"], !section.isNull {
            let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
            try readTLS(section, folder: folder)
        }
        if let section = fields["http_server_config"] { try readHTTP(section) }
        for (name, value) in try fields["basic_auth_users"]?.entries() ?? [] {
            let hash = try value.text()
            guard BcryptHash(hash) != nil else {
                throw value.wrong("is not a bcrypt hash ($2y$ and 4 to 31; 'htpasswd -nBC 10 NAME' makes one)")
            }
            users[name] = hash
        }
        if let section = fields["rate_limit"] { try readRateLimit(section) }
    }

    private mutating func readTLS(_ section: YAMLReader, folder: String) throws(WebConfigurationError) {
        let fields = try section.fields([
            "cert", "key", "client_ca", "cert_file", "key_file", "client_auth_type", "client_ca_file",
            "client_allowed_sans", "min_version", "max_version", "cipher_suites", "prefer_server_cipher_suites",
            "curve_preferences",
        ])
        guard !fields.isEmpty else { return }

        // A file before a text, as the toolkit has it.
        func source(_ name: String) throws(WebConfigurationError) -> Source? {
            if let path = try fields[name + "_file"]?.text(), !path.isEmpty {
                if let inline = try fields[name]?.text(), !inline.isEmpty {
                    notices.append("tls_server_config.\(name): has no effect together with \(name)_file")
                }
                let absolute = path.hasPrefix("/") ? path : folder + path
                return .file(absolute, key: "tls_server_config.\(name)_file")
            }
            guard let text = try fields[name]?.text(), !text.isEmpty else { return nil }
            return .inline(text, key: "tls_server_config.\(name)")
        }
        guard let certificate = try source("cert") else { throw section.wrong("one of cert and cert_file is missing") }
        guard let key = try source("key") else { throw section.wrong("one of key and key_file is missing") }
        var tls = TLS(certificate: certificate, key: key)
        tls.clientAuthority = try source("client_ca")
        if let field = fields["client_auth_type"] { tls.clientAuthentication = try .init(field) }
        if let authority = tls.clientAuthority, tls.clientAuthentication == .none {
            throw section.wrong("\(authority.key) needs a client_auth_type other than NoClientCert")
        }
        if let field = fields["client_allowed_sans"] {
            for entry in try field.list() { tls.clientAllowedNames.append(try entry.text()) }
            // Else a client without a certificate would pass by.
            let requires: [ClientAuthentication] = [.requireAny, .requireAndVerify]
            guard field.isNull || requires.contains(tls.clientAuthentication) else {
                throw field.wrong("needs client_auth_type RequireAnyClientCert or RequireAndVerifyClientCert")
            }
            guard field.isNull || !tls.clientAllowedNames.isEmpty else {
                throw field.wrong("allows nobody; leave it out to allow every name")
            }
        }
        if let field = fields["min_version"], !field.isNull { tls.minimumVersion = try field.oneOf() }
        if let field = fields["max_version"], !field.isNull { tls.maximumVersion = try field.oneOf() }
        guard tls.minimumVersion <= tls.maximumVersion else { throw section.wrong("min_version is above max_version") }
        for entry in try fields["cipher_suites"]?.list() ?? [] { tls.cipherSuites.append(try entry.oneOf()) }
        for entry in try fields["curve_preferences"]?.list() ?? [] { tls.curves.append(try entry.oneOf()) }
        if let field = fields["prefer_server_cipher_suites"] {
            _ = try field.flag(default: true)
            notices.append("tls_server_config.prefer_server_cipher_suites: has no effect, as in Go since 1.17")
        }
        self.tls = tls
    }

    private mutating func readHTTP(_ section: YAMLReader) throws(WebConfigurationError) {
        let fields = try section.fields(["http2", "headers"])
        if let field = fields["http2"], try field.flag(default: false) {
            notices.append("http_server_config.http2: has no effect; clients negotiate HTTP/1.1")
        }
        let allowed: [String: [String]] = [
            "Strict-Transport-Security": [], "X-Content-Type-Options": ["nosniff"],
            "X-Frame-Options": ["deny", "sameorigin"], "X-XSS-Protection": [], "Content-Security-Policy": [],
        ]
        for (name, value) in try fields["headers"]?.entries() ?? [] {
            guard let choices = allowed[name] else {
                throw value.wrong("cannot be set; these can: \(allowed.keys.sorted().joined(separator: ", "))")
            }
            let text = try value.text()
            if text.isEmpty { continue }
            guard choices.isEmpty || choices.contains(text) else {
                throw value.wrong("must be \(choices.joined(separator: " or "))")
            }
            guard text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else {
                throw value.wrong("must be one line of text")
            }
            headers[name] = text
        }
    }

    private mutating func readRateLimit(_ section: YAMLReader) throws(WebConfigurationError) {
        let fields = try section.fields(["interval", "burst"])
        var burst = 0
        if let field = fields["burst"], !field.isNull {
            guard let count = Int(try field.text()), (0...1_000_000_000).contains(count) else {
                throw field.wrong("must be a number from 0 to 1000000000")
            }
            burst = count
        }
        guard let field = fields["interval"], !field.isNull else { return }
        guard let interval = GoDuration.nanoseconds(try field.text()) else {
            throw field.wrong("must be a duration such as 1s or 250ms, or 0 for no limit")
        }
        if interval > 0 { rateLimit = RateLimit(interval: interval, burst: burst) }
    }
}

extension WebConfiguration.ClientAuthentication {
    fileprivate init(_ field: YAMLReader) throws(WebConfigurationError) {
        let text = try field.text()
        switch text {
        case "": self = .none
        case "RequireClientCert": self = .requireAny  // the toolkit's former name for it
        default:
            guard let known = Self(rawValue: text) else {
                throw field.wrong(
                    "must be NoClientCert, RequestClientCert, RequireAnyClientCert, VerifyClientCertIfGiven or "
                        + "RequireAndVerifyClientCert")
            }
            self = known
        }
    }
}

extension YAMLReader {
    fileprivate func oneOf<Name: RawRepresentable & CaseIterable>() throws(WebConfigurationError) -> Name
    where Name.RawValue == String {
        guard let name = Name(rawValue: try text()) else {
            throw wrong("must be one of \(Name.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        return name
    }
}

/// Durations as Go writes them: `1h15m30.5s`, `250ms`, or a bare count of nanoseconds.
enum GoDuration {
    /// `nil` where it is none, is negative or is longer than 292 years.
    static func nanoseconds(_ text: String) -> UInt64? {
        if let count = Int64(text) { return count >= 0 ? UInt64(count) : nil }
        let units: [(String, Double)] = [
            ("ns", 1), ("us", 1e3), ("µs", 1e3), ("μs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 6e10), ("h", 3.6e12),
        ]
        var rest = Substring(text)
        var total = 0.0
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
            let unit = rest.dropFirst(digits.count).prefix { !($0.isASCII && ($0.isNumber || $0 == ".")) }
            guard let value = Double(digits), let factor = units.first(where: { $0.0 == unit })?.1 else { return nil }
            total += value * factor
            rest = rest.dropFirst(digits.count + unit.count)
        }
        return total < Double(Int64.max) ? UInt64(total) : nil
    }
}

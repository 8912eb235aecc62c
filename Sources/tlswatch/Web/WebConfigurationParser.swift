extension WebConfiguration {
    /// A megabyte is a hundred times the longest certificate chain in use.
    static let largestFile = SmallFile.largest

    /// Reads and checks one; opens none of the files that it names.
    ///
    /// - Throws: the first fault.
    init(path: String) throws(WebConfigurationError) {
        let checked = Self.check(path: path)
        if let fault = checked.faults.first { throw fault }
        self = checked.configuration
    }

    /// - Parameter path: where the text is from: relative paths in it start in that folder.
    /// - Throws: the first fault.
    init(text: String, path: String) throws(WebConfigurationError) {
        let parser = WebConfigurationParser(text, path)
        if let fault = parser.faults.first { throw fault }
        self = parser.configuration
    }

    /// The same, with all that is wrong.
    static func check(path: String) -> (configuration: WebConfiguration, faults: [WebConfigurationError]) {
        do throws(WebConfigurationError) {
            let bytes = try SmallFile.read(path, for: (path, nil))
            guard let text = String(validating: bytes, as: UTF8.self) else {
                throw WebConfigurationError(file: path, line: nil, key: nil, reason: "is not UTF-8 text")
            }
            let parser = WebConfigurationParser(text, path)
            return (parser.configuration, parser.faults)
        } catch {
            return (WebConfiguration(), [error])
        }
    }
}

/// Reads what is right, and notes what is not.
struct WebConfigurationParser {
    private(set) var configuration = WebConfiguration()
    private(set) var faults: [WebConfigurationError] = []

    fileprivate init(_ text: String, _ path: String) {
        attempt { (parser) throws(WebConfigurationError) in
            let root = try YAMLReader(text: text, file: path, faults: &parser.faults)
            let fields = try root.fields(
                ["tls_server_config", "http_server_config", "basic_auth_users", "rate_limit"], faults: &parser.faults)
            let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
            if let section = fields["tls_server_config"], !section.isNull {
                parser.attempt { (parser) throws(WebConfigurationError) in try parser.readTLS(section, folder: folder) }
            }
            if let section = fields["http_server_config"] {
                parser.attempt { (parser) throws(WebConfigurationError) in try parser.readHTTP(section) }
            }
            if let section = fields["basic_auth_users"] {
                parser.attempt { (parser) throws(WebConfigurationError) in try parser.readUsers(section) }
            }
            if let section = fields["rate_limit"] {
                parser.attempt { (parser) throws(WebConfigurationError) in try parser.readRateLimit(section) }
            }
        }
    }

    @discardableResult private mutating func attempt<Value>(
        _ body: (inout WebConfigurationParser) throws(WebConfigurationError) -> Value
    ) -> Value? {
        do throws(WebConfigurationError) {
            return try body(&self)
        } catch {
            faults.append(error)
            return nil
        }
    }

    private mutating func read<Value>(
        _ field: YAMLReader?, _ body: (YAMLReader) throws(WebConfigurationError) -> Value
    ) -> Value? {
        guard let field else { return nil }
        return attempt { (_) throws(WebConfigurationError) in try body(field) }
    }

    private mutating func readUsers(_ section: YAMLReader) throws(WebConfigurationError) {
        for (name, value) in try section.entries() {
            let hash = read(value) { (value) throws(WebConfigurationError) in
                let hash = try value.text()
                guard BcryptHash(hash) != nil else {
                    throw value.wrong("is not a bcrypt hash ($2y$ and 4 to 31; 'htpasswd -nBC 10 NAME' makes one)")
                }
                return hash
            }
            configuration.users[name] = hash
        }
    }

    // MARK: tls_server_config

    private static let tlsKeys: Set = [
        "cert", "key", "client_ca", "cert_file", "key_file", "client_auth_type", "client_ca_file",
        "client_allowed_sans", "min_version", "max_version", "cipher_suites", "prefer_server_cipher_suites",
        "curve_preferences",
    ]

    private mutating func readTLS(_ section: YAMLReader, folder: String) throws(WebConfigurationError) {
        let fields = try section.fields(Self.tlsKeys, faults: &faults)
        guard !fields.isEmpty else { return }
        let certificate = source("cert", fields, folder)
        let key = source("key", fields, folder)
        if certificate == nil { faults.append(section.wrong("one of cert and cert_file is missing")) }
        if key == nil { faults.append(section.wrong("one of key and key_file is missing")) }
        let nothing = WebConfiguration.Source.inline("", key: "")
        var tls = WebConfiguration.TLS(certificate: certificate ?? nothing, key: key ?? nothing)
        readClients(fields, folder, section, &tls)
        tls.minimumVersion = version("min_version", fields) ?? tls.minimumVersion
        tls.maximumVersion = version("max_version", fields) ?? tls.maximumVersion
        if tls.minimumVersion > tls.maximumVersion { faults.append(section.wrong("min_version is above max_version")) }
        tls.cipherSuites = names("cipher_suites", fields)
        tls.curves = names("curve_preferences", fields)
        if let field = fields["prefer_server_cipher_suites"] {
            _ = read(field) { (field) throws(WebConfigurationError) in try field.flag(default: true) }
            configuration.notices.append(
                "tls_server_config.prefer_server_cipher_suites: has no effect, as in Go since 1.17")
        }
        configuration.tls = tls
    }

    private mutating func readClients(
        _ fields: [String: YAMLReader], _ folder: String, _ section: YAMLReader, _ tls: inout WebConfiguration.TLS
    ) {
        tls.clientAuthority = source("client_ca", fields, folder)
        var isKnown = true
        if let field = fields["client_auth_type"] {
            let type = read(field) { (field) throws(WebConfigurationError) in
                try WebConfiguration.ClientAuthentication(field)
            }
            isKnown = type != nil
            tls.clientAuthentication = type ?? .none
        }
        if let authority = tls.clientAuthority, isKnown, tls.clientAuthentication == .none {
            faults.append(section.wrong("\(authority.key) needs a client_auth_type other than NoClientCert"))
        }
        guard let field = fields["client_allowed_sans"] else { return }
        tls.clientAllowedNames =
            read(field) { (field) throws(WebConfigurationError) in
                var names: [String] = []
                for entry in try field.list() { names.append(try entry.text()) }
                guard field.isNull || !names.isEmpty else {
                    throw field.wrong("allows nobody; leave it out to allow every name")
                }
                return names
            } ?? []
        // Else a client without a certificate would pass by.
        let requires: [WebConfiguration.ClientAuthentication] = [.requireAny, .requireAndVerify]
        if !field.isNull, isKnown, !requires.contains(tls.clientAuthentication) {
            faults.append(
                field.wrong("needs client_auth_type RequireAnyClientCert or RequireAndVerifyClientCert"))
        }
    }

    /// A file before a text, as the toolkit has it.
    private mutating func source(
        _ name: String, _ fields: [String: YAMLReader], _ folder: String
    ) -> WebConfiguration.Source? {
        let text = { (field: YAMLReader) throws(WebConfigurationError) in try field.text() }
        let path = read(fields[name + "_file"], text) ?? ""
        let inline = read(fields[name], text) ?? ""
        if !path.isEmpty {
            if !inline.isEmpty {
                configuration.notices.append("tls_server_config.\(name): has no effect together with \(name)_file")
            }
            return .file(path.hasPrefix("/") ? path : folder + path, key: "tls_server_config.\(name)_file")
        }
        return inline.isEmpty ? nil : .inline(inline, key: "tls_server_config.\(name)")
    }

    private mutating func version(_ name: String, _ fields: [String: YAMLReader]) -> TLSVersionName? {
        guard let field = fields[name], !field.isNull else { return nil }
        return read(field) { (field) throws(WebConfigurationError) in try field.oneOf() }
    }

    private mutating func names<Name: RawRepresentable & CaseIterable>(
        _ key: String, _ fields: [String: YAMLReader]
    ) -> [Name] where Name.RawValue == String {
        let entries = read(fields[key]) { (field) throws(WebConfigurationError) in try field.list() } ?? []
        return entries.compactMap { entry in
            read(entry) { (entry) throws(WebConfigurationError) -> Name in try entry.oneOf() }
        }
    }

    // MARK: http_server_config, rate_limit

    private static let headers: [String: [String]] = [
        "Strict-Transport-Security": [], "X-Content-Type-Options": ["nosniff"],
        "X-Frame-Options": ["deny", "sameorigin"], "X-XSS-Protection": [], "Content-Security-Policy": [],
    ]

    private mutating func readHTTP(_ section: YAMLReader) throws(WebConfigurationError) {
        let fields = try section.fields(["http2", "headers"], faults: &faults)
        let http2 = read(fields["http2"]) { (field) throws(WebConfigurationError) in try field.flag(default: false) }
        if http2 == true {
            configuration.notices.append("http_server_config.http2: has no effect; clients negotiate HTTP/1.1")
        }
        for (name, value) in try fields["headers"]?.entries() ?? [] {
            let text = read(value) { (value) throws(WebConfigurationError) in try Self.header(name, value) }
            if let text, !text.isEmpty { configuration.headers[name] = text }
        }
    }

    private static func header(_ name: String, _ value: YAMLReader) throws(WebConfigurationError) -> String {
        guard let choices = headers[name] else {
            throw value.wrong("cannot be set; these can: \(headers.keys.sorted().joined(separator: ", "))")
        }
        let text = try value.text()
        if text.isEmpty { return text }
        guard choices.isEmpty || choices.contains(text) else {
            throw value.wrong("must be \(choices.joined(separator: " or "))")
        }
        guard text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else {
            throw value.wrong("must be one line of text")
        }
        return text
    }

    private mutating func readRateLimit(_ section: YAMLReader) throws(WebConfigurationError) {
        let fields = try section.fields(["interval", "burst"], faults: &faults)
        let burst = read(fields["burst"]) { (field) throws(WebConfigurationError) in
            if field.isNull { return 0 }
            guard let count = Int(try field.text()), (0...1_000_000_000).contains(count) else {
                throw field.wrong("must be a number from 0 to 1000000000")
            }
            return count
        }
        let interval = read(fields["interval"]) { (field) throws(WebConfigurationError) -> UInt64 in
            if field.isNull { return 0 }
            guard let interval = GoDuration.nanoseconds(try field.text()) else {
                throw field.wrong("must be a duration such as 1s or 250ms, or 0 for no limit")
            }
            return interval
        }
        if let interval, interval > 0 {
            configuration.rateLimit = RateLimit(interval: interval, burst: burst ?? 0)
        }
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

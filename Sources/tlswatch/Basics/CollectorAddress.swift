/// Where OTLP goes to: `http://collector:4318`, `https://otlp.example/base`.
struct CollectorAddress: Sendable, Equatable {
    /// By TLS.
    let isSecure: Bool
    /// An IPv6 address without brackets.
    let host: String
    let port: Int
    /// Before `/v1/metrics` and `/v1/traces`; without a slash at its end.
    let base: String

    /// `nil` for what is no URL of HTTP, or has a user, a query or a fragment.
    init?(argument: String) {
        let scheme = ["http://", "https://"].first { argument.lowercased().hasPrefix($0) }
        guard let scheme, argument.utf8.count <= 2_000 else { return nil }
        let rest = argument.dropFirst(scheme.count)
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        var authority = String(rest[..<slash])
        var base = rest[slash...]
        while base.last == "/" { base.removeLast() }
        isSecure = scheme == "https://"
        // An IPv6 address has colons of its own, and brackets.
        if !authority.drop(while: { $0 != "]" }).contains(":"), authority.hasPrefix("[") || !authority.contains(":") {
            authority += isSecure ? ":443" : ":80"
        }
        guard !authority.hasPrefix(":"), let place = ListenAddress(argument: authority), place.port > 0,
            base.utf8.allSatisfy({ (0x21...0x7e).contains($0) && !"?#\"<>\\^`{|}".utf8.contains($0) })
        else { return nil }
        (host, port, self.base) = (place.host, place.port, String(base))
    }

    /// Host and port as the request's `Host` has them; the scheme's own port is left out.
    var authority: String {
        let isStandard = port == (isSecure ? 443 : 80)
        let text = ListenAddress(host: host, port: port).text
        return isStandard ? String(text.dropLast(":\(port)".utf8.count)) : text
    }

    var text: String { "\(isSecure ? "https" : "http")://\(authority)\(base)" }
}

/// A header that requests to a collector carry: `api-key=0123`.
struct CollectorHeader: Sendable, Equatable {
    let name: String
    let value: String

    /// `nil` for what is no field of HTTP (RFC 9110 sections 5.1, 5.5), or one that every request has already.
    init?(argument: String) {
        let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty, parts[0].utf8.allSatisfy(Self.isOfToken),
            parts[1].utf8.allSatisfy({ (0x20...0x7e).contains($0) }), argument.utf8.count <= 8_000,
            !Self.own.contains(parts[0].lowercased())
        else { return nil }
        (name, value) = (String(parts[0]), String(parts[1]))
    }

    static let own: Set = [
        "host", "content-type", "content-length", "content-encoding", "transfer-encoding", "connection", "user-agent",
    ]

    private static func isOfToken(_ byte: UInt8) -> Bool {
        let isLetter = UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte | 0x20
        let isDigit = UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte
        return isLetter || isDigit || "!#$%&'*+-.^_`|~".utf8.contains(byte)
    }
}

/// Where and how OTLP is told.
struct OTLPSettings: Sendable {
    /// `nil` where it is not told.
    var collector: CollectorAddress?
    var headers: [CollectorHeader] = []
    /// Certificates of authorities, PEM, besides the system's.
    var certificateFile: String?
    /// Nanoseconds between two exports.
    var interval: UInt64 = 15_000_000_000
    /// Of the sessions that are neither failed nor slow, the share that gets a span: 0 to 1.
    var share = 0.0
}

import Code

/// The library's own version text.
enum VersionText {
    /// Most bytes of constants searched where no function tells.
    private static let searchLimit: UInt64 = 64 << 20

    static func find(_ code: CodeReader, _ symbols: [String: ELFSymbol]) -> String? {
        if let symbol = symbols["OpenSSL_version"] {
            // OpenSSL_version(OPENSSL_VERSION) returns "OpenSSL 3.0.19 27 Jan 2026".
            for case .returned(.constant(let address)) in AbstractInterpreter(code: code)
                .run(symbol.address, parameters: [0: .constant(0)])
            {
                if let version = code.file.text(at: address).flatMap(parse) { return version }
            }
        }
        // A libssl.so has no such text, and a file with the function's name would have told.
        guard symbols["OpenSSL_version"] == nil, symbols["TLS_method"] == nil, symbols["EVP_PKEY_derive"] == nil
        else { return nil }
        var version: String?
        DataSearch.find(code.file, "OpenSSL ", limit: searchLimit) { bytes, offset in
            version = bytes.text(at: offset, limit: 64).flatMap(parse)
            return version != nil
        }
        return version
    }

    /// `3.0.19` of `OpenSSL 3.0.19 27 Jan 2026`; also `3.0.13+quic`, `1.1.1w`.
    static func parse(_ text: String) -> String? {
        let words = text.split(separator: " ", omittingEmptySubsequences: true)
        guard words.count >= 3, words[0] == "OpenSSL", words[1].utf8.count <= 32,
            let first = words[1].utf8.first, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first),
            words[1].utf8.contains(UInt8(ascii: "."))
        else { return nil }
        return String(words[1])
    }
}

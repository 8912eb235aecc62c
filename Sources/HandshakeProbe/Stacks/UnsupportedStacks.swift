/// TLS stacks that are known by sight and not observed yet: what is not seen has to be told.
enum UnsupportedStacks {
    /// What a library of the stack exports and no other does.
    private static let exports: [(stack: String, names: [String])] = [
        ("gnutls", ["gnutls_handshake"]),
        ("nss", ["SSL_ForceHandshake"]),
        ("boringssl", ["SSL_CTX_set_grease_enabled", "BORINGSSL_self_test"]),
        ("wolfssl", ["wolfSSL_connect"]),
        ("mbedtls", ["mbedtls_ssl_handshake"]),
    ]
    /// Texts in the constants of a program with the stack inside.
    private static let texts: [(stack: String, text: String)] = [
        // Its sources' names in its error entries; OpenSSL's end in .c. First, since this program has it inside, and the
        // other texts too.
        ("boringssl", "ssl/ssl_lib.cc"),
        ("go", "crypto/tls.(*Conn).handshakeContext"),
        ("rustls", "tls13 client handshake state\0"),
        ("rustls", "rustls::"),
    ]
    private static let searchLimit: UInt64 = 64 << 20
    /// Less code than this holds no TLS stack.
    private static let smallestCode: UInt64 = 1 << 18

    /// The stack's name; `nil` where none is recognised. For files that no stack of `TLSStacks` recognises.
    static func recognise(_ file: ELFFile) -> String? {
        for (stack, names) in exports where file.exportsAny(of: names) { return stack }
        let code = file.codeRanges.reduce(UInt64(0)) { $0.addingClamped($1.upperBound - $1.lowerBound) }
        guard code >= smallestCode else { return nil }
        return texts.first { holds(file, $0.text) }?.stack
    }

    private static func holds(_ file: ELFFile, _ text: String) -> Bool {
        var found = false
        DataSearch.find(file, text, limit: searchLimit) { _, _ in
            found = true
            return true
        }
        return found
    }
}

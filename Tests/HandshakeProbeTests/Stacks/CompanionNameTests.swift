import Testing

@testable import HandshakeProbe

@Suite("The names of companions") struct CompanionNameTests {
    @Test("A companion is called as its library, but for the beginning; other names have none")
    func companionsAreCalledAsTheirLibrary() {
        let stacks = TLSStacks.builtIn
        for (library, companion) in [
            ("libssl.so.3", "libcrypto.so.3"), ("/a/libssl.so.1.1", "/a/libcrypto.so.1.1"),
            ("/libssl.so/libssl-4a84.so.3", "/libssl.so/libcrypto-4a84.so.3"), ("/libssl.so/node", nil),
            ("/usr/bin/openssl", nil), ("", nil),
        ] as [(String, String?)] { #expect(stacks.companion(beside: library) == companion, "\(library)") }
        #expect(
            stacks.libraries == [
                "libssl.so", "libssl-", "libcrypto.so", "libcrypto-", "libs2n.so", "libboringssl", "libgnutls.so",
                "libgnutls-", "libssl3.so", "libwolfssl.so",
                "libmbedtls.so", "libmbedtls-",
            ])
        #expect(stacks.named(ofLibrary: "libssl-4a84.so.3")?.name == "openssl")
        #expect(stacks.named(ofLibrary: "libcrypto.so.3") == nil, "a companion alone is no stack's library")
        #expect(stacks.named(ofLibrary: "libssl3.so")?.name == "nss")
    }
}

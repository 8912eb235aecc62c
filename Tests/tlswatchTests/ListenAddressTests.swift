import Testing

@testable import tlswatch

@Suite struct ListenAddressTests {
    @Test(
        "Addresses in full and names are taken",
        arguments: ["127.0.0.1:9899", "0.0.0.0:0", "[::1]:9899", "[fe80::1%eth0]:1", "edge-7.example:80", "a_b:65535"])
    func taken(_ text: String) {
        #expect(ListenAddress(argument: text) != nil)
    }

    @Test(
        "What cannot be an address is refused where it is read",
        arguments: [
            "256.1.1.1:80", "1.2.3:80", "[::1", "[::1]", "::1]:80", "[:::1]:80", ":80", "host", "host:", "host:65536",
            "host:-1", "a b:80", "a/b:80", "",
        ])
    func refused(_ text: String) {
        #expect(ListenAddress(argument: text) == nil)
    }
}

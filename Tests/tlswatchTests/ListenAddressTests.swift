import Testing

@testable import tlswatch

@Suite("Addresses to listen on") struct ListenAddressTests {
    @Test(
        "Addresses in full and names are taken",
        arguments: ["127.0.0.1:9899", "0.0.0.0:0", "[::1]:9899", "[fe80::1%eth0]:1", "edge-7.example:80", "a_b:65535"])
    func addressesInFullAreTaken(_ text: String) {
        #expect(ListenAddress(argument: text) != nil)
    }

    @Test("A port alone is that of every address, which is not loopback")
    func aPortAlone() throws {
        let address = try #require(ListenAddress(argument: ":9899"))
        #expect(["[::]:9899", "0.0.0.0:9899"].contains(address.text))
        #expect(!address.isLoopback)
        #expect(ListenAddress(argument: ":") == nil && ListenAddress(argument: "[]:1") == nil)
    }

    @Test(
        "An address is written as it is read, and is loopback only where no other host can reach it",
        arguments: [
            ("127.0.0.1:9899", true), ("127.255.0.9:1", true), ("[::1]:0", true), ("[::ffff:127.0.0.1]:1", true),
            ("0.0.0.0:9899", false), ("[::]:9899", false), ("192.0.2.1:1", false), ("[::2]:1", false),
            ("[::ffff:192.0.2.1]:1", false), ("[1::1]:1", false), ("localhost:1", false),
        ])
    func loopbackIsOnlyWhereNoHostReaches(_ text: String, _ isLoopback: Bool) throws {
        let address = try #require(ListenAddress(argument: text))
        #expect(address.text == text)
        #expect(address.isLoopback == isLoopback)
    }

    @Test("Beyond loopback an endpoint that anybody can read, or whose passwords can be read, is worth a warning")
    func exposedEndpointsAreWarnedOf() throws {
        let everywhere = ListenAddress(host: "0.0.0.0", port: 1)
        var open = LoadedConfiguration()
        #expect(open.exposure(on: ListenAddress(host: "::1", port: 1)) == nil)
        #expect(try #require(open.exposure(on: everywhere)).contains("without TLS or passwords"))
        open.settings.users = ["a": "hash"]
        #expect(try #require(open.exposure(on: everywhere)).contains("passwords and metrics are sent unencrypted"))
        open.settings.tls = WebConfiguration.TLS(
            certificate: .inline("", key: "cert"), key: .inline("", key: "key"))
        #expect(open.exposure(on: everywhere) == nil)
        open.settings.users = [:]
        #expect(open.exposure(on: everywhere) == nil)
    }

    @Test(
        "What cannot be an address is refused where it is read",
        arguments: [
            "256.1.1.1:80", "1.2.3:80", "[::1", "[::1]", "::1]:80", "[:::1]:80", "host", "host:", "host:65536",
            "host:-1", "a b:80", "a/b:80", "",
        ])
    func impossibleAddressesAreRefused(_ text: String) {
        #expect(ListenAddress(argument: text) == nil)
    }
}

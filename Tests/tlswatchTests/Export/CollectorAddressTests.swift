import TestSupport
import Testing

@testable import tlswatch

@Suite("Where OTLP goes to") struct CollectorAddressTests {
    @Test(
        "A URL is taken apart",
        arguments: [
            ("http://collector:4318", false, "collector", 4318, "", "collector:4318"),
            ("https://otlp.example/base/", true, "otlp.example", 443, "/base", "otlp.example"),
            ("HTTP://10.0.0.1", false, "10.0.0.1", 80, "", "10.0.0.1"),
            ("http://[::1]:4318/", false, "::1", 4318, "", "[::1]:4318"),
            ("https://[2001:db8::7]", true, "2001:db8::7", 443, "", "[2001:db8::7]"),
        ]) func isTakenApart(
            text: String, isSecure: Bool, host: String, port: Int, base: String, authority: String
        ) throws
    {
        let address = try #require(CollectorAddress(argument: text))
        #expect(address.isSecure == isSecure && address.host == host && address.port == port)
        #expect(address.base == base && address.authority == authority)
        // What is told is read as the same.
        #expect(CollectorAddress(argument: address.text) == address)
    }

    @Test(
        "What is no URL of HTTP, or has more than a place, is refused",
        arguments: [
            "", "collector:4318", "grpc://collector:4317", "http://", "http:///v1", "http://:4318", "http://a:0",
            "http://a:65536", "http://a:b", "http://user@a:1", "http://a/b?c", "http://a/b#c", "http://a/b c",
            "http://a/b\r\nX: y", "http://[::1", "http://::1", "http://a b", "http://1.2.3",
        ]) func isRefused(text: String)
    {
        #expect(CollectorAddress(argument: text) == nil)
    }

    @Test("A header is a field of HTTP") func headers() {
        #expect(CollectorHeader(argument: "api-key=a=b") == CollectorHeader(argument: "api-key=a=b"))
        #expect(CollectorHeader(argument: "Authorization=Basic dTpw")?.value == "Basic dTpw")
        for text in ["", "=x", "a b=c", "a", "a=b\r\nc: d", "ä=b", "a=\u{7f}", "Host=x", "content-length=1"] {
            #expect(CollectorHeader(argument: text) == nil, "\(text)")
        }
    }

    @Test("Random bytes are an address that can be told, or none") func randomBytes() {
        var random = SplitMix(seed: 0x0471)
        let pieces = ["http://", "https://", "[", "]", "::1", ":", "80", "/", "a", ".", "?", "@", "\n", "%", "\u{e9}"]
        for _ in 0..<20_000 {
            let text = (0..<Int(random.next() % 8)).map { _ in pieces[Int(random.next() % UInt64(pieces.count))] }
                .joined()
            guard let address = CollectorAddress(argument: text) else { continue }
            #expect(CollectorAddress(argument: address.text) == address, "\(text)")
        }
    }
}

import Glibc
import Testing

@testable import Handshakes

@Suite("Socket addresses") struct SocketAddressTests {
    private typealias Octets = (
        UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8
    )

    /// As inet_pton(3) reads it.
    private func octets(_ text: String, _ family: Int32) -> Octets {
        var bytes: Octets = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
        let read = unsafe withUnsafeMutableBytes(of: &bytes) { unsafe inet_pton(family, text, $0.baseAddress) }
        #expect(read == 1, "\(text)")
        return bytes
    }

    @Test(
        "IPv4 is written as it is read",
        arguments: [
            ("0.0.0.0", 0), ("127.0.0.1", 443), ("255.255.255.255", 65535), ("10.100.9.99", 10), ("1.0.20.3", 100),
        ])
    func fourByteAddressesAreWrittenAsRead(_ address: String, _ port: UInt16) {
        let told = SocketAddress(family: 2, port: port, bytes: octets(address, AF_INET))
        #expect(told?.description == "\(address):\(port)")
    }

    @Test(
        "IPv6 is written as RFC 5952 has it, and an IPv4 peer on it as IPv4",
        arguments: [
            ("::", "[::]"), ("::1", "[::1]"), ("2001:db8::1:0:0:1", "[2001:db8::1:0:0:1]"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("fe80::a:b:c:d", "[fe80::a:b:c:d]"), ("1:2:3:4:5:6:7:8", "[1:2:3:4:5:6:7:8]"),
        ])
    func sixteenByteAddressesAreWrittenAsRead(_ address: String, _ wanted: String) {
        let told = SocketAddress(family: 10, port: 8443, bytes: octets(address, AF_INET6))
        #expect(told?.description == wanted + ":8443")
    }

    @Test("Another family has no address")
    func otherFamiliesHaveNoAddress() {
        #expect(SocketAddress(family: 1, port: 1, bytes: octets("::1", AF_INET6)) == nil)
    }
}

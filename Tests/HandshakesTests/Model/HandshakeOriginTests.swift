import Testing

@testable import Handshakes

@Suite("Texts that sessions share") struct HandshakeOriginTests {
    private let handshake = Handshake(
        wallTime: 0, start: 1, end: 3, pid: 7, tid: 7, comm: "nginx", stack: "openssl", library: "/libssl.so.3",
        role: .server, outcome: .completed, duration: 2, calls: 1)

    @Test("A text that is set is this session's alone, and the others stay") func setting() {
        var other = handshake
        other.thread = "worker"
        other.exe = "/usr/sbin/nginx"
        other.container = "0123456789ab"
        other.unit = "nginx.service"
        other.pod = "pod"
        other.libraryVersion = "3.0.19"
        #expect(other.comm == "nginx" && other.thread == "worker" && other.exe == "/usr/sbin/nginx")
        #expect(other.container == "0123456789ab" && other.unit == "nginx.service" && other.pod == "pod")
        #expect(other.stack == "openssl" && other.library == "/libssl.so.3" && other.libraryVersion == "3.0.19")
        #expect(handshake.exe == nil && handshake.libraryVersion == nil && handshake != other)
        (other.thread, other.exe, other.container, other.unit, other.pod) = (nil, nil, nil, nil, nil)
        other.libraryVersion = nil
        #expect(handshake == other, "equal by what is in them, whoever keeps it")
        other.comm = "apache2"
        #expect(handshake != other)
    }

    @Test("An address is equal to its text") func addresses() {
        var (left, right) = (handshake, handshake)
        left.local = "192.0.2.7:443"
        let bytes:
            (
                UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8,
                UInt8
            ) = (192, 0, 2, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
        right.localName = SocketAddress(family: 2, port: 443, bytes: bytes).map(SocketName.address)
        #expect(left == right && right.local == "192.0.2.7:443")
        right.localName = SocketAddress(family: 2, port: 444, bytes: bytes).map(SocketName.address)
        #expect(left != right)
        right.local = nil
        #expect(right.local == nil && right.localName == nil)
    }
}

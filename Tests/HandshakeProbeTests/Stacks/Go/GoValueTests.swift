import Code
import TestSupport
import Testing

@testable import HandshakeProbe

/// Which types of connections are looked through to the socket inside them.
@Suite("Go's connections") struct GoValueTests {
    private static let source = """
        package main

        import (
        \t"crypto/tls"
        \t"fmt"
        \t"net"
        )

        type embedded struct {
        \tn int
        \tnet.Conn
        }

        type several struct {
        \tnet.Conn
        \tother net.Conn
        }

        type holder struct{ conn net.Conn }

        type direct struct{ *net.TCPConn }

        type value struct {
        \tnet.Conn
        \tname string
        }

        func main() {
        \tdialed, _ := net.Dial("tcp", "127.0.0.1:0")
        \tsocket, _ := dialed.(*net.TCPConn)
        \tall := []net.Conn{&embedded{0, dialed}, &several{dialed, dialed}, direct{socket}, &direct{socket}, value{dialed, "x"}}
        \tholders := []interface{}{holder{dialed}, &holder{dialed}, &value{dialed, "y"}, several{dialed, dialed}}
        \tfmt.Println(all, holders, tls.Client(all[0], nil).Handshake(), tls.Server(all[1], nil).Handshake())
        }
        """

    @Test(
        "What has a connection inside, and is one, is looked through where it is known which it reads from",
        .enabled(if: GoToolchain.areFetched, "run `make deps`"), arguments: ["1.21.13", "1.27.3"])
    func wrappers(_ version: String) throws {
        let directory = try TemporaryDirectory()
        let file = try ELFFile(
            path: GoToolchain(version).build(source: Self.source, in: directory, name: "wrappers"))
        let table = try #require(try Go.analyse(file).interfaces).types
        let types = try #require(try GoBinary(file).types())
        func entry(_ package: String, _ name: String, isPointer: Bool) throws -> InterfaceType? {
            let name = GoTypeName(package, name)
            let type = try #require(types.named([name])[name], "\(name)")
            let address = isPointer ? try #require(types.pointers(to: [type])[type], "\(name)") : type
            return table[UInt32(truncatingIfNeeded: address)]
        }
        let (wrapper, socket) = (UInt16(GoValue.wrapper.rawValue), UInt16(GoValue.socket.rawValue))
        #expect(try entry("net", "TCPConn", isPointer: true)?.number == socket)
        let embedded = try entry("main", "embedded", isPointer: true)
        #expect(embedded?.number == wrapper && embedded?.inner == 8 && embedded?.pointed == nil)
        let value = try entry("main", "value", isPointer: false)
        #expect(value?.number == wrapper && value?.inner == 0 && value?.pointed == nil)
        // The value of an interface that holds one pointer is the pointer itself, and no place of one.
        let direct = try entry("main", "direct", isPointer: true)
        #expect(direct?.number == wrapper && direct?.inner == 0 && direct?.pointed == socket)
        #expect(try entry("main", "direct", isPointer: false) == nil)
        // Of two nobody knows; what has no methods of a connection is none; and a TLS connection is another handshake's.
        for isPointer in [true, false] {
            #expect(try entry("main", "several", isPointer: isPointer) == nil)
            #expect(try entry("main", "holder", isPointer: isPointer) == nil)
        }
        #expect(try entry(GoToolchain.tls, "Conn", isPointer: true) == nil)
    }
}

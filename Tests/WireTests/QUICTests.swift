import Handshakes
import TestSupport
import Testing

@testable import Wire

/// RFC 9001 Appendix A's packets, and what they are made of.
@Suite struct QUICTests {
    /// A.1: the client's destination connection id.
    static let connectionID = bytes("8394c8f03e515708")
    /// A.2: the CRYPTO frame of the client's first Initial packet.
    static let clientCrypto = bytes(
        """
        060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b69484c000004130113020100
        00c000000010000e00000b6578616d706c652e636f6dff01000100000a00080006001d0017001800100007000504616c706e00
        0500050100000000003300260024001d00209370b2c9caa47fbabaf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b
        0003020304000d0010000e0403050306030203080408050806002d00020101001c00024001003900320408ffffffffffffffff
        05048000ffff07048000ffff0801100104800075300901100f088394c8f03e51570806048000ffff
        """)
    /// A.3: the server's Initial packet.
    static let serverInitial = bytes(
        """
        cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a5816b6394100f37a1c69797554780bb38cc5a9
        9f5ede4cf73c3ec2493a1839b3dbcba3f6ea46c5b7684df3548e7ddeb9c3bf9c73cc3f3bded74b562bfb19fb84022f8ef4cdd9
        3795d77d06edbb7aaf2f58891850abbdca3d20398c276456cbc42158407dd074ee
        """)

    @Test func serverInitialOfTheRFC() throws {
        let packet = try #require(QUICPacket.all(in: Self.serverInitial[...]).first)
        #expect(packet.type == .initial)
        #expect(packet.source.elementsEqual(bytes("f067a5502a4262b5")))
        let version = try #require(QUICVersion(1))
        let keys = QUICInitialKeys(version, connectionID: Self.connectionID[...], side: .server)
        let payload = try #require(keys.open(packet.bytes, numberAt: packet.numberAt))
        let frames = QUICFrame.all(in: payload[...])
        guard case .crypto(let offset, let hello) = try #require(frames.last) else {
            Issue.record("no CRYPTO frame")
            return
        }
        #expect(offset == 0)
        let message = try #require(HandshakeMessages.split(Array(hello)).first)
        let parsed = try #require(ServerHello(message.body, length: message.length))
        #expect(parsed.version == 0x0304)
        #expect(parsed.cipher == 0x1301)
        #expect(parsed.group == 29)
        // One bit changed anywhere: it is not taken for the server's.
        for index in packet.bytes.indices {
            var changed = Array(packet.bytes)
            changed[index] ^= 1
            #expect(keys.open(changed[...], numberAt: packet.numberAt) == nil, "byte \(index)")
        }
    }

    @Test func clientHelloOfTheRFC() throws {
        let frames = QUICFrame.all(in: Self.clientCrypto[...])
        guard case .crypto(0, let bytes) = try #require(frames.first) else {
            Issue.record("no CRYPTO frame")
            return
        }
        let message = try #require(HandshakeMessages.split(Array(bytes)).first)
        let hello = try #require(ClientHello(message.body, length: message.length))
        #expect(hello.isWhole)
        #expect(hello.serverName == Array("example.com".utf8))
        #expect(hello.protocols == [Array("alpn".utf8)])
        #expect(hello.versions == [0x0304])
    }

    @Test func cryptoInAnyOrder() throws {
        guard case .crypto(0, let whole) = try #require(QUICFrame.all(in: Self.clientCrypto[...]).first) else { return }
        var random = SplitMix(seed: 1)
        for _ in 0..<200 {
            var pieces: [(Int, ArraySlice<UInt8>)] = []
            var at = 0
            while at < whole.count {
                let count = min(Int.random(in: 1...20, using: &random), whole.count - at)
                pieces.append((at, whole.dropFirst(at).prefix(count)))
                at += count
            }
            pieces.shuffle(using: &random)
            var stream = CryptoStream()
            for (at, bytes) in pieces.prefix(64) { stream.add(bytes, at: at) }
            for (at, bytes) in pieces.dropFirst(64) { stream.add(bytes, at: at) }
            let message = try #require(stream.messages.first)
            #expect(message.body.elementsEqual(whole.dropFirst(4)))
        }
    }

    @Test func hostileDatagrams() {
        var random = SplitMix(seed: 2)
        for _ in 0..<20_000 {
            var datagram = Self.serverInitial
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                datagram[Int.random(in: 0..<min(40, datagram.count), using: &random)] = UInt8.random(
                    in: 0...255, using: &random)
            }
            var flow = QUICFlow(role: .client, start: 0)
            _ = flow.take(
                datagram[...].prefix(Int.random(in: 0...datagram.count, using: &random)), from: .client, at: 1)
            _ = flow.take(datagram[...], from: .server, at: 2)
        }
        for _ in 0..<20_000 {
            let noise = (0..<Int.random(in: 0...120, using: &random)).map { _ in
                UInt8.random(in: 0...255, using: &random)
            }
            _ = QUICFrame.all(in: noise[...])
            _ = QUICPacket.all(in: noise[...])
        }
    }
}

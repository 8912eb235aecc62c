import Testing

@testable import HandshakeProbe
@testable import Handshakes

/// What is reported of a handshake once it is over, and what is not.
@Suite("The facts of an ended session") struct SessionFactTests: SessionStream {
    @Test(
        "The group comes from where this handshake left it, and only if it is a registered one",
        arguments: [
            (0x0304, 0, 29, 24, "x25519"), (0x0304, 1, 29, 24, "x25519"), (0x0304, 0, nil, 24, "secp384r1"),
            (0x0304, 0, 0x2001d, 24, "secp384r1"), (0x0304, 0, 9999, 24, "secp384r1"), (0x0303, 0, 29, 24, "secp384r1"),
            (0x0303, 0, 29, nil, nil), (0x0303, 1, 29, 24, nil), (0x0303, nil, 29, 24, nil), (0x0303, 0, 29, 9999, nil),
        ] as [(UInt32, UInt32?, UInt32?, UInt32?, String?)])
    func onlyARegisteredGroupIsReported(
        _ version: UInt32, _ resumed: UInt32?, _ own: UInt32?, _ session: UInt32?, _ expected: String?
    ) {
        let told: [Fact: UInt32?] = [.version: version, .resumed: resumed, .group: own, .sessionGroup: session]
        let finished = oneCall(server: 0, scalars: told.compactMapValues { $0 })
        #expect(finished?.outcome == .completed)
        #expect(finished?.group == expected)
    }

    @Test(
        "TLS 1.3 by a pre-shared key alone has no key exchange: no time, and neither the group offered nor the earlier one",
        arguments: [0, 1] as [UInt32])
    func aPreSharedKeyAloneIsNoKeyExchange(_ server: UInt32) {
        let offered: UInt32 = server == 0 ? 30 : 0
        let told: [Fact: UInt32] = [.version: 0x0304, .resumed: 1, .group: offered, .sessionGroup: 23]
        let keys = step(120, .keyChange, argument: server == 0 ? 0x91 : 0xa2, input: 110)
        func finished(_ exchanged: UInt32) -> Handshake? {
            oneCall(server: server, scalars: told.merging([.keyExchanged: exchanged]) { $1 }, steps: [keys])
        }
        let alone = finished(0)
        #expect(alone?.outcome == .completed)
        #expect(alone?.group == nil)
        #expect(alone?.keyExchange == nil && alone?.keyExchangeSucceeded == nil)
        let exchanged = finished(1)
        #expect(exchanged?.group == (server == 0 ? "x448" : "secp256r1"))
        #expect(exchanged?.keyExchange == 10 && exchanged?.keyExchangeSucceeded == true)
    }

    @Test(
        "Client certificates are told by the side that knows, of the handshake that asked",
        arguments: [
            (1, [.resumed: 0, .verifyMode: Verify.peerOrFail, .peerCertificate: 9], true, true),
            // TLS_PSK_WITH_AES_128_GCM_SHA256, TLS_DH_anon_WITH_AES_128_GCM_SHA256, TLS_RSA_PSK_WITH_AES_128_GCM_SHA256
            (1, [.resumed: 0, .verifyMode: Verify.peer, .version: 0x0303, .cipher: 0x0300_00a8], false, nil),
            (1, [.resumed: 0, .verifyMode: Verify.peer, .version: 0x0303, .cipher: 0x0300_00a6], false, nil),
            (
                1,
                [.resumed: 0, .verifyMode: Verify.peer, .version: 0x0303, .cipher: 0x0300_00ac, .peerCertificate: 0],
                true,
                false
            ),
            (1, [.resumed: 0, .verifyMode: Verify.peer], true, nil),
            (1, [.resumed: 0, .verifyMode: Verify.none, .peerCertificate: 9], false, nil),
            (1, [.verifyMode: Verify.peer, .peerCertificate: 9], nil, nil),
            (1, [.resumed: 0, .verifyMode: 0x11, .peerCertificate: 9], nil, nil),
            (
                1, [.resumed: 0, .verifyMode: Verify.peerAfterHandshake, .peerCertificate: 9, .version: 0x0303], true,
                true
            ),
            (1, [.resumed: 0, .certificateRequest: 1], nil, nil),
            (0, [.resumed: 0, .verifyMode: Verify.peer, .peerCertificate: 9], nil, nil),
            (0, [.resumed: 0, .certificateRequest: 2, .peerCertificate: 9], true, false),
            (0, [.certificateRequest: 3], nil, nil),
        ] as [(UInt32, [Fact: UInt32], Bool?, Bool?)])
    func clientCertificate(_ server: UInt32, _ told: [Fact: UInt32], _ requested: Bool?, _ given: Bool?) {
        let finished = oneCall(
            server: server, scalars: told.merging([.version: 0x0304, .cipher: 0x0300_1301]) { own, _ in own })
        #expect(finished?.outcome == .completed)
        #expect(finished?.clientCertificateRequested == requested)
        #expect(finished?.clientCertificateGiven == given)
    }

    @Test("A failed handshake tells nothing that it only offered")
    func failedFacts() {
        let facts: [Fact: UInt32] = [
            .version: 0x0304, .cipher: 0x0300_1301, .resumed: 0, .group: 29, .verifyMode: Verify.peer,
            .peerCertificate: 9,
            .helloRetry: 1, .earlyData: 1,
        ]
        let failed = oneCall(result: -1, flow: Flow.error, scalars: facts)
        #expect(failed?.outcome == .failed)
        #expect(failed?.tlsVersion == nil)
        #expect(failed?.cipher == nil)
        #expect(failed?.group == nil)
        #expect(failed?.resumed == nil)
        #expect(failed?.helloRetryRequest == nil)
        #expect(failed?.clientCertificateRequested == nil)
        #expect(failed?.earlyData == nil)
        let done = oneCall(scalars: facts)
        #expect(done?.cipher == "TLS_AES_128_GCM_SHA256")
        #expect(done?.helloRetryRequest == true)
        #expect(done?.earlyData == .rejected)
    }

    @Test(
        "The client's Finished is verified where a server takes its application keys for reading into use",
        arguments: [
            (1, [Keys.applicationServerRead], 20), (1, [Keys.applicationServerWrite], nil),
            (1, [Keys.applicationClientRead], nil), (1, [Keys.handshakeServerRead], nil), (1, [Keys.serverRead], nil),
            (0, [Keys.applicationServerRead], nil), (1, [Keys.applicationServerWrite, Keys.applicationServerRead], 21),
            (1, [Keys.applicationServerRead, Keys.applicationServerRead], 20),
        ] as [(UInt32, [Int32], UInt64?)])
    func aServerVerifiesFinishedAtItsReadKeys(_ server: UInt32, _ changes: [Int32], _ expected: UInt64?) {
        let steps = changes.enumerated().map { step(120 + UInt64($0.offset), .keyChange, argument: $0.element) }
        let done = oneCall(server: server, scalars: [.version: 0x0304], steps: steps)
        #expect(done?.outcome == .completed)
        #expect(done?.finished == expected)
    }
}

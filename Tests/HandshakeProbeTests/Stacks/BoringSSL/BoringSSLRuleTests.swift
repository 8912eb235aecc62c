import CEvents
import Glibc
import Testing

@testable import HandshakeProbe
@testable import Handshakes

/// What BoringSSL's fields mean at a call's beginning and end.
@Suite("BoringSSL's states") struct BoringSSLRuleTests: SessionStream {
    /// Of a server that has begun and waits for its peer, unless changed.
    private struct Fields {
        var step: UInt32 = 0
        var wait: UInt32 = 3
        var role: UInt32 = 1
        var finalized: UInt32 = 0
        var want: UInt32 = 2
        var quic: UInt32 = 0
        var connected: UInt32 = 0

        var values: StateValues {
            StateValues(present: 0xff, values: [step, wait, role, finalized, want, quic, 0, connected])
        }
        var facts: [Fact: UInt32] {
            [
                BoringSSLFact.wait: wait, .role: role, BoringSSLFact.finalized: finalized, BoringSSLFact.want: want,
                BoringSSLFact.quic: quic, BoringSSLFact.connected: connected,
            ]
        }
    }

    private func entry(_ change: (inout Fields) -> Void, server: Bool = true) -> EntryKind {
        var fields = Fields()
        change(&fields)
        return SessionRules.boringSSL.entry(EntryState(values: fields.values, isServer: server))
    }

    @Test("Where a call begins a handshake, and where it goes on with one") func entries() {
        #expect(entry { _ in } == .tentative)
        #expect(entry({ $0.role = 0 }, server: false) == .start)
        #expect(entry { $0.quic = 7 } == .look)
        #expect(entry { $0.step = 4 } == .proceed)
        #expect(entry { $0.connected = 1 } == .renegotiate)
        // It has failed, and is called again.
        #expect(entry { $0.wait = 0 } == .unrelated)
        for change in [
            { $0.step = 65 }, { $0.wait = 65 }, { $0.role = 2 }, { $0.finalized = 2 }, { $0.want = 33 },
            { $0.connected = 2 },
        ] as [(inout Fields) -> Void] {
            #expect(entry(change) == .implausible)
        }
    }

    private func exit(_ result: Int32, _ io: Int32? = 5, _ change: (inout Fields) -> Void = { _ in }) -> Exit {
        var fields = Fields()
        change(&fields)
        return SessionRules.boringSSL.exit(ExitState(result: result, values: fields.values, io: io))
    }

    @Test("A handshake is completed where it is finalized, and not where it comes back early") func completed() {
        #expect(
            exit(1) {
                $0.finalized = 1; $0.want = 0
            }.kind == .completed)
        // False Start, and early data.
        #expect(exit(1) { $0.want = 0 }.kind == .wants)
        #expect(exit(-1) { $0.finalized = 1 }.kind == .wants)
        #expect(exit(1) { $0.role = 2 }.kind == .implausible)
    }

    @Test("It fails where it asks for nothing, and where the peer has ended it") func failed() {
        #expect(exit(-1) { $0.want = 0 }.kind == .failed)
        #expect(exit(-1) { $0.wait = 0 }.kind == .failed)
        // SSL_ERROR_ZERO_RETURN: close_notify.
        #expect(exit(-1) { $0.want = 6 }.kind == .failed)
        #expect(!exit(-1) { $0.want = 6 }.peerHasEnded)
        let end = self.exit(0)
        #expect(end.kind == .failed && end.peerHasEnded)
    }

    @Test("What it asks for is the peer's, or the application's to give") func waiting() {
        for want in [2, 3] as [UInt32] {
            let told = exit(-1, nil) { $0.want = want }
            #expect(told.kind == .wants && !told.isSuspended)
        }
        // A certificate's verification, a session, a certificate, a private key, a verification elsewhere, hints.
        for want in [4, 11, 12, 13, 14, 16, 20] as [UInt32] {
            let told = exit(-1, 0) { $0.want = want }
            #expect(told.kind == .wants && told.isSuspended, "\(want)")
        }
    }

    @Test("A transport that is broken asks for no other wait than one that is empty") func broken() {
        for io in [0, -ECONNRESET, -EPIPE] { #expect(exit(-1, io).kind == .failed, "\(io)") }
        for io in [-EAGAIN, -EINTR, 5] { #expect(exit(-1, io).kind == .wants, "\(io)") }
        // QUIC's packets are not the connection's.
        #expect(exit(-1, 0) { $0.quic = 7 }.kind == .wants)
    }

    @Test("A server of QUIC that has got no further than its ClientHello is not under way") func underWay() {
        #expect(
            !exit(-1) {
                $0.quic = 7; $0.step = 2
            }.isUnderWay)
        #expect(
            exit(-1) {
                $0.quic = 7; $0.step = 3
            }.isUnderWay)
        #expect(
            exit(-1) {
                $0.quic = 7; $0.step = 2; $0.role = 0
            }.isUnderWay)
        #expect(exit(-1) { $0.step = 2 }.isUnderWay)
    }

    // MARK: what failed

    private func ended(
        result: Int32 = -1, io: Int32 = 5, step: UInt32 = 9, flags: UInt16 = 0, server: Bool = true,
        _ more: [Fact: UInt32] = [:], _ change: (inout Fields) -> Void = { _ in }
    ) -> Handshake? {
        var fields = Fields(want: 0)
        fields.role = server ? 1 : 0
        change(&fields)
        var table = table(rules: .boringSSL, stack: "boringssl")
        var event = enter(100, flow: 0, server: server ? 1 : 0)
        event.present = 0
        for (fact, value) in Fields().facts { event.set(fact, value) }
        event.set(BoringSSLFact.step, 0)
        event.set(.role, server ? 1 : 0)
        table.callEntered(event)
        table.callReturned(
            back(
                130, from: 100, result: result, flow: step, io: io, scalars: fields.facts.merging(more) { $1 },
                flags: flags))
        return table.takeFinished().first
    }

    private static func row(_ library: UInt32, _ reason: UInt32) -> UInt32 { library << 24 | reason }
    /// Level and alert.
    private static func sent(_ alert: UInt32, level: UInt32 = 2) -> [Fact: UInt32] {
        [BoringSSLFact.sentAlert: alert << 8 | level]
    }

    private func failed(_ rows: [UInt32], of facts: ErrorFacts = BoringSSLFact.errors, _ more: [Fact: UInt32] = [:])
        -> Handshake?
    {
        var scalars = more
        scalars[facts.count] = UInt32(rows.count)
        if let first = rows.first { scalars[facts.first] = first }
        if rows.count > 1 { scalars[facts.second] = rows[1] }
        return ended(scalars) { $0.wait = facts.count == BoringSSLFact.errors.count ? 0 : 3 }
    }

    @Test("The last row of libssl's own is the reason") func reasons() {
        #expect(failed([Self.row(16, 266)], Self.sent(40))?.libraryReason == "no_shared_group")
        #expect(failed([Self.row(16, 125)], Self.sent(48))?.reason == "unknown_ca")
        // Chromium's own stand first or last.
        #expect(failed([Self.row(35, 9), Self.row(16, 240)], Self.sent(70))?.libraryReason == "unsupported_protocol")
        #expect(failed([Self.row(16, 240), Self.row(35, 9)], Self.sent(70))?.libraryReason == "unsupported_protocol")
        #expect(failed([Self.row(35, 9)], Self.sent(70))?.libraryReason == nil)
        // Of more than two nobody knows the last.
        #expect(failed([240, 240, 240].map { Self.row(16, $0) }, Self.sent(70))?.libraryReason == nil)
        #expect(failed([], Self.sent(70))?.libraryReason == nil)
        // A received alert is in the record layer's.
        let received = failed([Self.row(16, 1048)], of: BoringSSLFact.readErrors)
        #expect(received?.reason == "unknown_ca" && received?.alertDirection == .received)
    }

    @Test("An alert was sent where its level is fatal") func alerts() {
        #expect(failed([Self.row(16, 266)], Self.sent(40))?.alert == 40)
        #expect(failed([Self.row(16, 266)], Self.sent(40, level: 0))?.alert == nil)
        #expect(failed([Self.row(16, 266)], Self.sent(0, level: 1))?.alert == nil)
    }

    @Test("close_notify in a handshake is an alert like any other, whatever was sent before") func closeNotify() {
        let told = ended(result: 0, Self.sent(40)) { $0.want = 6 }
        #expect(told?.reason == "close_notify" && told?.alert == 0 && told?.alertDirection == .received)
        // Up to 2022.
        #expect(ended(result: 0)?.reason == "close_notify")
        #expect(ended(result: 0, Self.sent(40))?.reason == "close_notify")
        // A transport's end is none, nor is a failure of its own.
        #expect(ended(result: 0, io: 0) { $0.want = 2 }?.reason == "peer_closed")
        #expect(failed([Self.row(16, 266)])?.reason == "no_shared_group")
    }

    @Test("Of a call that has completed nothing has failed, whatever it has sent") func nothingFailed() {
        let whole = ended(result: 1, Self.sent(40)) { $0.finalized = 1 }
        #expect(whole?.outcome == .completed && whole?.alert == nil)
        #expect(ended(Self.sent(40)) { $0.finalized = 1 }?.alert == nil)
    }

    // MARK: facts

    private func completed(
        _ facts: [Fact: UInt32], server: Bool = true, version: UInt32 = 0x0304, resumed: UInt32 = 0
    ) -> Handshake? {
        ended(
            result: 1, server: server,
            facts.merging([BoringSSLFact.version: version, BoringSSLFact.resumed: resumed]) { first, _ in first }
        ) { $0.finalized = 1 }
    }

    @Test("A group is told where it was agreed on now, and is one") func groups() {
        #expect(completed([BoringSSLFact.group: 29])?.group == IANA.group(29))
        #expect(completed([BoringSSLFact.group: 29 | 0x0403 << 16])?.group == IANA.group(29))
        #expect(completed([BoringSSLFact.group: 0x7777])?.group == nil)
        #expect(completed([BoringSSLFact.group: 29], resumed: 1)?.group == IANA.group(29))
        // What a session below TLS 1.3 keeps is an earlier handshake's.
        #expect(completed([BoringSSLFact.group: 29], version: 0x0303, resumed: 1)?.group == nil)
        #expect(completed([BoringSSLFact.group: 29], version: 0x0303)?.group == IANA.group(29))
    }

    @Test("What there is in TLS 1.3 alone is told in TLS 1.3 alone") func laterFacts() {
        let facts: [Fact: UInt32] = [BoringSSLFact.helloRetry: 1, BoringSSLFact.earlyData: 2]
        #expect(completed(facts)?.helloRetryRequest == true)
        #expect(completed(facts)?.earlyData == .accepted)
        #expect(completed(facts, version: 0x0303)?.helloRetryRequest == nil)
        #expect(completed(facts, version: 0x0303)?.earlyData == nil)
    }

    @Test(
        "Early data is told where it was offered",
        arguments: [
            (2, true, .accepted), (2, false, .accepted), (8, true, .rejected), (8, false, .rejected),
            (4, false, .rejected), (4, true, nil), (6, false, .rejected), (6, true, nil), (12, true, .rejected),
            (12, false, nil), (1, true, nil), (3, false, nil), (0, true, nil),
        ] as [(UInt32, Bool, EarlyData?)])
    func earlyData(_ reason: UInt32, _ server: Bool, _ told: EarlyData?) {
        #expect(completed([BoringSSLFact.earlyData: reason], server: server)?.earlyData == told)
    }

    @Test("A client's certificate: what a server asked, and what it got") func clientCertificates() {
        func told(_ facts: [Fact: UInt32], server: Bool = true, resumed: UInt32 = 0) -> [Bool?] {
            let session = completed(facts, server: server, resumed: resumed)
            return [session?.clientCertificateRequested, session?.clientCertificateGiven]
        }
        let (given, none): (UInt32, UInt32) = (29 | 0x0403 << 16, 29)
        #expect(told([BoringSSLFact.group: given]) == [true, true])
        #expect(told([BoringSSLFact.group: none, BoringSSLFact.verifyMode: 1]) == [true, false])
        #expect(told([BoringSSLFact.group: none, BoringSSLFact.verifyMode: 0]) == [false, nil])
        #expect(told([BoringSSLFact.group: none]) == [nil, nil])
        #expect(told([BoringSSLFact.group: none, BoringSSLFact.verifyMode: 9]) == [nil, nil])
        // A client's peer is the server; a resumed handshake has none.
        #expect(told([BoringSSLFact.group: given], server: false) == [nil, nil])
        #expect(told([BoringSSLFact.group: given], resumed: 1) == [false, nil])
    }

    @Test("QUIC's handshakes have its transport") func transport() {
        #expect(completed([BoringSSLFact.quic: 7])?.transport == .quic)
        #expect(completed([BoringSSLFact.quic: 0])?.transport == nil)
    }

    @Test("A look over QUIC is one that was rejected where the ClientHello is looked at, by a server") func looks() {
        func looked(_ reason: UInt32, step: UInt32 = 2, server: Bool = true) -> Handshake? {
            ended(
                step: step, server: server,
                [
                    BoringSSLFact.errors.count: 1, BoringSSLFact.errors.first: Self.row(16, reason),
                    BoringSSLFact.quic: 7,
                ]
            ) { $0.wait = 0 }
        }
        #expect(looked(133) == nil)
        #expect(looked(266)?.outcome == .failed)
        #expect(looked(133, step: 6)?.outcome == .failed)
        #expect(looked(133, server: false)?.outcome == .failed)
    }

    @Test("Keys for the handshake, and the peer's Finished, by level and direction") func keys() {
        func change(_ level: Int32, writes: Bool) -> KeyChange {
            SessionRules.boringSSL.keyChange(level | (writes ? BoringSSLState.writes : 0))
        }
        #expect(change(2, writes: true) == .handshake && change(2, writes: false) == .handshake)
        #expect(change(3, writes: true) == .handshake && change(3, writes: false) == .peerFinished)
        #expect(change(1, writes: true) == .other && change(0, writes: false) == .other)
    }
}

import CEvents
import Testing

@testable import HandshakeProbe
@testable import Handshakes

/// What a Conn's fields and its errors mean.
@Suite("Go's states") struct GoRuleTests: SessionStream {
    // By their numbers in `GoLayout`.
    private static let version = Fact(3, "version")
    private static let quic = Fact(4, "QUIC")
    private static let cipher = Fact(10, "cipher")
    private static let group = Fact(11, "group")
    private static let resumed = Fact(12, "resumed")
    private static let retry = Fact(13, "helloRetry")
    private static let auth = Fact(15, "clientAuth")
    private static let certificates = Fact(16, "peerCertificates")

    private func values(state: UInt32 = 0, role: UInt32 = 0, version: UInt32 = 0) -> StateValues {
        StateValues(present: 0b1101, values: [state, 0, role, version, 0, 0, 0, 0])
    }

    @Test("A call begins a handshake that may turn out to be none, and what no Conn has is not believed")
    func entries() {
        func entry(_ values: StateValues, server: Bool = true) -> EntryKind {
            SessionRules.go.entry(EntryState(values: values, isServer: server))
        }
        #expect(entry(values()) == .tentative)
        #expect(entry(values(role: 1), server: false) == .tentative)
        #expect(entry(values(version: 0x0303)) == .tentative)
        for wrong in [
            values(state: 1), values(state: 2), values(role: 2), values(role: 1), values(version: 0x0305),
            values(version: 0x02ff), values(version: 1),
        ] {
            #expect(entry(wrong) == .implausible)
        }
        #expect(entry(values(), server: false) == .implausible)
    }

    @Test("No error is a completed handshake, and any other a failed one") func exits() {
        func exit(_ result: Int32, _ values: StateValues) -> Exit.Kind {
            SessionRules.go.exit(ExitState(result: result, values: values, io: nil)).kind
        }
        #expect(exit(0, values(state: 1, version: 0x0304)) == .completed)
        #expect(exit(0, values(state: 0)) == .implausible)
        #expect(exit(1, values(state: 0)) == .failed)
        #expect(exit(1, values(state: 0, role: 9)) == .implausible)
        #expect(exit(1, values(state: 9)) == .implausible)
        #expect(exit(0, values(state: 1, version: 0x9999)) == .implausible)
    }

    @Test("A step that returns an error has made no keys") func keys() {
        #expect(SessionRules.go.keyChange(0) == .handshake)
        #expect(SessionRules.go.keyChange(0x1234) == .other)
    }

    // MARK: sessions

    private func ended(server: Bool = true, result: Int32, _ facts: [Fact: UInt32]) -> Handshake? {
        var table = table(rules: .go, stack: "go")
        var event = tlswatch_call_enter()
        event.header = header(100, hook: .call)
        event.server = server ? 1 : 0
        event.set(.state, 0)
        event.set(.role, server ? 0 : 1)
        table.callEntered(event)
        let fixed: [Fact: UInt32] = [.state: result == 0 ? 1 : 0, .detail: 0, .role: server ? 0 : 1]
        table.callReturned(
            back(130, from: 100, result: result, flow: result == 0 ? 1 : 0, scalars: fixed.merging(facts) { $1 }))
        return table.takeFinished().first
    }

    private func completed(_ facts: [Fact: UInt32], server: Bool = true) -> Handshake? {
        ended(server: server, result: 0, facts.merging([Self.version: 0x0304]) { first, _ in first })
    }

    @Test("What a Conn does not have yet is no fact") func absent() {
        let none = completed([Self.cipher: 0, Self.group: 0, Self.resumed: 2, Self.retry: 2])
        #expect(none?.outcome == .completed)
        #expect(none?.cipher == nil && none?.group == nil && none?.resumed == nil && none?.helloRetryRequest == nil)
        let all = completed([Self.cipher: 0x1301, Self.group: 29, Self.resumed: 1, Self.retry: 1])
        #expect(all?.cipher == IANA.cipher(0x1301) && all?.group == IANA.group(29))
        #expect(all?.resumed == true && all?.helloRetryRequest == true)
        #expect(completed([Self.version: 0x0303, Self.retry: 0])?.helloRetryRequest == nil)
    }

    @Test("A server's wish for a certificate, and whether there was one") func clientCertificates() {
        func told(_ facts: [Fact: UInt32], server: Bool = true) -> [Bool?] {
            let session = completed(facts, server: server)
            return [session?.clientCertificateRequested, session?.clientCertificateGiven]
        }
        #expect(told([Self.auth: 2, Self.certificates: 1, Self.resumed: 0]) == [true, true])
        #expect(told([Self.auth: 1, Self.certificates: 0, Self.resumed: 0]) == [true, false])
        #expect(told([Self.auth: 0, Self.certificates: 0, Self.resumed: 0]) == [false, nil])
        #expect(told([Self.auth: 2, Self.certificates: 1, Self.resumed: 1]) == [false, nil])
        #expect(told([Self.auth: 5, Self.certificates: 1, Self.resumed: 0]) == [nil, nil])
        #expect(told([Self.auth: 2, Self.certificates: 1]) == [nil, nil])
        // A client has its server's.
        #expect(told([Self.auth: 2, Self.certificates: 1, Self.resumed: 0], server: false) == [nil, nil])
    }

    @Test("QUIC's handshakes have its transport, and one that ends at once is no look") func transport() {
        #expect(completed([Self.quic: 7])?.transport == .quic)
        #expect(completed([Self.quic: 0])?.transport == nil)
        #expect(failed(nil, carrier: 0, [Self.quic: 7])?.outcome == .failed)
        #expect(failed(nil, carrier: 0, [Self.quic: 0]) == nil)
    }

    private func failed(
        _ error: GoValue?, detail: UInt32 = 0, incoming: UInt32? = nil, outgoing: UInt32? = nil,
        carrier: UInt32 = UInt32(GoValue.socket.rawValue) | GoFailure.usesSocket, _ more: [Fact: UInt32] = [:]
    ) -> Handshake? {
        func alert(_ number: UInt32?) -> UInt32 { number.map { UInt32(GoValue.alert.rawValue) | $0 << 8 } ?? 0 }
        return ended(
            result: 1,
            more.merging([
                .carrier: carrier, .error: UInt32(error?.rawValue ?? 0) | detail << 8, .incomingError: alert(incoming),
                .outgoingError: alert(outgoing),
            ]) { first, _ in first })
    }

    @Test("Which of two alerts ended it") func alerts() {
        func told(_ session: Handshake?) -> [String] {
            [
                session?.reason ?? "", session.flatMap(\.alert).map { "\($0)" } ?? "",
                session?.alertDirection?.rawValue ?? "",
            ]
        }
        #expect(told(failed(.alert, detail: 48, incoming: 48)) == ["unknown_ca", "48", "received"])
        #expect(told(failed(nil, outgoing: 40)) == ["handshake_failure", "40", "sent"])
        // What is sent for a bad record stands in both.
        #expect(told(failed(.alert, detail: 20, incoming: 20, outgoing: 20)) == ["bad_record_mac", "20", "sent"])
        #expect(told(failed(nil, incoming: 20, outgoing: 20)) == ["bad_record_mac", "20", "sent"])
        // The peer's answer to what was sent, and this side's to what came.
        #expect(told(failed(.alert, detail: 40, incoming: 80, outgoing: 40)) == ["handshake_failure", "40", "sent"])
        #expect(told(failed(.alert, detail: 80, incoming: 80, outgoing: 40)) == ["internal_error", "80", "received"])
        // Another type that stands there is no alert.
        #expect(
            told(failed(.deadline, [.outgoingError: UInt32(GoValue.errno.rawValue) | 40 << 8]))
                == ["deadline_exceeded", "", ""])
    }

    @Test("A context that is canceled closes the connection, and is no other failure's reason") func canceled() {
        let socket = UInt32(GoValue.socket.rawValue) | GoFailure.usesSocket
        #expect(failed(.closed, carrier: socket)?.reason == "closed_locally")
        #expect(failed(.closed, carrier: socket | GoFailure.isCanceled)?.reason == "canceled")
        #expect(failed(.errno, detail: 104, carrier: socket | GoFailure.isCanceled)?.reason == "connection_reset")
        #expect(failed(.alert, detail: 0, outgoing: 0)?.reason == "canceled")
    }
}

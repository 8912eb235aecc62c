import Handshakes
import TestSupport
import Testing
import Wire

/// What the rules make of handshakes between real programs, whose outcome is known: see capture.py.
@Suite struct WireFlowTests {
    /// What a capture is known to be.
    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var version: UInt16? = 0x0304
        var cipher: UInt16? = 0x1302
        var group: UInt16? = 29
        var resumed: Bool? = false
        var retried: Bool? = false
        var requested: Bool? = false
        var given: Bool?
        var early: EarlyData?
        /// Segments until it is over, for a client and for a server.
        var clientEnd: Int
        var testDescription: String { name }
    }

    static let completed: [Case] = [
        Case(name: "tls13", clientEnd: 3),
        Case(name: "tls13-sha384", clientEnd: 3),
        Case(name: "tls13-ccm8", cipher: 0x1305, clientEnd: 3),
        Case(name: "tls13-retry", group: 24, retried: true, clientEnd: 5),
        Case(name: "tls13-certificate", requested: true, given: true, clientEnd: 3),
        Case(name: "tls13-no-certificate", requested: true, given: false, clientEnd: 3),
        Case(name: "tls13-resumed", resumed: true, clientEnd: 3),
        Case(name: "tls13-early-data", resumed: true, early: .accepted, clientEnd: 3),
        Case(name: "tls13-java", clientEnd: 4),
        Case(name: "tls13-gnutls", group: 23, clientEnd: 4),
        Case(name: "tls12", version: 0x0303, cipher: 0xc030, retried: nil, clientEnd: 4),
        Case(name: "tls12-rsa", version: 0x0303, cipher: 0x002f, group: nil, retried: nil, clientEnd: 4),
        Case(
            name: "tls12-certificate", version: 0x0303, cipher: 0xc030, retried: nil, requested: true, given: true,
            clientEnd: 4),
        Case(
            name: "tls12-no-certificate", version: 0x0303, cipher: 0xc030, retried: nil, requested: true, given: false,
            clientEnd: 4),
        Case(
            name: "tls12-resumed", version: 0x0303, cipher: 0xc030, group: nil, resumed: true, retried: nil,
            requested: nil,
            clientEnd: 3),
    ]

    @Test(arguments: completed) func completes(_ expected: Case) throws {
        let segments = try Capture.named(expected.name)
        for role in Role.allCases {
            let seen = Seen(segments, role: role)
            #expect(seen.end.outcome == .completed)
            #expect(seen.end.confidence == .exact)
            #expect(seen.end.reason == nil)
            #expect(seen.end.time == UInt64(expected.clientEnd) * 1000)
            let facts = seen.facts
            #expect(facts.version == expected.version)
            #expect(facts.cipher == expected.cipher)
            #expect(facts.group == expected.group)
            #expect(facts.resumed == expected.resumed)
            #expect(facts.helloRetryRequest == expected.retried)
            #expect(facts.clientCertificateRequested == expected.requested)
            #expect(facts.clientCertificateGiven == expected.given)
            #expect(facts.earlyData == expected.early)
            #expect(facts.random.count == 32)
        }
    }

    @Test func helloFacts() throws {
        let facts = Seen(try Capture.named("tls13"), role: .client).facts
        #expect(facts.serverName == Array("a.example".utf8))
        #expect(facts.protocolsOffered == [Array("h2".utf8), Array("http/1.1".utf8)])
        #expect(facts.chosenProtocol == nil)
        let older = Seen(try Capture.named("tls12"), role: .client).facts
        #expect(older.chosenProtocol == Array("h2".utf8))
        #expect(Seen(try Capture.named("tls12-rsa"), role: .client).facts.chosenProtocol == [])
    }

    @Test func plaintextAlerts() throws {
        for role in Role.allCases {
            let refused = Seen(try Capture.named("tls12-no-cipher"), role: role)
            #expect(refused.end.outcome == .failed)
            #expect(refused.end.reason == "handshake_failure")
            #expect(refused.end.alert == 40)
            #expect(refused.end.alertSide == .server)
            let unknown = Seen(try Capture.named("tls13-unknown-ca"), role: role)
            #expect(unknown.end.outcome == .failed)
            #expect(unknown.end.alertSide == .client)
            #expect(unknown.end.confidence == .exact)
            #expect(unknown.facts.version == 0x0304)
            #expect(unknown.facts.cipher == nil)
        }
    }

    /// The server has the client's Finished and refuses the missing certificate: for the client it had completed.
    @Test func serverRefusesAfterFinished() throws {
        let segments = try Capture.named("tls13-certificate-required")
        let client = Seen(segments, role: .client)
        #expect(client.end.outcome == .completed)
        #expect(client.end.confidence == .exact)
        let server = Seen(segments, role: .server, close: .finished(.server))
        #expect(server.end.outcome == .failed)
        #expect(server.end.reason == "encrypted_alert")
        #expect(server.end.confidence == .inferred)
    }

    /// Every way to end before the Finished, at every segment.
    @Test func abandoned() throws {
        let whole = try Capture.named("tls13")
        let closes: [(WireClose, Role, String)] = [
            (.finished(.client), .server, "peer_closed"), (.finished(.client), .client, "closed"),
            (.reset(.server), .client, "connection_reset"), (.reset(.server), .server, "closed"),
            (.closed, .client, "closed"),
        ]
        for count in 1...2 {
            for (close, role, reason) in closes {
                let seen = Seen(Array(whole.prefix(count)), role: role, close: close)
                #expect(seen.end.outcome == .abandoned)
                #expect(seen.end.reason == reason)
                #expect(seen.facts.serverName == Array("a.example".utf8))
                #expect(seen.facts.cipher == nil)
            }
        }
    }

    @Test func notTLS() throws {
        let hello = try Capture.named("tls13")[0]
        let answer = Segment(side: .server, sequence: 7, payload: Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8))
        let seen = Seen([hello, answer], role: .client)
        #expect(seen.end.outcome == .failed)
        #expect(seen.end.reason == "not_tls")
    }

    /// Cut into segments of any length, and doubled: the same handshake, at the same record. A fact whose bytes were cut where
    /// nothing puts them together again is absent, and never another one.
    @Test(arguments: completed) func splitAndDoubled(_ expected: Case) throws {
        let segments = try Capture.named(expected.name)
        let whole = Seen(segments, role: .server)
        var random = SplitMix(seed: 5)
        var withGroup = 0
        for round in 0..<40 {
            var pieces: [Segment] = []
            for segment in segments {
                var rest = segment.payload[...]
                var sequence = segment.sequence
                while !rest.isEmpty {
                    // What begins a flight is recognised by its first bytes.
                    let least = rest.count == segment.payload.count ? 11 : 1
                    let count = min(rest.count, Int.random(in: least...700, using: &random))
                    pieces.append(Segment(side: segment.side, sequence: sequence, payload: Array(rest.prefix(count))))
                    if round > 20, let last = pieces.last { pieces.append(last) }
                    rest = rest.dropFirst(count)
                    sequence &+= UInt32(count)
                }
            }
            let seen = Seen(pieces, role: .server)
            #expect(seen.end.outcome == .completed)
            let (facts, known) = (seen.facts, whole.facts)
            #expect(facts.version == nil || facts.version == known.version)
            #expect(facts.cipher == nil || facts.cipher == known.cipher)
            #expect(facts.random == known.random)
            #expect(facts.serverName == known.serverName)
            #expect(facts.protocolsOffered == known.protocolsOffered)
            #expect(facts.helloRetryRequest == nil || facts.helloRetryRequest == known.helloRetryRequest)
            #expect(facts.resumed == nil || facts.resumed == known.resumed)
            #expect(facts.group == nil || facts.group == known.group)
            #expect(
                facts.clientCertificateRequested == nil
                    || facts.clientCertificateRequested == known.clientCertificateRequested)
            #expect(facts.clientCertificateGiven == nil || facts.clientCertificateGiven == known.clientCertificateGiven)
            #expect(facts.earlyData == nil || facts.earlyData == known.earlyData)
            if facts.group != nil { withGroup += 1 }
        }
        #expect(withGroup >= (whole.facts.group == nil ? 0 : 30))
    }

    /// A server's flight that has lost a segment out of its middle: nothing is made up.
    @Test func gap() throws {
        let segments = try Capture.named("tls12")
        var framer = Framer()
        framer.expect(segments[1].sequence, from: .server)
        var flow = WireFlow(role: .client, start: 0)
        let begun = flow.take(framer.frame(segments[0]))
        #expect(begun == nil)
        // The first half of the server's flight is lost: ServerHello and what follows it.
        let half = segments[1].payload.count / 2
        let late = Segment(
            side: .server, sequence: segments[1].sequence &+ UInt32(half), payload: Array(segments[1].payload[half...]))
        let end = flow.take(framer.frame(late)) ?? flow.close(.closed, at: 10_000)
        #expect(end.outcome == .abandoned)
        let facts = flow.facts(of: end)
        #expect(facts.version == nil)
        #expect(facts.cipher == nil)
        #expect(facts.resumed == nil)
    }

    @Test func timeoutAndVerdict() throws {
        let segments = try Capture.named("tls13")
        var framer = Framer()
        var flow = WireFlow(role: .server, start: 0)
        for segment in segments.prefix(3) {
            let end = flow.take(framer.frame(segment))
            #expect(end == nil)
        }
        let early = flow.expireVerdict(now: 4000)
        #expect(early == nil)
        let end = flow.expireVerdict(now: 4000 + WireFlow.verdictWait)
        #expect(end?.outcome == .completed)
        #expect(end?.time == 3000)
        var silent = WireFlow(role: .client, start: 0)
        var other = Framer()
        let nothing = silent.take(other.frame(segments[0]))
        #expect(nothing == nil)
        #expect(silent.timeout(at: 9000).outcome == .timeout)
    }
}

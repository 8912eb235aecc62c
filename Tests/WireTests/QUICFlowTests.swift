import Foundation
import Handshakes
import TestSupport
import Testing

@testable import Wire

/// Handshakes between aioquic's client and server, as capture_quic.py has kept them.
@Suite struct QUICFlowTests {
    typealias Datagram = (side: WireSide, bytes: [UInt8])

    static let completed = ["plain", "retry", "version-2", "version-negotiation", "both-versions", "long"]
    static let failed = ["no-protocol", "unknown-authority"]

    static func datagrams(_ name: String) throws -> [Datagram] {
        let url = try #require(Bundle.module.url(forResource: "Fixtures", withExtension: nil))
            .appending(path: "quic-\(name).datagrams")
        return try String(contentsOf: url, encoding: .utf8).split(separator: "\n").map { line in
            (line.hasPrefix("C") ? .client : .server, bytes(String(line.dropFirst(2))))
        }
    }

    /// Feeds datagrams to a flow until it ends.
    private func follow(_ datagrams: [Datagram], role: Role = .client) -> (flow: QUICFlow, end: WireEnd?, count: Int) {
        var flow = QUICFlow(role: role, start: 0)
        for (index, datagram) in datagrams.enumerated() {
            if let end = flow.take(datagram.bytes[...], from: datagram.side, at: UInt64(index + 1) * 1000) {
                return (flow, end, index + 1)
            }
        }
        return (flow, nil, datagrams.count)
    }

    @Test(arguments: completed) func completes(_ name: String) throws {
        let datagrams = try Self.datagrams(name)
        for role in Role.allCases {
            let seen = follow(datagrams, role: role)
            let end = try #require(seen.end, "\(name)")
            #expect(end.outcome == .completed && end.reason == nil)
            // The client's Finished: in the last of its datagrams with a long header.
            let last = try #require(datagrams.lastIndex { $0.side == .client && ($0.bytes.first ?? 0) & 0x80 != 0 })
            #expect(seen.count == last + 1)
            let facts = seen.flow.facts(of: end)
            #expect(facts.version == 0x0304)
            #expect(facts.cipher == 0x1302)
            #expect(facts.serverName == Array("a.example".utf8))
            #expect(facts.protocolsOffered?.first == Array("hq".utf8))
            #expect(facts.protocolsOffered?.count == (name == "long" ? 9 : 1))
            #expect(facts.chosenProtocol == nil)
            #expect(facts.resumed == false && facts.helloRetryRequest == false)
            #expect(facts.random.count == 32)
        }
    }

    @Test("A refusal in an Initial packet has its alert and who sent it", arguments: failed)
    func fails(_ name: String) throws {
        let end = try #require(follow(try Self.datagrams(name)).end)
        #expect(end.outcome == .failed && end.confidence == .exact)
        #expect(end.reason == (name == "no-protocol" ? "no_application_protocol" : "bad_certificate"))
        #expect(end.alert == (name == "no-protocol" ? 120 : 42))
        #expect(end.alertSide == (name == "no-protocol" ? .server : .client))
    }

    @Test("A connection begins with a client's Initial packet, and with nothing else", arguments: completed)
    func beginnings(_ name: String) throws {
        let datagrams = try Self.datagrams(name)
        #expect(QUICFlow.begins(datagrams[0].bytes[...]))
        for datagram in datagrams where datagram.side == .server {
            #expect(!QUICFlow.begins(datagram.bytes[...]))
        }
        var cut = datagrams[0].bytes
        cut.removeLast(1)
        #expect(name == "version-negotiation" || !QUICFlow.begins(cut[...]))
        #expect(!QUICFlow.begins(datagrams[0].bytes.prefix(1199)))
    }

    @Test(
        "Without the client's Finished it is abandoned, once both sides have been silent for longer than they would be")
    func silence() throws {
        let datagrams = Array(try Self.datagrams("plain").prefix(2))
        let seen = follow(datagrams)
        #expect(seen.end == nil)
        #expect(seen.flow.silence(now: 9_000_000_000) == nil)
        let end = try #require(seen.flow.silence(now: 11_000_000_000))
        #expect(end.outcome == .abandoned && end.confidence == .inferred && end.time == 2000)
        #expect(seen.flow.facts(of: end).cipher == nil)
    }

    @Test("Doubled, reordered and lost datagrams change no fact", arguments: completed)
    func disorder(_ name: String) throws {
        let datagrams = try Self.datagrams(name)
        var random = SplitMix(seed: 4)
        for _ in 0..<60 {
            var changed = datagrams
            // What the first datagram and a server's answer to it bring about is not reordered with it.
            let first = name == "long" ? 0 : 1
            for index in first..<changed.count - 1 where Int.random(in: 0..<4, using: &random) == 0 {
                if changed[index].side == changed[index + 1].side { changed.swapAt(index, index + 1) }
            }
            for index in changed.indices.reversed() where Int.random(in: 0..<4, using: &random) == 0 {
                changed.insert(changed[index], at: index)
            }
            let seen = follow(changed)
            let end = try #require(seen.end)
            #expect(end.outcome == .completed)
            #expect(seen.flow.facts(of: end).serverName == Array("a.example".utf8))
            #expect(seen.flow.facts(of: end).cipher == 0x1302)
        }
    }

    @Test(
        "Whatever peers send, nothing traps, and a handshake's own packets are believed alone",
        arguments: completed + failed)
    func hostile(_ name: String) throws {
        let datagrams = try Self.datagrams(name)
        var random = SplitMix(seed: 5)
        for _ in 0..<40 {
            var changed = datagrams
            for _ in 0..<Int.random(in: 1...8, using: &random) {
                let index = Int.random(in: changed.indices, using: &random)
                switch Int.random(in: 0..<5, using: &random) {
                case 0: changed.swapAt(index, Int.random(in: changed.indices, using: &random))
                case 1: changed[index].side = changed[index].side == .client ? .server : .client
                case 2:
                    changed[index].bytes = Array(changed[index].bytes.prefix(Int.random(in: 0...1300, using: &random)))
                case 3: changed.append(changed[index])
                default:
                    guard !changed[index].bytes.isEmpty else { continue }
                    let at = Int.random(in: 0..<min(60, changed[index].bytes.count), using: &random)
                    changed[index].bytes[at] = UInt8.random(in: 0...255, using: &random)
                }
            }
            for role in Role.allCases {
                let seen = follow(changed, role: role)
                _ = changed.map { QUICFlow.begins($0.bytes[...]) }
                guard let end = seen.end else { continue }
                let facts = seen.flow.facts(of: end)
                #expect(facts.random.isEmpty || facts.random.count == 32)
                #expect((facts.serverName?.count ?? 0) <= 255)
                // Initial packets are authenticated: a name is the client's own or none.
                #expect(facts.serverName == nil || facts.serverName == Array("a.example".utf8))
            }
        }
    }
}

import Handshakes
import TestSupport
import Testing
import Wire

/// Everything here is a peer's bytes: whatever they are, nothing traps and nothing grows without bound.
@Suite struct FuzzTests {
    static let names = WireFlowTests.completed.map(\.name) + ["tls12-no-cipher", "tls13-unknown-ca"]

    @Test(arguments: names) func segments(_ name: String) throws {
        let segments = try Capture.named(name)
        var random = SplitMix(seed: 15)
        for _ in 0..<300 {
            var changed = segments
            for _ in 0..<Int.random(in: 1...12, using: &random) {
                let index = Int.random(in: changed.indices, using: &random)
                switch Int.random(in: 0..<6, using: &random) {
                case 0: changed.swapAt(index, Int.random(in: changed.indices, using: &random))
                case 1: changed[index].sequence &+= UInt32.random(in: 0...9000, using: &random) &- 4500
                case 2: changed[index].side = changed[index].side == .client ? .server : .client
                case 3:
                    changed[index].payload = Array(
                        changed[index].payload.dropFirst(Int.random(in: 0...40, using: &random)))
                case 4: changed.append(changed[index])
                default:
                    guard !changed[index].payload.isEmpty else { continue }
                    let at = Int.random(in: 0..<min(200, changed[index].payload.count), using: &random)
                    changed[index].payload[at] = UInt8.random(in: 0...255, using: &random)
                }
            }
            for role in Role.allCases {
                let seen = Seen(changed, role: role)
                check(seen.facts)
            }
        }
    }

    private func check(_ facts: WireFacts) {
        #expect(facts.random.isEmpty || facts.random.count == 32)
        #expect((facts.serverName?.count ?? 0) <= 255)
        #expect((facts.protocolsOffered ?? []).allSatisfy { $0.count <= 255 })
        #expect((facts.protocolsOffered?.count ?? 0) <= 16)
    }

    /// Segments of records that no program sends, in any order.
    @Test func anything() {
        var random = SplitMix(seed: 16)
        for _ in 0..<3000 {
            var flow = WireFlow(role: Bool.random(using: &random) ? .client : .server, start: 0)
            for time in 0..<UInt64(Int.random(in: 1...30, using: &random)) {
                let bytes = (0..<Int.random(in: 0...300, using: &random)).map { _ in
                    UInt8.random(in: 0...255, using: &random)
                }
                let records = (0..<Int.random(in: 0...4, using: &random)).map { _ in
                    WireRecord(
                        type: RecordType(rawValue: UInt8.random(in: 20...24, using: &random)) ?? .alert,
                        length: Int.random(in: 0...80, using: &random),
                        content: (0..<Int.random(in: 0...8, using: &random)).map { _ in
                            UInt8.random(in: 0...24, using: &random)
                        })
                }
                let segment = WireSegment(
                    time: time, side: Bool.random(using: &random) ? .client : .server, records: records,
                    bytes: bytes[...],
                    sequence: UInt32.random(in: 0...6000, using: &random) &- 3000,
                    followsGap: Bool.random(using: &random), isNotTLS: Int.random(in: 0...20, using: &random) == 0)
                if let end = flow.take(segment) {
                    check(flow.facts(of: end))
                    break
                }
            }
            check(flow.facts(of: flow.close(.closed, at: 100)))
        }
    }

    @Test func hellosCutAnywhere() throws {
        for name in ["tls13", "tls12", "tls13-java", "tls13-gnutls"] {
            let payload = try Capture.named(name)[0].payload
            let length = Int(payload[6]) << 16 | Int(payload[7]) << 8 | Int(payload[8])
            let body = payload[9..<(9 + length)]
            let whole = try #require(ClientHello(body, length: length))
            #expect(whole.isWhole)
            for count in 0..<length {
                guard let cut = ClientHello(body.prefix(count), length: length) else {
                    #expect(count < 34)
                    continue
                }
                #expect(!cut.isWhole)
                #expect(cut.random == whole.random)
                #expect(cut.serverName == nil || cut.serverName == whole.serverName)
                #expect(cut.protocols == nil || cut.protocols == whole.protocols)
            }
        }
    }
}

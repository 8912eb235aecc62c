import CEvents
import Code
import Handshakes
import TestSupport
import Testing

@testable import HandshakeProbe

@Suite("NSS", .enabled(if: Machine.has(Machine.nss))) struct NSSTests {
    private static func analysis() throws -> LibraryAnalysis { try NSS.analyse(ELFFile(path: Machine.nss)) }

    @Test("Debian's library: everything that is looked for is found, at instructions that the kernel emulates")
    func analysis() throws {
        let analysis = try Self.analysis()
        #expect(analysis.notes.isEmpty, "\(analysis.notes)")
        #expect(analysis.version?.hasPrefix("3.") == true)
        var counts: [HookKind: Int] = [:]
        for site in analysis.sites { counts[site.hook, default: 0] += 1 }
        // The loop, SSL_ForceHandshake, SSL_AuthCertificateComplete, SSL_ClientCertCallbackComplete; and ssl_FinishHandshake.
        #expect(counts[.call] == 4 && counts[.callExit] == 5, "\(counts)")
        #expect(counts[.fatal] == 2 && counts[.objectFree] == 1, "\(counts)")
        #expect(counts[.keyChange] == 2 && counts[.alpnSelect] == 1 && counts[.alpnAnswer] == 1, "\(counts)")
        #expect(analysis.sites.allSatisfy { $0.mode == .emulated })
        #expect(analysis.server != nil)
        #expect(analysis.plan.omitted.isEmpty)
    }

    @Test(
        "Firefox's library, by another compiler: four loops, and alerts in both directions",
        .enabled(if: Machine.has(Machine.firefoxNSS)))
    func firefox() throws {
        let analysis = try NSS.analyse(ELFFile(path: Machine.firefoxNSS))
        var counts: [HookKind: Int] = [:]
        for site in analysis.sites { counts[site.hook, default: 0] += 1 }
        #expect(counts[.call] == 7 && counts[.callExit] == 8, "\(counts)")
        #expect(counts[.fatal] == 2 && counts[.objectFree] == 1 && counts[.keyChange] == 2, "\(counts)")
        #expect(analysis.sites.allSatisfy { $0.mode == .emulated })
        #expect(analysis.plan.omitted.isEmpty && analysis.facts[NSSFact.earlyData] != nil)
        // A browser is no server.
        #expect(analysis.notes.count == 1 && analysis.notes[0].contains("ALPN time of servers"), "\(analysis.notes)")
    }

    @Test("The sites do what they stand for") func sites() throws {
        let file = try ELFFile(path: Machine.nss)
        let code = CodeReader(file)
        let analysis = try Self.analysis()
        for site in analysis.sites {
            let address = try #require(file.address(ofFileOffset: site.fileOffset))
            let instruction = try #require(code.instruction(at: address), "\(site)")
            #expect(SiteChooser.isEmulated(instruction), "\(site)")
        }
        // The jump behind a step goes back into the loop, or out of it.
        let step = try #require(analysis.sites.first { $0.flags == [.steps, .inside] })
        #expect(step.argument == .result && step.argument2?.isInMemory == false)
        #expect(step.object.map { !Register.clobbered.contains(Int($0.register)) } == true)
        let finish = try #require(analysis.sites.first { $0.symbol == "ssl_FinishHandshake" })
        #expect(finish.argument == nil && finish.flags.isEmpty && finish.object == .parameter0)
    }

    @Test("The facts are in their order in the structure") func facts() throws {
        let facts = try Self.analysis().facts
        let expected: [Fact] = [
            NSSFact.wait, .role, NSSFact.step, NSSFact.version, NSSFact.cipher, NSSFact.group, NSSFact.resumed,
            NSSFact.resumedByTicket, NSSFact.protocolState, NSSFact.nameLength, .alpn, .alpnLength, .sni, .otherSNI,
            NSSFact.earlyData, NSSFact.ownCertificate, NSSFact.peerCertificate,
        ]
        #expect(Set(facts.keys) == Set(expected))
        func offset(_ fact: Fact) throws -> Int32 { try #require(facts[fact]?.offsets.first, "\(fact)") }
        // lib/ssl/sslimpl.h.
        let order = try [
            offset(NSSFact.version), offset(.role), offset(NSSFact.ownCertificate), offset(NSSFact.peerCertificate),
            offset(NSSFact.group), offset(.otherSNI), offset(NSSFact.step), offset(NSSFact.wait),
            offset(NSSFact.cipher), offset(NSSFact.resumed), offset(.sni),
            offset(NSSFact.nameLength),
            offset(NSSFact.resumedByTicket), offset(.alpn), offset(.alpnLength), offset(NSSFact.protocolState),
        ]
        #expect(order == order.sorted(), "\(order)")
        #expect(facts[NSSFact.group]?.offsets.count == 2)
        // Behind the messages of a handshake and before the extensions' data.
        let early = try offset(NSSFact.earlyData)
        #expect(try early > offset(NSSFact.cipher) && early < offset(NSSFact.resumedByTicket))
    }

    @Test(
        "Early data: by the state that they end in",
        arguments: [(0, nil), (1, nil), (2, .accepted), (3, .rejected), (4, .accepted), (5, nil)]
            as [(UInt32, EarlyData?)])
    func earlyData(_ state: UInt32, _ expected: EarlyData?) {
        #expect(NSSState.earlyData(state) == expected)
    }

    @Test("A library with its code cut away is an error, not a crash", arguments: 1...24)
    func damage(_ seed: Int) throws {
        var bytes = try Machine.bytes(Machine.nss)
        var random = SplitMix(seed: UInt64(seed))
        for _ in 0..<4000 {
            bytes[Int.random(in: 64..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
        }
        guard let file = try? ELFFile(bytes: bytes), NSS.recognises(file) else { return }
        if let analysis = try? NSS.analyse(file) {
            #expect(analysis.sites.allSatisfy { file.address(ofFileOffset: $0.fileOffset).map(file.isCode) == true })
        }
    }

    // MARK: rules

    private static func state(_ wait: UInt32, role: UInt32 = 0, version: UInt32 = 0x0304) -> StateValues {
        StateValues(present: 0b1_0101, values: [wait, 0, role, 0, version, 0, 0, 0])
    }

    @Test("A call begins a handshake before any message is awaited", arguments: [(0, true), (1, false), (0x8a, false)])
    func entry(_ wait: UInt32, _ begins: Bool) {
        let kind = SessionRules.nss.entry(EntryState(values: Self.state(wait), isServer: false))
        #expect(kind == (begins ? .tentative : .proceed))
        let other = EntryState(values: Self.state(wait, role: 7), isServer: false)
        #expect(SessionRules.nss.entry(other) == .implausible)
    }

    @Test("A result says nothing: the connection's end does, and the call of ssl_FinishHandshake")
    func exit() {
        func kind(_ result: Int32, _ wait: UInt32, _ io: Int32?) -> Exit.Kind {
            SessionRules.nss.exit(ExitState(result: result, values: Self.state(wait), io: io)).kind
        }
        #expect(kind(Int32(TLSWATCH_NO_RESULT), 0, 200) == .completed)
        #expect(kind(-1, 0x8a, 200) == .wants)
        #expect(kind(-1, 1, -11) == .wants)
        #expect(kind(-1, 1, 0) == .failed)
        #expect(kind(-1, 1, -104) == .failed)
        #expect(kind(-1, 0, nil) == .failed)
        #expect(kind(0, 0x8a, 200) == .wants, "False Start")
    }

    @Test(
        "Alerts: a fatal one that is sent, and received ones with their level beside or below",
        arguments: [
            (Int32(48), Int32(0), true, UInt8(48), AlertDirection.sent), (48, 2, true, 48, .received),
            (112, 1, false, 112, .received), (48 << 8 | 2, 0, true, 48, .received),
            (112 << 8 | 1, 0, false, 112, .received), (1, 0, true, 0, .received), (0, 1, true, 0, .received),
        ])
    func alerts(_ first: Int32, _ second: Int32, _ isFatal: Bool, _ code: UInt8, _ direction: AlertDirection) {
        #expect(SessionRules.nss.isFatal(first, second) == isFatal)
        let failure = SessionRules.nss.failure(first, second, nil)
        #expect(failure.alert == code && failure.direction == direction)
    }
}

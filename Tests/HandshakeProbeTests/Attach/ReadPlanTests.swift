import CEvents
import TestSupport
import Testing

@testable import HandshakeProbe

/// How facts are brought with few reads, and that each is found where it was put.
@Suite("Facts with few reads") struct ReadPlanTests {
    /// OpenSSL 3.0's layout.
    private static let paths: [Fact: FactPath] = [
        .version: FactPath(offsets: [0], size: 4), .role: FactPath(offsets: [0x38], size: 4),
        .flowState: FactPath(offsets: [0x48], size: 4), .handState: FactPath(offsets: [0x5c], size: 4),
        .resumed: FactPath(offsets: [0x4d0], size: 4), .cipher: FactPath(offsets: [0x918, 0x2f8, 0x18], size: 4),
        .sessionGroup: FactPath(offsets: [0x918, 0x308], size: 2), .alpnLength: FactPath(offsets: [0x490], size: 8),
        .alpn: FactPath(offsets: [0x488, 0], size: 0), .sni: FactPath(offsets: [0xa58, 0], size: 0),
        .sessionSNI: FactPath(offsets: [0x918, 0x330, 0], size: 0),
    ]

    /// What the kernel side does, over a made-up address space.
    private func read(_ plan: ReadPlan, memory: [UInt64: UInt8], object: UInt64) -> [Fact: UInt64] {
        var scratch = [UInt8](repeating: 0xee, count: Int(TLSWATCH_SCRATCH_SIZE))
        var done: Set<Int> = []
        func value(at: Int, size: Int) -> UInt64 {
            (0..<size).reduce(0) { $0 | UInt64(scratch[at + $1]) << (8 * UInt64($1)) }
        }
        for (index, read) in plan.reads.enumerated() where read.length > 0 {
            var address = object
            if let base = read.base {
                guard done.contains(base.after) else { continue }
                address = value(at: base.at, size: 8)
                if address == 0 { continue }
            }
            if let element = read.element {
                func word(_ place: UInt64, _ size: UInt64) -> UInt64 {
                    (0..<size).reduce(0) { $0 | UInt64(memory[place + $1, default: 0]) << (8 * $1) }
                }
                while address != 0, word(address + UInt64(element.mark), 4) != UInt64(element.value) {
                    address = word(address + UInt64(element.next), 8)
                }
                if address == 0 { continue }
                for byte in 0..<8 { scratch[read.to + byte] = UInt8(truncatingIfNeeded: address >> (8 * byte)) }
                done.insert(index)
                continue
            }
            for offset in 0..<read.length {
                let place = address &+ UInt64(bitPattern: Int64(read.offset)) &+ UInt64(offset)
                scratch[read.to + offset] = memory[place, default: 0]
            }
            done.insert(index)
        }
        return plan.fields.filter { done.contains($0.value.read) }.mapValues {
            value(at: $0.at, size: $0.size) &+ UInt64($0.offset)
        }
    }

    @Test("OpenSSL 3.0's facts come with five reads, each fact from where its path leads")
    func openSSL30() {
        let plan = ReadPlan(Self.paths, expendable: OpenSSL.expendable)
        #expect(plan.omitted.isEmpty)
        #expect(plan.reads.count == 5)
        #expect(plan.reads[0].offset == 0 && plan.reads[0].length == 0x60, "the state comes first, by itself")
        var memory: [UInt64: UInt8] = [:]
        func put(_ value: UInt64, at address: UInt64, size: UInt64) {
            for byte in 0..<size { memory[address + byte] = UInt8(truncatingIfNeeded: value >> (8 * byte)) }
        }
        let object: UInt64 = 0x10000
        put(0x0304, at: object, size: 4)
        put(1, at: object + 0x38, size: 4)
        put(4, at: object + 0x48, size: 4)
        put(1, at: object + 0x5c, size: 4)
        put(1, at: object + 0x4d0, size: 4)
        put(0x20000, at: object + 0x918, size: 8)
        put(0x30000, at: 0x20000 + 0x2f8, size: 8)
        put(0x0300_1301, at: 0x30000 + 0x18, size: 4)
        put(0x001d, at: 0x20000 + 0x308, size: 2)
        put(0x40000, at: object + 0x488, size: 8)
        put(2, at: object + 0x490, size: 8)
        put(0x50000, at: object + 0xa58, size: 8)
        let facts = read(plan, memory: memory, object: object)
        #expect(
            facts == [
                .version: 0x0304, .role: 1, .flowState: 4, .handState: 1, .resumed: 1, .cipher: 0x0300_1301,
                .sessionGroup: 0x1d, .alpn: 0x40000, .alpnLength: 2, .sni: 0x50000, .sessionSNI: 0,
            ])
    }

    @Test("A null pointer on the way leaves out what is behind it, and nothing else")
    func nullPointer() {
        let facts = read(ReadPlan(Self.paths, expendable: OpenSSL.expendable), memory: [:], object: 0x10000)
        #expect(facts[.cipher] == nil)
        #expect(facts[.sessionGroup] == nil)
        #expect(facts[.version] == 0)
    }

    @Test("Where there are more reads than the kernel side does, the least telling facts go, and are named")
    func theLeastUsefulFactsGiveWay() {
        var paths = Self.paths
        // Each at a distance of its own.
        for (index, fact) in [Fact.resumed, .alpnLength, .sessionGroup, .flags, .certificateRequest].enumerated() {
            paths[fact] = FactPath(offsets: [0x10000 * Int32(index + 1)], size: 4)
        }
        paths[.references] = FactPath(offsets: [0x4000], size: 4)
        paths[.flags] = FactPath(offsets: [0x8000], size: 4)
        paths[.verifyMode] = FactPath(offsets: [0x20, 0x4000], size: 4)
        paths[.earlyData] = FactPath(offsets: [0x28, 0x30, 0x4000], size: 4)
        let plan = ReadPlan(paths, expendable: OpenSSL.expendable)
        #expect(plan.reads.count <= Int(TLSWATCH_READS))
        #expect(plan.omitted.first == .references)
        #expect(plan.fields[.cipher] != nil)
        #expect(plan.reads.allSatisfy { $0.to < Int(TLSWATCH_SCRATCH_START) && $0.length < Int(TLSWATCH_READ_SIZE) })
    }

    @Test("The widest OpenSSL so far, 3.5.4, leaves no fact out")
    func theWidestLibraryKeepsAllFacts() {
        func scalar(_ offsets: Int32..., size: Int = 4) -> FactPath { FactPath(offsets: offsets, size: size) }
        func text(_ offsets: Int32...) -> FactPath { FactPath(offsets: offsets, size: 0) }
        let plan = ReadPlan(
            [
                .version: scalar(72), .role: scalar(120), .flowState: scalar(152), .handState: scalar(172),
                .resumed: scalar(1288), .cipher: scalar(2304, 760, 24), .group: scalar(1246, size: 2),
                .sessionGroup: scalar(2304, 776, size: 2), .alpnLength: scalar(1216), .earlyData: scalar(2840),
                .helloRetry: scalar(2256), .flags: scalar(352), .verifyMode: scalar(2384),
                .peerCertificate: scalar(2304, 704), .certificateRequest: scalar(832), .references: scalar(32),
                .requestState: scalar(176), .want: scalar(104), .shutdown: scalar(132), .verifyResult: scalar(2456),
                .alpn: text(1208, 0), .sni: text(2592, 0), .sessionSNI: text(2304, 800, 0), .transport: text(80, 0),
                .helloName: text(2904, 648, 40, 0), .keyExchanged: scalar(1245, size: 1),
            ], expendable: OpenSSL.expendable)
        #expect(plan.omitted.isEmpty)
        #expect(plan.fields.count == 26)
    }

    @Test("A text inside the object takes no read, and its place is the object's own")
    func inlineText() {
        let plan = ReadPlan([.sni: FactPath(offsets: [0x850], size: 0)], expendable: [])
        #expect(plan.fields[.sni] == ReadPlan.Field(at: 0, size: 8, read: Int(TLSWATCH_FROM_OBJECT), offset: 0x850))
        #expect(plan.reads.allSatisfy { $0.length == 0 } && plan.reads(for: .sni) == 0)
    }

    @Test("The reads of one fact are those on its way")
    func readsOfOneFact() {
        let plan = ReadPlan(Self.paths, expendable: OpenSSL.expendable)
        #expect(plan.reads(for: .alpnLength).nonzeroBitCount == 1)
        #expect(plan.reads(for: .cipher).nonzeroBitCount == 3)
        #expect(plan.reads(for: .references) == 0)
    }

    @Test("A fact of the state that stands far from the others is read wherever they are")
    func farState() {
        let paths: [Fact: FactPath] = [
            .state: FactPath(offsets: [0x18c], size: 4), .role: FactPath(offsets: [0], size: 4),
            GnuTLSFact.negotiated: FactPath(offsets: [0x6b8], size: 1), .resumed: FactPath(offsets: [0x900], size: 4),
        ]
        let plan = ReadPlan(paths, expendable: [])
        #expect(plan.reads.count == 3 && plan.fields[.state]?.read == 0 && plan.fields[.role]?.read == 0)
        #expect(plan.stateReads(paths) == plan.reads(for: GnuTLSFact.negotiated))
        #expect(plan.stateReads(paths) != 0 && plan.stateReads(paths) & plan.reads(for: .resumed) == 0)
        #expect(ReadPlan(Self.paths, expendable: []).stateReads(Self.paths) == 0, "OpenSSL's stand together")
    }

    @Test("Paths that no reader could follow are left out")
    func unreadablePathsAreLeftOut() {
        let plan = ReadPlan(
            [
                .version: FactPath(offsets: [], size: 4), .transport: FactPath(offsets: [8], size: 0),
                .handState: FactPath(offsets: [8], size: 3),
            ], expendable: [])
        #expect(plan.fields.isEmpty)
        #expect(plan.omitted.count == 3)
    }

    @Test("A fact in a list's element is found by the element's number, and absent where there is no such element")
    func listElements() {
        func path(_ value: UInt32, _ offsets: Int32..., size: Int) -> FactPath {
            var path = FactPath(offsets: offsets, size: size)
            path.element = ListElement(mark: 4, value: value, next: 0x18)
            return path
        }
        let flag = Fact(12, "flag")
        let paths: [Fact: FactPath] = [
            .state: FactPath(offsets: [8], size: 4), .alpn: path(16, 0x40, 8, 0x20, 0, size: 0),
            flag: path(16, 0x40, 8, 0x11, size: 1), .sni: path(0, 0x40, 8, 8, 0, size: 0),
            Fact(13, "head"): FactPath(offsets: [0x40], size: 4),
        ]
        let plan = ReadPlan(paths, expendable: [])
        #expect(plan.omitted.isEmpty && plan.reads.filter { $0.element != nil }.count == 2)
        #expect(plan.reads.allSatisfy { $0.element == nil || $0.to % 8 == 0 && $0.length > 0 })
        var memory: [UInt64: UInt8] = [:]
        func put(_ value: UInt64, at address: UInt64, size: UInt64 = 8) {
            for byte in 0..<size { memory[address + byte] = UInt8(truncatingIfNeeded: value >> (8 * byte)) }
        }
        let object: UInt64 = 0x10000
        put(0x20000, at: object + 0x40)
        // An element of another number, then the one.
        put(10, at: 0x20000 + 4, size: 4)
        put(0x21000, at: 0x20000 + 0x18)
        put(16, at: 0x21000 + 4, size: 4)
        put(0x22000, at: 0x21000 + 8)
        put(1, at: 0x22000 + 0x11, size: 1)
        put(0x23000, at: 0x22000 + 0x20)
        let facts = read(plan, memory: memory, object: object)
        #expect(facts == [.state: 0, flag: 1, .alpn: 0x23000, Fact(13, "head"): 0x20000], "no name: no such element")
        // What the kernel side cannot walk is no read: a next pointer at 0, or at no multiple of 8.
        for next in [0, 0x14, 8 * 256] as [UInt16] {
            var wrong = path(16, 0x40, 8, 0x11, size: 1)
            wrong.element?.next = next
            #expect(ReadPlan([flag: wrong], expendable: []).omitted == [flag])
        }
    }

    @Test("An element's number, where it is, and the next one's place are what the programs get")
    func listElementsInTheProfile() {
        var path = FactPath(offsets: [0x40, 8], size: 4)
        path.element = ListElement(mark: 4, value: 0xff01_0203, next: 0x18)
        let facts: [Fact: FactPath] = [.state: FactPath(offsets: [0], size: 4), Fact(12, "fact"): path]
        let profile = tlswatch_profile(
            plan: ReadPlan(facts, expendable: []), facts: facts, transport: nil,
            descriptor: OwnDescriptor(offset: 0x20, shape: .number, flag: 0x28, bits: 2),
            states: SessionRules.gnuTLS.states, sites: [])
        #expect(profile.transport.own_descriptor == 0x20 && profile.transport.own_shape == 2)
        #expect(profile.transport.own_flag == 0x28 && profile.transport.own_bits == 2)
        let walks = [profile.reads.0, profile.reads.1, profile.reads.2, profile.reads.3].filter { $0.link != 0 }
        #expect(walks.map(\.link) == [3] && walks.map(\.length) == [4])
        #expect(walks.map { UInt32(bitPattern: $0.offset) } == [0xff01_0203])
    }
}

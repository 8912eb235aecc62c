import CCapstone
import CEvents
import Foundation
import TestSupport
import Testing

@testable import Code
@testable import HandshakeProbe

/// What was read by hand, with a disassembler, of builds that differ in release, compiler and roles; obstore's symbols told the
/// method's states first.
@Suite("Reading rustls") struct RustlsTests {
    struct Build: Sendable, CustomTestStringConvertible {
        var name: String
        /// Below the cache of `make deps`.
        var path: String
        var version: String
        /// How many methods handle a message of a handshake, and the addresses of the first and the last of them.
        var handles: (count: Int, first: UInt64, last: UInt64)
        var send: UInt64
        /// Calls that copy the error of a connection: that of its own input among them.
        var failures: Set<UInt64>
        /// The methods in which a handshake is completed.
        var completing: [ClosedRange<UInt64>]
        /// What drops the client's state that waits for the ServerHello.
        var drop: UInt64?
        /// Where the number of what is sent stands, and an alert's, if not at the beginning.
        var tag: (offset: Int32, alert: UInt16)?
        /// Other releases in it; of the client's drop of each is a note.
        var forks: [String] = []

        var testDescription: String { name }
        var isThere: Bool { FileManager.default.fileExists(atPath: file) }
        var file: String {
            let environment = ProcessInfo.processInfo.environment
            let cache =
                environment["TLSWATCH_TEST_CACHE"] ?? environment["XDG_CACHE_HOME"].map { $0 + "/tlswatch-tests" }
                ?? (environment["HOME"] ?? "/var/tmp") + "/.cache/tlswatch-tests"
            return "\(cache)/\(path)"
        }
    }

    static let builds = [
        Build(
            name: "uv 0.13.9, a client", path: "uv-0.13.9/uv-0.13.9.data/scripts/uv", version: "0.23.46",
            handles: (17, 0x9ef5f0, 0x1674060), send: 0x933270, failures: [0x92aeb4, 0x92b107, 0x92b26f],
            completing: [0x9ef5f0...0x9f8eef, 0x1670dd0...0x16717fb], drop: 0xa03040),
        Build(
            name: "uv 0.4.0, a client", path: "uv-0.4.0/uv-0.4.0.data/scripts/uv", version: "0.23.12",
            handles: (17, 0x5c4110, 0x5f8460), send: 0x5ed1d0, failures: [0x50e505, 0x511773, 0x5120fa],
            completing: [0x5ca7a0...0x5d0e86, 0x5f8460...0x5f97bd], drop: 0x5e4420),
        Build(
            name: "granian 2.8.7, a server",
            path: "python-granian/granian/_granian.cpython-311-x86_64-linux-gnu.so", version: "0.23.46",
            handles: (11, 0x121d190, 0x124c4a0), send: 0x12344d0, failures: [0xda3a9b, 0xda72ee, 0xda74c0],
            completing: [0x123e650...0x123f001, 0x1242550...0x1248674], drop: nil),
        Build(
            name: "rtls 2026.9.21, both", path: "python-rtls/rtls/_rustls.abi3.so", version: "0.23.45",
            handles: (28, 0x19a4f0, 0x1d52e0), send: 0x169900,
            failures: [0xecf57, 0xee05f, 0xee2fe, 0xeeba7, 0xefcaf, 0xeff4e],
            completing: [
                0x1a6400...0x1a6dc5, 0x1ac510...0x1ad9e3, 0x1c97d0...0x1cb1d4, 0x1d42d0...0x1d4ffd,
            ], drop: 0x1bd820),
        Build(
            name: "uv 0.1.5, a client", path: "uv-0.1.5/uv-0.1.5.data/scripts/uv", version: "0.21.10",
            handles: (15, 0xaf3950, 0xb09000), send: 0xadc8d0, failures: [0xac0a3d, 0xac0bbf],
            completing: [0xaf9000...0xaf9aaf, 0xb010d0...0xb0264f], drop: nil, tag: (offset: 0xa8, alert: 0x1f)),
        Build(
            name: "zenoh 0.11.0, both, over TLS", path: "python-zenoh-0.11.0/zenoh/zenoh.abi3.so", version: "0.22.4",
            handles: (25, 0x8eefd0, 0x92d2a0), send: 0x9328a0,
            failures: [0x86b9e5, 0x86c5db, 0x86c7c1],
            completing: [0x8f0f60...0x8f234f, 0x909cb0...0x90bc0f, 0x91ca80...0x91d45f, 0x9270b0...0x927c0f],
            drop: 0x9285e0, tag: (offset: 0xa8, alert: 0x1f), forks: ["0.21.7"]),
        // Made to be small, and not stripped: its symbols say the same.
        Build(
            name: "hf-xet 1.8.0, a client", path: "python-hf-xet/hf_xet/hf_xet.abi3.so", version: "0.23.46",
            handles: (17, 0x4a2eb1, 0x4b63ae), send: 0x46c76e, failures: [0x47c711, 0x47f0af, 0x47f530],
            completing: [0x4ac258...0x4ae2fe, 0x4b5307...0x4b5ce2], drop: 0x4a2d84),
    ]

    /// primp has a copy of rustls that it has changed, and another one; of the first the function that takes a connection's input
    /// is inlined.
    @Test("Two copies of rustls in one module: both are observed", .enabled(if: twoCopies.isThere))
    func copies() throws {
        let file = try ELFFile(path: Self.twoCopies.file)
        let analysis = try Rustls.analyse(file)
        func addresses(_ hook: HookKind) -> Set<UInt64> {
            Set(analysis.sites.filter { $0.hook == hook }.compactMap { file.address(ofFileOffset: $0.fileOffset) })
        }
        #expect(
            Set(addresses(.messageSent).compactMap { file.functionExtent(containing: $0)?.lowerBound })
                == [0xa67200, 0x997590])
        #expect(addresses(.failed) == [0x7c85bf, 0x7cb561, 0x7cb634, 0x83a62e, 0x83dc1f, 0x83ddd6])
        #expect(addresses(.messageReceived).count == 34 && addresses(.completed).count == 4)
    }

    private static let twoCopies = Build(
        name: "primp 2.0.1, a client", path: "python-primp/primp/primp.abi3.so", version: "0.23.44",
        handles: (34, 0, 0),
        send: 0, failures: [], completing: [], drop: nil)

    @Test("Every site of a build is where it was read by hand", arguments: builds.filter(\.isThere))
    func knownBuild(_ build: Build) throws {
        let file = try ELFFile(path: build.file)
        #expect(Rustls.recognises(file))
        let analysis = try Rustls.analyse(file)
        #expect(analysis.version == build.version && analysis.observesSessions)
        func addresses(_ hook: HookKind) -> [UInt64] {
            analysis.sites.filter { $0.hook == hook }.compactMap { file.address(ofFileOffset: $0.fileOffset) }.sorted()
        }
        /// The functions at whose beginnings sites are.
        func functions(_ hook: HookKind) -> [UInt64] {
            addresses(hook).compactMap { file.functionExtent(containing: $0)?.lowerBound }
        }
        let handles = functions(.messageReceived)
        #expect(handles.count == build.handles.count)
        #expect(handles.first == build.handles.first && handles.last == build.handles.last)
        #expect(functions(.messageSent) == [build.send])
        #expect(Set(addresses(.failed)).isSubset(of: build.failures))
        #expect(addresses(.failed).count >= 2, "\(addresses(.failed))")
        #expect(functions(.stateDropped) == (build.drop.map { [$0] } ?? []))
        #expect(analysis.notes.count == (build.drop == nil ? 1 : 0) + build.forks.count, "\(analysis.notes)")
        #expect(analysis.forks.map(\.version) == build.forks && analysis.forks.allSatisfy(\.observesSessions))
        for site in analysis.sites where site.hook == .messageSent {
            #expect(site.argument2 == build.tag.map { .memory(.parameter1, offset: $0.offset) })
            #expect(site.bytes == build.tag?.alert ?? 0)
        }
        let completions = addresses(.completed)
        for method in build.completing { #expect(completions.contains { method.contains($0) }, "\(completions)") }
        #expect(completions.allSatisfy { place in build.completing.contains { $0.contains(place) } })
        #expect(analysis.sites.count <= Int(TLSWATCH_SITES) && analysis.sites.allSatisfy { $0.mode == .emulated })
        let code = CodeReader(file)
        for site in analysis.sites where site.hook == .failed {
            let call = try #require(file.address(ofFileOffset: site.fileOffset).flatMap { code.instruction(at: $0) })
            #expect(call.kind == TLSWATCH_OP_CALL && site.argument == .memory(.parameter1))
        }
    }

    private static let inlined =
        builds[0].file.replacing(builds[0].path, with: "")
        + "python-granian-1.1.2/granian/_granian.cpython-311-x86_64-linux-gnu.so"

    @Test(
        "What takes the input is inlined where the slot with the connection has had another use before (granian 1.1.2)",
        .enabled(if: Machine.has(inlined)))
    func inlinedBehindOtherUses() throws {
        let file = try ELFFile(path: Self.inlined)
        let analysis = try Rustls.analyse(file)
        #expect(analysis.version == "0.22.2")
        let failures = analysis.sites.filter { $0.hook == .failed }
        #expect(failures.map { file.address(ofFileOffset: $0.fileOffset) } == [0x87127])
        #expect(failures.map(\.bytes) == [0x408], "the connection itself is what sends")
        #expect(analysis.sites.contains { $0.hook == .completed })
    }

    @Test("Other stacks, other releases of rustls, and what has no TLS, are not taken for it")
    func others() throws {
        let cache = Self.builds[0].file.replacing(Self.builds[0].path, with: "")
        let old = cache + "python-granian-0.2.6/granian/_granian.cpython-311-x86_64-linux-gnu.so"
        for path in [Machine.libssl, Machine.libcrypto, "/usr/lib/x86_64-linux-gnu/libc.so.6", old]
        where Machine.has(path) {
            #expect(!Rustls.recognises(try ELFFile(path: path)), "\(path)")
        }
        if Machine.has(old) { #expect(UnsupportedStacks.recognise(try ELFFile(path: old)) == "rustls") }
    }

    @Test(
        "A file with bytes changed at random gives an analysis or an error",
        arguments: builds.suffix(1).filter(\.isThere))
    func mutated(_ build: Build) throws {
        let original = try Machine.bytes(build.file)
        let file = try ELFFile(bytes: original)
        var generator = SplitMix(seed: 5)
        let tables = file.traitTables.map(\.address)
        let hot = try [build.send, build.handles.first, 0xecea0].map { try #require(file.fileOffset(ofAddress: $0)) }
        for round in 0..<12 {
            var bytes = original
            for _ in 0..<Int.random(in: 1...200, using: &generator) {
                let index: Int
                switch round % 3 {
                case 0:
                    let near = hot[Int.random(in: 0..<hot.count, using: &generator)]
                    index = Int(near) + Int.random(in: 0..<4000, using: &generator)
                case 1:
                    let table = tables[Int.random(in: 0..<tables.count, using: &generator)]
                    index = Int(file.fileOffset(ofAddress: table) ?? 0) + Int.random(in: 0..<80, using: &generator)
                default: index = Int.random(in: 64..<bytes.count, using: &generator)
                }
                bytes[min(bytes.count - 1, index)] = UInt8.random(in: 0...255, using: &generator)
            }
            if let file = try? ELFFile(bytes: bytes), Rustls.recognises(file) { _ = try? Rustls.analyse(file) }
        }
    }

    @Test("The number of an alert is what all alerts are made with, where a ChangeCipherSpec has another one")
    func alertNumber() throws {
        /// mov word [rsp + 0x60 + offset], number
        func store(_ offset: UInt16, _ number: UInt8) -> [UInt8] {
            let place = offset + 0x60
            return [0x66, 0xc7, 0x84, 0x24, UInt8(place & 0xff), UInt8(place >> 8), 0, 0, number, 0]
        }
        // mov byte [rsp + 0x60], 1; mov byte [rsp + 0x62], 6
        let alert: [UInt8] = [0xc6, 0x44, 0x24, 0x60, 1, 0xc6, 0x44, 0x24, 0x62, 6]
        // lea rsi, [rsp + 0x60]; call
        let call: [UInt8] = [0x48, 0x8d, 0x74, 0x24, 0x60, 0xe8, 0, 0, 0, 0]
        func tag(_ bodies: [[UInt8]]) throws -> RustlsPayloadTag? {
            try RustlsPayloadTag(
                madeBefore: bodies.map { body in
                    let code = body + call
                    let start = CodeImage.codeAddress
                    let instructions = try CodeImage.reader(code).instructions(
                        in: start..<start + UInt64(code.count), limit: 100)
                    return (instructions, instructions.count - 1)
                })
        }
        let first = alert + store(0xa8, 0x1f) + store(0xb8, 4)
        let cipher = store(0xa8, 0x21) + store(0xb8, 4)
        let told = try #require(try tag([first, cipher, first]))
        #expect(told.offset == 0xa8 && told.alert == 0x1f)
        #expect(try tag([first, first]) == nil, "no ChangeCipherSpec confirms it")
        #expect(try tag([first, cipher, alert + store(0xa8, 0x1e) + store(0xb8, 4)]) == nil, "two numbers")
        #expect(try tag([Array(first.dropFirst(5)), cipher]) == nil, "no level")
        #expect(try tag([first + [0xe8, 0, 0, 0, 0], cipher]) == nil, "another call is between")
    }

    @Test("The number of an alert is what it is kept by over QUIC")
    func keptAlert() throws {
        // cmp word [rsi + 0xa8], 0x1f; jne; movzx eax, word [rsi + 2]
        let body: [UInt8] = [0x66, 0x83, 0xbe, 0xa8, 0, 0, 0, 0x1f, 0x75, 0x10, 0x0f, 0xb7, 0x46, 2]
        func tag(_ body: [UInt8]) throws -> RustlsPayloadTag? {
            let start = CodeImage.codeAddress
            return RustlsPayloadTag(
                keptBy: try CodeImage.reader(body).instructions(in: start..<start + UInt64(body.count), limit: 9))
        }
        let told = try #require(try tag(body))
        #expect(told.offset == 0xa8 && told.alert == 0x1f)
        for (index, byte) in [(8, UInt8(0x74)), (13, 4), (12, 0x47), (2, 0xbf)] {
            var other = body
            other[index] = byte
            #expect(try tag(other) == nil, "\(index)")
        }
    }

    @Test("A place is where a function passes exactly when one of two others is passed")
    func graph() throws {
        // test edi,edi; je L; lea rax,[rip]; jmp M; L: test esi,esi; je N; lea rax,[rip]; M: push rbx; pop rbx; N: ret
        let body: [UInt8] = [
            0x85, 0xff, 0x74, 0x09, 0x48, 0x8d, 0x05, 0, 0, 0, 0, 0xeb, 0x0b, 0x85, 0xf6, 0x74, 0x09, 0x48, 0x8d, 0x05,
            0,
            0, 0, 0, 0x53, 0x5b, 0xc3,
        ]
        let start = CodeImage.codeAddress
        let graph = FunctionGraph(try CodeImage.reader(body), start..<start + UInt64(body.count))
        let events = [4, 17].compactMap { graph.index(of: start + UInt64($0)) }
        try #require(events.count == 2)
        #expect(graph.site(for: events, within: 20) == start + 24, "the push, which both lead to")
        // Alone, the first has the jump behind it, and the second nothing of its own.
        #expect(graph.site(for: [events[0]], within: 20) == start + 11)
        #expect(graph.site(for: [events[1]], within: 20) == nil)
        // lea rax,[rip]; L: dec edi; jne L; push rbx; pop rbx; ret
        let loop: [UInt8] = [0x48, 0x8d, 0x05, 0, 0, 0, 0, 0xff, 0xcf, 0x75, 0xfc, 0x53, 0x5b, 0xc3]
        let round = FunctionGraph(try CodeImage.reader(loop), start..<start + UInt64(loop.count))
        #expect(round.site(for: [0], within: 20) == start + 11, "not the jump of the loop, which is passed many times")
    }
}

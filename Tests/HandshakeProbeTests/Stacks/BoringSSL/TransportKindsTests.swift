import Testing

@testable import Code
@testable import HandshakeProbe

/// Where a `BIO` of BoringSSL has its descriptor, as it was read by hand of builds that differ in it.
@Suite("BoringSSL's transports") struct TransportKindsTests {
    struct Build: Sendable, CustomTestStringConvertible {
        var build: BoringSSLTests.Build
        var descriptor: UInt16
        /// Where the code has it by a name.
        var next: UInt16 = 0
        var own: [String] = ["BIO pair", "file descriptor", "memory buffer", "socket", "socket connect"]

        var testDescription: String { build.name }
    }

    private static func library(_ path: String) -> BoringSSLTests.Build {
        BoringSSLTests.Build(
            name: path, path: path, calls: [], exits: [], result: 0, facts: [:], finalized: (0, 0), method: 0)
    }

    static let builds = [
        Build(
            build: library("/usr/lib/x86_64-linux-gnu/android/libcrypto.so.0"), descriptor: 0x18, next: 0x28),
        Build(
            build: library("python-grpc/grpc/_cython/cygrpc.cpython-311-x86_64-linux-gnu.so"), descriptor: 0x28),
        Build(
            build: library("python-curl-cffi/curl_cffi/_wrapper.abi3.so"), descriptor: 0x28, next: 0x38),
    ]

    @Test("The descriptor and the names of the library's own kinds", arguments: builds.filter(\.build.isThere))
    func descriptor(_ build: Build) throws {
        let layout = try #require(TransportKinds(CodeReader(try ELFFile(path: build.build.file))).layout())
        #expect(layout.descriptor == build.descriptor)
        #expect(layout.hasDescriptor != 0)
        #expect(layout.next == build.next)
        #expect((layout.isFilter != 0) == (build.next != 0))
        #expect(layout.own == build.own)
    }

    @Test(
        "A libcrypto alone is a companion, with nothing to probe", arguments: builds.prefix(1).filter(\.build.isThere))
    func companion(_ build: Build) throws {
        let analysis = try #require(try TLSStacks.builtIn.analyse(try ELFFile(path: build.build.file)))
        #expect(analysis.stack == BoringSSL.name)
        #expect(analysis.isCompanion)
        #expect(analysis.sites.isEmpty)
        #expect(analysis.transport?.descriptor == build.descriptor)
        #expect(
            BoringSSL.companion?.beside("/usr/lib/x86_64-linux-gnu/android/libssl.so.0")
                == "/usr/lib/x86_64-linux-gnu/android/libcrypto.so.0")
    }
}

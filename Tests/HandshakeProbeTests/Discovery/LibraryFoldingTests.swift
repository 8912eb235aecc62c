import Code
import Testing

@testable import HandshakeProbe
@testable import Handshakes
@testable import Kernel

@Suite("A library and its companion as one row") struct LibraryFoldingTests {
    private func library(
        _ path: String, profile: Int, hooks: [HookKind], processes: Set<UInt32> = [], state: LibraryState = .attached
    ) -> ObservedLibrary {
        var library = ObservedLibrary(
            profile: profile, path: path, inode: MappedInode(device: 1, inode: 2, generation: 3, size: 4),
            identity: FileIdentity(device: 1, inode: 2, origin: .birth(3)), state: state)
        let sites = hooks.map {
            ProbeSite(hook: $0, symbol: "\($0)", fileOffset: 64, mode: .emulated, object: nil)
        }
        library.analysis = LibraryAnalysis(stack: "openssl", version: nil, sites: sites, notes: [])
        library.analysis?.isCompanion = hooks == [.pause]
        library.chosen = sites
        library.processes = processes
        return library
    }

    @Test("A libcrypto is part of the libssl beside it, or of one that is mapped together with it; alone it is no row")
    func companionsFoldIntoTheirLibrary() {
        let rows = LibraryFolding.fold([
            1: library("/a/libcrypto.so.3", profile: 1, hooks: [.pause]),
            2: library("/a/libssl.so.3", profile: 2, hooks: [.call, .fatal]),
            3: library("/b/libssl-1234.so.3", profile: 3, hooks: [.call], processes: [7]),
            4: library("/b/libcrypto-5678.so.3", profile: 4, hooks: [.pause], processes: [7, 8]),
            5: library("/c/libcrypto.so.3", profile: 5, hooks: [.pause], processes: [9]),
            6: library("/d/node", profile: 6, hooks: [.call, .pause]),
        ])
        #expect(rows.map(\.path) == ["/a/libssl.so.3", "/b/libssl-1234.so.3", "/d/node"])
        #expect(rows.map(\.companionProfiles) == [[1], [4], []])
        #expect(rows.map { $0.sites.count + $0.companionSites.count } == [3, 2, 2])
    }

    @Test("The probes of both are counted under the libssl, and those of a replaced one under the same name")
    func probesOfBothAreCountedTogether() {
        var sample = CoverageSample()
        sample.add(
            LibraryFolding.fold([
                1: library("/a/libcrypto.so.3", profile: 1, hooks: [.pause]),
                2: library("/a/libssl.so.3", profile: 2, hooks: [.call, .fatal], processes: [7]),
                3: library("/a/libssl.so.3", profile: 3, hooks: [.call], processes: [8]),
            ]), uncovered: UncoveredProcesses())
        #expect(sample.probes.map(\.library) == ["/a/libssl.so.3"])
        #expect(sample.probes.map(\.count) == [4])
        #expect(sample.processes.first { $0.state == .observed }?.count == 2)
    }

    @Test("A libcrypto that could not be probed is an omission of its libssl")
    func aRefusedCompanionIsAnOmission() {
        let rows = LibraryFolding.fold([
            1: library(
                "/a/libcrypto.so.3", profile: 0, hooks: [.pause],
                state: .unobserved(reason: .tooManyLibraries, detail: "why")),
            2: library("/a/libssl.so.3", profile: 2, hooks: [.call]),
        ])
        #expect(rows.count == 1 && rows[0].companionSites.isEmpty && rows[0].companionProfiles.isEmpty)
        #expect(rows[0].omitted == ["/a/libcrypto.so.3: why"])
    }
}

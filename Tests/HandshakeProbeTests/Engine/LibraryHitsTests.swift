import Handshakes
import Testing

@testable import HandshakeProbe
@testable import Kernel

@Suite("Probe hits a library") struct LibraryHitsTests {
    private func library(_ path: String, profile: Int, hitsBefore: UInt64 = 0) -> ObservedLibrary {
        var library = ObservedLibrary(
            profile: profile, path: path, inode: MappedInode(device: 1, inode: 2, generation: 3, size: 4),
            identity: FileIdentity(device: 1, inode: 2, origin: .birth(3)), state: .attached)
        library.hitsBefore = hitsBefore
        return library
    }

    @Test("The hits of libraries that are gone are kept under other, also when their profile goes to another")
    func hitsOfGoneLibrariesAreKeptUnderOther() {
        var hits = LibraryHits()
        var counters: [Int: UInt64] = [1: 0, 2: 0]
        let (first, second) = (library("/a", profile: 1), library("/b", profile: 2))
        hits.register(first)
        hits.register(second)
        counters = [1: 10, 2: 20]
        func told(_ live: [ObservedLibrary]) -> [String: UInt64] {
            Dictionary(
                uniqueKeysWithValues: hits.samples(live: live) { counters[$0] ?? 0 }.map { ($0.library, $0.count) })
        }
        #expect(told([first, second]) == ["/a": 10, "/b": 20])
        #expect(told([second]) == ["other": 10, "/b": 20])
        // It is registered when its probes have been hit already: those hits are its own.
        counters[1] = 17
        let third = library("/c", profile: 1, hitsBefore: 10)
        hits.register(third)
        #expect(told([second, third]) == ["other": 10, "/b": 20, "/c": 7])
        #expect(told([]) == ["other": 37])
    }

    @Test("A libcrypto's hits are its libssl's, and two files of one name make one series")
    func hitsOfACompanionAreItsLibrarys() {
        var hits = LibraryHits()
        var (first, second) = (library("/libssl", profile: 1), library("/libssl", profile: 2))
        hits.register(first)
        hits.register(second)
        hits.register(library("/libcrypto", profile: 3))
        hits.register(library("/libcrypto-of-nobody", profile: 4))
        (first.companionProfiles, second.companionProfiles) = ([3], [])
        let samples = hits.samples(live: [first, second]) { [1: 10, 2: 20, 3: 5, 4: 2][$0] ?? 0 }
        #expect(samples.map(\.library) == ["/libssl", "other"])
        #expect(samples.map(\.count) == [35, 2], "none is lost")
    }
}

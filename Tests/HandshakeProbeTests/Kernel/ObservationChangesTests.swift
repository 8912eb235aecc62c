import Testing

@testable import HandshakeProbe

@Suite struct ObservationChangesTests {
    private func library(_ path: String, inode: UInt64, _ state: LibraryState) -> ObservedLibrary {
        ObservedLibrary(
            profile: 0, path: path, inode: MappedInode(device: 1, inode: inode, generation: 0, size: 9),
            identity: FileIdentity(device: 1, inode: inode, origin: .birth(3)), state: state)
    }

    @Test("What comes under observation, changes and leaves is told once each")
    func libraries() {
        var changes = ObservationChanges()
        let one = library("/a", inode: 1, .attached)
        let two = library("/b", inode: 2, .unobserved(reason: .noCheapSite, detail: "why"))
        let first = changes.take(libraries: [one, two], lost: 0)
        #expect(first.map(\.message) == ["library observed", "library not observed"])
        #expect(first[1].facts.contains { $0 == ("reason", "no_cheap_site") })
        #expect(changes.take(libraries: [one, two], lost: 0).isEmpty)
        // The same name, another file.
        let replaced = library("/a", inode: 3, .attached)
        #expect(changes.take(libraries: [one, two, replaced], lost: 0).map(\.message) == ["library observed"])
        let distrusted = library("/a", inode: 3, .detached(detail: "insane"))
        let last = changes.take(libraries: [two, distrusted], lost: 0)
        #expect(last.map(\.message) == ["library detached", "library let go: no process maps it"])
        // What was not observed is let go of without a word.
        #expect(changes.take(libraries: [], lost: 0).isEmpty)
    }

    @Test("A loss is told with what it adds and what it comes to")
    func losses() {
        var changes = ObservationChanges()
        #expect(changes.take(libraries: [], lost: 0).isEmpty)
        let told = changes.take(libraries: [], lost: 7)
        #expect(told.count == 1 && told[0].facts.contains { $0 == ("events", "7") })
        #expect(changes.take(libraries: [], lost: 7).isEmpty)
        let more = changes.take(libraries: [], lost: 10)
        #expect(more[0].facts.contains { $0 == ("events", "3") } && more[0].facts.contains { $0 == ("total", "10") })
    }
}

import Testing

@testable import HandshakeProbe
@testable import Kernel

@Suite("What the log says of libraries and losses") struct ObservationChangesTests {
    private func library(_ path: String, inode: UInt64, _ state: LibraryState) -> ObservedLibrary {
        ObservedLibrary(
            profile: 0, path: path, inode: MappedInode(device: 1, inode: inode, generation: 0, size: 9),
            identity: FileIdentity(device: 1, inode: inode, origin: .birth(3)), state: state)
    }

    @Test("A file is reported once, and again when its state changes")
    func aFileIsReportedWhenItsStateChanges() {
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
        let distrusted = library("/a", inode: 3, .detached(detail: "implausible"))
        #expect(changes.take(libraries: [two, distrusted], lost: 0).map(\.message) == ["library detached"])
        let other = library("/b", inode: 2, .unobserved(reason: .attachFailed, detail: "why"))
        #expect(changes.take(libraries: [other], lost: 0).map(\.message) == ["library not observed"])
    }

    @Test("A file that is let go and found again, as short programs and containers do, is not reported again")
    func aFileFoundAgainIsNoNews() {
        var changes = ObservationChanges()
        for state in [LibraryState.attached, .unobserved(reason: .unsupportedStack, detail: "why")] {
            let file = library("/a", inode: 1, state)
            #expect(changes.take(libraries: [file], lost: 0).count == 1)
            for _ in 0..<3 {
                #expect(changes.take(libraries: [], lost: 0).isEmpty)
                #expect(changes.take(libraries: [file], lost: 0).isEmpty)
            }
        }
        var reworded = library("/a", inode: 1, .unobserved(reason: .unsupportedStack, detail: "in other words"))
        #expect(changes.take(libraries: [reworded], lost: 0).isEmpty)
        reworded.state = .attached
        #expect(changes.take(libraries: [reworded], lost: 0).count == 1)
    }

    @Test("Of more files than are remembered, those not seen for longest are forgotten")
    func theLongestUnseenFilesAreForgotten() {
        var changes = ObservationChanges()
        let kept = library("/kept", inode: 1, .attached)
        let old = library("/old", inode: 2, .attached)
        #expect(changes.take(libraries: [kept, old], lost: 0).count == 2)
        for inode in 0..<ObservationChanges.memory {
            let next = library("/\(inode)", inode: UInt64(inode + 3), .attached)
            #expect(changes.take(libraries: [kept, next], lost: 0).count == 1)
        }
        #expect(changes.take(libraries: [kept], lost: 0).isEmpty)
        #expect(changes.take(libraries: [old], lost: 0).count == 1)
    }

    @Test("A loss is told with what it adds and what it comes to")
    func aLossIsReportedWithItsTotal() {
        var changes = ObservationChanges()
        #expect(changes.take(libraries: [], lost: 0).isEmpty)
        let told = changes.take(libraries: [], lost: 7)
        #expect(told.count == 1 && told[0].numbers.contains { $0 == ("events", 7) })
        #expect(changes.take(libraries: [], lost: 7).isEmpty)
        let more = changes.take(libraries: [], lost: 10)
        #expect(more[0].numbers.contains { $0 == ("events", 3) } && more[0].numbers.contains { $0 == ("total", 10) })
    }
}

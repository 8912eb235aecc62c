import Foundation
import TestSupport
import Testing

@testable import HandshakeProbe
@testable import Kernel

@Suite("How long a library is kept") struct LibraryRetentionTests {
    private static let second: UInt64 = 1_000_000_000

    /// A library whose file is really there, until `remove`.
    private struct Sample {
        var library: ObservedLibrary
        private let directory: TemporaryDirectory
        let path: String

        init(_ state: LibraryState = .attached) throws {
            directory = try TemporaryDirectory()
            path = try directory.write("library", to: "library")
            guard let file = OpenFile(path) else { throw HarnessError("\(path) cannot be opened") }
            library = ObservedLibrary(
                profile: 1, path: path,
                inode: MappedInode(device: 1, inode: file.identity.inode, generation: 0, size: 7),
                identity: file.identity, state: state)
        }

        func remove() throws { try FileManager.default.removeItem(atPath: path) }
    }

    @Test("A named library is kept while its file is there, and goes when it is asked next")
    func aNamedLibraryStaysWhileItsFileDoes() throws {
        let sample = try Sample()
        var retention = LibraryRetention(reader: ForeignReader())
        func isOver(_ seconds: UInt64) -> Bool {
            retention.isOver(1, sample.library, isNamed: true, now: 100 * Self.second + seconds * Self.second)
        }
        #expect(!isOver(0))
        #expect(!isOver(1))
        try sample.remove()
        #expect(!isOver(5), "it is not looked for at every turn")
        #expect(isOver(11))
    }

    @Test(
        "What is not attached, or was replaced, goes after a moment, also where the new file has the old inode number")
    func unattachedAndReplacedLibrariesGo() throws {
        let unattached = try Sample(.unobserved(reason: .noCheapSite, detail: ""))
        let removed = try Sample()
        try removed.remove()
        var replaced = try Sample()
        // The file that is there came after the one that was observed, and got its inode.
        replaced.library.identity.origin = .birth(1)
        for sample in [unattached, removed, replaced] {
            var retention = LibraryRetention(reader: ForeignReader())
            func isOver(_ nanoseconds: UInt64) -> Bool {
                retention.isOver(1, sample.library, isNamed: true, now: nanoseconds)
            }
            #expect(!isOver(Self.second))
            #expect(!isOver(2 * Self.second - 1))
            #expect(isOver(2 * Self.second))
        }
        try unattached.remove()
        try replaced.remove()
    }

    @Test("One whose file system does not answer is kept")
    func aLibraryOnAHungFileSystemStays() throws {
        let sample = try Sample()
        let reader = ForeignReader(ForeignReader.Patience(each: 100_000_000, total: .max))
        let gate = DispatchSemaphore(value: 0)
        let answer = reader.look(at: .path(sample.path)) { gate.wait() }
        #expect(answer.value == nil)
        try sample.remove()
        var retention = LibraryRetention(reader: reader)
        func isOver(_ seconds: UInt64) -> Bool {
            retention.isOver(1, sample.library, isNamed: true, now: seconds * Self.second)
        }
        #expect(!isOver(1))
        #expect(!isOver(100))
        gate.signal()
        #expect(eventually { reader.abandoned == 0 })
        #expect(isOver(200))
    }

    @Test("Room is made by the one that was unused longest, and long enough; a process begins it anew")
    func theLongestUnusedLibraryMakesRoom() throws {
        let sample = try Sample()
        defer { try? sample.remove() }
        var retention = LibraryRetention(reader: ForeignReader())
        for identifier in 1...3 {
            let now = UInt64(identifier) * Self.second
            _ = retention.isOver(identifier, sample.library, isNamed: true, now: now)
        }
        #expect(retention.longestUnused(among: 1...3, now: 4 * Self.second) == 1)
        #expect(retention.longestUnused(among: 2...3, now: 4 * Self.second) == 2)
        #expect(retention.longestUnused(among: 3...3, now: 4 * Self.second - 1) == nil)
        retention.forget(1)
        #expect(retention.longestUnused(among: 1...3, now: 4 * Self.second) == 2)
        #expect(retention.longestUnused(among: 7...9, now: 4 * Self.second) == nil)
    }
}

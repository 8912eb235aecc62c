import Handshakes
import Testing

@testable import HandshakeProbe
@testable import Kernel

@Suite("Files with TLS that are not observed") struct SightingsTests {
    private func file(_ inode: UInt64) -> MappedInode { MappedInode(device: 1, inode: inode, generation: 0, size: 9) }
    private let unsupported = Sighting.Kind.unobserved(reason: "unsupported_stack", detail: "why")

    @Test("A file is named once, with the processes that mapped it; not where all of them were observed otherwise")
    func aFileIsNamedOnce() {
        var sightings = Sightings()
        sightings.note(file(1), path: "/a", stack: "botan", kind: unsupported, pid: 7)
        sightings.note(file(1), path: "/a", stack: "botan", kind: unsupported, pid: 8)
        sightings.note(file(2), path: "/b", stack: "botan", kind: unsupported, pid: 9)
        sightings.note(observed: 9)
        let list = sightings.list(observed: nil)
        #expect(list.map(\.path) == ["/a"])
        #expect(list[0].processes == [7, 8])
        // Where it is known who had sessions, that counts.
        #expect(sightings.list(observed: [7, 8]).map(\.path) == ["/b"])
        #expect(sightings.list(observed: []).map(\.path) == ["/a", "/b"])
    }

    @Test("A library that was probed late is named though it is observed, and beside what it was before")
    func aLateLibraryIsNamedBesideWhatItWas() {
        var sightings = Sightings()
        sightings.note(file(1), path: "/a", stack: "openssl", kind: unsupported, pid: 7)
        sightings.note(file(1), path: "/a", stack: "openssl", kind: .late(5), pid: 7)
        sightings.note(observed: 7)
        #expect(sightings.list(observed: nil).map(\.kind) == [.late(5)])
        sightings.resolved(file(1))
        #expect(sightings.list(observed: []).map(\.kind) == [.late(5)])
    }

    @Test("Programs with connections on ports of TLS are named once, unless something else is known of their processes")
    func holdersAreNamed() {
        var sightings = Sightings()
        sightings.note(file(1), path: "/a", stack: "botan", kind: unsupported, pid: 7)
        sightings.note(observed: 8)
        for pid in [7, 8, 9, 10, 11, 12, 9] as [UInt32] {
            sightings.note(holder: pid, path: pid == 12 ? nil : "/java", holds: "listens on port \(pid)")
        }
        // Of one, packets showed a session.
        let list = sightings.list(observed: nil, seen: [11])
        #expect(list.map(\.path) == ["/a", "/java", Label.unknown])
        #expect(list.map(\.processes) == [[7], [9, 10], [12]])
        #expect(
            list[1].kind == .unobserved(reason: "no_known_library", detail: "no known TLS library; listens on port 9"))
        // Also where only sessions count.
        #expect(sightings.list(observed: []).map(\.path) == ["/a", "/java", Label.unknown])
    }

    @Test("What a process holds is said in words")
    func whatIsHeld() {
        var holder = ConnectionHolder()
        holder.add(port: 443, listening: false)
        #expect(holder.summary == "has 1 connection on well-known TLS ports (port 443)")
        holder.add(port: 8443, listening: true)
        #expect(holder.summary == "listens on port 8443, and has 1 connection on well-known TLS ports")
        holder.add(port: 8443, listening: false)
        #expect(holder.summary == "listens on port 8443, and has 2 connections on well-known TLS ports")
    }

    @Test("What there is no room for is counted")
    func sightingsWithoutRoomAreCounted() {
        var sightings = Sightings()
        for inode in 0..<1_500 {
            sightings.note(file(UInt64(inode)), path: "/\(inode)", stack: "go", kind: unsupported, pid: 7)
        }
        #expect(sightings.list(observed: nil).count == 1_000)
        #expect(sightings.omitted == 500)
    }

    @Test("Children of followed processes are followed, until they end")
    func childrenOfFollowedProcessesAreFollowed() {
        var followed = FollowedProcesses([1])
        followed.forked(2, from: 1)
        followed.forked(3, from: 2)
        followed.forked(5, from: 4)
        #expect(followed.contains(3))
        #expect(!followed.contains(5))
        followed.exited(3)
        #expect(!followed.contains(3))
        #expect(followed.contains(2))
    }
}

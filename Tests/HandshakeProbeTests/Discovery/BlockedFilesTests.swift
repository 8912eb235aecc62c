import Testing

@testable import HandshakeProbe
@testable import Kernel

@Suite("Files that may not be opened") struct BlockedFilesTests {
    private func file(_ inode: UInt64) -> MappedInode { MappedInode(device: 1, inode: inode, generation: 0, size: 9) }

    private func note(_ blocked: inout BlockedFiles, _ path: String, _ inode: UInt64, pid: UInt32) -> Bool {
        blocked.note(file(inode), pid: pid, reason: .unreadable, detail: "why", path: path)
    }

    @Test("A TLS library is named by its file name; where a process has none, its first file stands for it")
    func rowsAreNamedByFileName() {
        var blocked = BlockedFiles()
        let news = [
            note(&blocked, "/app/program", 1, pid: 7), note(&blocked, "/app/libssl.so.3", 2, pid: 7),
            note(&blocked, "/other/program", 3, pid: 8), note(&blocked, "/other/libc.so.6", 4, pid: 8),
            note(&blocked, "/other/program", 3, pid: 9), note(&blocked, "/seen/plugin.so", 5, pid: 10),
        ]
        #expect(news == [true, true, true, true, false, true])
        let rows = blocked.rows(observed: [10])
        #expect(rows.map(\.path) == ["/app/libssl.so.3", "/other/program"])
        #expect(rows.map(\.stack) == ["openssl", "unknown"])
        #expect(rows.map(\.processes) == [[7], [8, 9]])
        #expect(rows.allSatisfy { $0.state == .unobserved(reason: .unreadable, detail: "why") })
        #expect(blocked.rows(observed: []).map(\.path).contains("/seen/plugin.so"))
    }

    @Test("Processes fork and end; a file that is met again in the next pass is no news")
    func knownFilesAreNoNewsInTheNextPass() {
        var blocked = BlockedFiles()
        _ = note(&blocked, "/a", 1, pid: 7)
        let forked = (blocked.forked(8, from: 7), blocked.forked(9, from: 1))
        #expect(forked == (true, false))
        let forgotten = (blocked.forget(7), blocked.forget(7))
        #expect(forgotten == (true, false))
        #expect(blocked.rows(observed: []).map(\.processes) == [[8]])
        blocked.begin()
        #expect(blocked.rows(observed: []).isEmpty)
        let isNews = note(&blocked, "/a", 1, pid: 8)
        #expect(!isNews)
        let resolved = (blocked.resolved(file(1)), blocked.resolved(file(1)))
        #expect(resolved == (true, false))
        _ = note(&blocked, "/a", 1, pid: 8)
        let isForgotten = blocked.forget(8)
        #expect(isForgotten)
        #expect(blocked.entries.isEmpty)
    }

    @Test("Past so many files the rest is one row")
    func theRestIsOneRow() {
        var blocked = BlockedFiles()
        for inode in 0..<2_000 { _ = note(&blocked, "/\(inode)", UInt64(inode + 1), pid: UInt32(inode + 1)) }
        let rows = blocked.rows(observed: [])
        #expect(rows.count == 501)
        #expect(rows.last?.path == "other")
        #expect(rows.reduce(0) { $0 + $1.processes.count } == 2_000, "no process is lost")
    }
}

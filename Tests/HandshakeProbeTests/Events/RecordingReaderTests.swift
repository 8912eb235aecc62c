import CEvents
import Foundation
import TestSupport
import Testing

@testable import HandshakeProbe
@testable import Handshakes

/// Recordings that are longer than what is read of a file at once.
@Suite("Long recordings") struct RecordingReaderTests: RecordedStream {
    private static let piece = 1 << 17

    /// Sessions one after the other, and entries of processes between them, so that frames of every kind meet the borders.
    private func recorded(sessions: Int) throws -> [UInt8] {
        try recording { writer in
            var writer = writer
            writer.append(Self.library)
            for index in 0..<UInt64(sessions) {
                let start = 1_000_000 + index * 100_000
                unsafe entered(start).withUnsafeBytes { unsafe writer.append($0) }
                if index % 100 == 0 {
                    let name = String(repeating: "x", count: Int(index) % 777)
                    writer.append(RecordedProcess(pid: 7, start: index, exe: "/\(name)"))
                }
                unsafe returned(start + 50_000, from: start).withUnsafeBytes { unsafe writer.append($0) }
            }
            try writer.flush()
        }
    }

    /// What a reader tells, and why it ends.
    ///
    /// - Parameter count: so many records at a time are taken from memory; 0: each frame is asked for.
    private func told(_ reader: RecordingReader, together count: Int = 0) -> (frames: [[UInt8]], end: String?) {
        var reader = reader
        var frames: [[UInt8]] = []
        func takeRecords() {
            guard count > 0 else { return }
            var left = count
            unsafe reader.takeRecords { record in
                unsafe frames.append(Array(record))
                left -= 1
                return left > 0
            }
        }
        do throws(RecordingError) {
            takeRecords()
            while let frame = try reader.next() {
                defer { takeRecords() }
                switch frame {
                case .record(let range):
                    unsafe reader.withRecord(range) { record in unsafe frames.append(Array(record)) }
                case .process(let process): frames.append(Array(process.exe.utf8))
                case .library(let library): frames.append(Array(library.path.utf8))
                case .loss: frames.append([])
                }
            }
        } catch {
            return (frames, error.description)
        }
        return (frames, nil)
    }

    @Test("A file tells piece by piece what its bytes tell at once") func pieces() throws {
        let bytes = try recorded(sessions: 4_000)
        try #require(bytes.count > 4 * Self.piece)
        let directory = try TemporaryDirectory()
        let path = directory.file("long")
        try Data(bytes).write(to: URL(filePath: path))
        let (whole, pieces) = try (
            told(RecordingReader(bytes: bytes, name: "long")), told(RecordingReader(path: path))
        )
        #expect(whole.frames.count == 1 + 4_000 * 2 + 40 && whole.end == nil)
        #expect(pieces.frames == whole.frames && pieces.end == nil)
        for count in [1, 7, 10_000] {
            #expect(told(try RecordingReader(path: path), together: count).frames == whole.frames, "\(count) at once")
        }
        // A reader is a value: one that has been read to its end leaves another as it was.
        let reader = try RecordingReader(path: path)
        #expect(told(reader).frames == told(reader).frames)
    }

    @Test("Cut where a piece ends or begins, a file is refused at the same byte as its bytes are", arguments: 1...3)
    func cuts(_ border: Int) throws {
        let bytes = try recorded(sessions: 4_000)
        let directory = try TemporaryDirectory()
        let path = directory.file("cut")
        for place in stride(from: border * Self.piece - 600, to: border * Self.piece + 600, by: 37) {
            let cut = Array(bytes[..<place])
            try Data(cut).write(to: URL(filePath: path))
            let (whole, pieces) = try (
                told(RecordingReader(bytes: cut, name: path)), told(RecordingReader(path: path))
            )
            #expect(pieces.end == whole.end && pieces.frames == whole.frames, "\(place)")
            let together = told(try RecordingReader(path: path), together: 1_000)
            #expect(together.end == whole.end && together.frames == whole.frames, "\(place)")
        }
    }

    @Test("A named pipe is opened once: whoever writes to it is not told that nobody reads") func pipe() throws {
        let bytes = try recorded(sessions: 2_000)
        let directory = try TemporaryDirectory()
        let (file, pipe) = (directory.file("file"), directory.file("pipe"))
        try Data(bytes).write(to: URL(filePath: file))
        try #require(unsafe mkfifo(pipe, 0o600) == 0)
        let writer = try ChildProcess("/bin/sh", ["-c", "exec cat '\(file)' > '\(pipe)'"])
        let reader = try RecordingReader(path: pipe)
        #expect(told(reader).frames.count == 1 + 2_000 * 2 + 20)
        let ended = try writer.wait()
        #expect(ended.status == .exited(0), "\(ended.errors)")
    }

    // MARK: the two threads

    private func replay() throws -> RecordingReader {
        try RecordingReader(bytes: recorded(sessions: 3_000), name: "replay")
    }

    @Test("Handed over in batches, the sessions are those that one thread tells, in their order") func handsOver()
        throws
    {
        let alone = Replay.run(try replay(), timeout: Self.timeout, version: "test")
        var (handed, batches): ([Handshake], Int) = ([], 0)
        let ending = Replay.run(try replay(), timeout: Self.timeout) { (handshakes: [Handshake]) throws(Never) in
            handed += handshakes
            batches += 1
            return true
        }
        #expect(handed.count == 3_000 && handed == alone.handshakes)
        #expect(batches > 1 && batches <= 3_000 / 32)
        #expect(ending.rejected == alone.rejected && ending.inFlight == alone.inFlight && ending.cut == nil)
    }

    @Test("Whoever wants no more gets no more, and an error of his is thrown", arguments: [0, 1, 5])
    func stops(_ wanted: Int) throws {
        struct Full: Error {}
        var taken = 0
        _ = Replay.run(try replay(), timeout: Self.timeout) { (_: [Handshake]) throws(Never) in
            taken += 1
            return taken <= wanted
        }
        #expect(taken == wanted + 1)
        taken = 0
        let reader = try replay()
        #expect(throws: Full.self) {
            _ = try Replay.run(reader, timeout: Self.timeout) { (_: [Handshake]) throws(Full) in
                taken += 1
                if taken > wanted { throw Full() }
                return true
            }
        }
        #expect(taken == wanted + 1)
    }

    @Test("What stands before a cut is handed over, and the cut is told") func cutReplay() throws {
        let bytes = try recorded(sessions: 1_000)
        var count = 0
        let reader = try RecordingReader(bytes: Array(bytes.dropLast(10)), name: "cut")
        let ending = Replay.run(reader, timeout: Self.timeout) { (handshakes: [Handshake]) throws(Never) in
            count += handshakes.count
            return true
        }
        #expect(count == 999 && ending.inFlight == 1)
        #expect(ending.cut?.description.contains("cut or garbled") == true)
    }
}

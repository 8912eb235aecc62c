import Dispatch
import Foundation
import Synchronization
import TestSupport
import Testing

@testable import HandshakeProbe

@Suite("Reading files that may hang") struct ForeignReaderTests {
    private static let short = ForeignReader.Patience(each: 100_000_000, total: .max)

    /// A name whose opening waits until somebody opens it for writing.
    private final class Fifo: Sendable {
        private let directory: TemporaryDirectory
        let path: String

        init() throws {
            directory = try TemporaryDirectory()
            path = directory.file("fifo")
            guard unsafe mkfifo(path, 0o600) == 0 else { throw HarnessError("mkfifo: errno \(errno)") }
        }

        /// Blocks. The descriptor is closed.
        func read() -> Bool {
            let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
            defer { close(descriptor) }
            return descriptor >= 0
        }

        func release() {
            let descriptor = unsafe open(path, O_WRONLY | O_CLOEXEC)
            if descriptor >= 0 { close(descriptor) }
        }
    }

    @Test("A look that does not end is given up on; others go on, and nothing else is looked at where it hangs")
    func aHangingLookIsGivenUpOn() throws {
        let reader = ForeignReader(Self.short)
        let fifo = try Fifo()
        let late = Mutex<[Bool]>([])
        #expect(reader.look(at: .path("/fine")) { 1 }.value == 1)
        let answer = reader.look(at: .device(7), late: { value in late.withLock { $0.append(value) } }) { fifo.read() }
        #expect(answer.value == nil)
        #expect(reader.abandoned == 1)
        #expect(reader.look(at: .device(8)) { 2 }.value == 2)
        let isAsked = Mutex(false)
        #expect(reader.look(at: .device(7)) { isAsked.withLock { $0 = true } }.value == nil)
        #expect(!isAsked.withLock { $0 }, "it would hang as well")
        #expect(!reader.takeCameBack())
        fifo.release()
        #expect(eventually { reader.abandoned == 0 })
        #expect(reader.takeCameBack())
        #expect(!reader.takeCameBack())
        #expect(late.withLock { $0 } == [true], "what came too late is handed over")
        #expect(reader.look(at: .device(7)) { 3 }.value == 3, "it answers again")
    }

    @Test("Where a server may not answer a process asks first; whatever it is told is an answer")
    func aProcessAsksFirst() {
        let reader = ForeignReader(Self.short)
        let directory = FileManager.default.temporaryDirectory.path
        #expect(reader.look(at: .path("/fine"), asking: Machine.libssl) { 1 }.value == 1)
        #expect(reader.look(at: .path("/directory"), asking: directory) { 2 }.value == 2)
        #expect(reader.look(at: .path("/gone"), asking: directory + "/nothing-there") { 3 }.value == 3)
        #expect(reader.abandoned == 0)
    }

    @Test("What computes is waited for")
    func aComputingLookIsWaitedFor() {
        let reader = ForeignReader(Self.short)
        let answer = reader.look(at: .path("/slow")) { () -> UInt64 in
            var start = timespec()
            var now = timespec()
            unsafe _ = clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start)
            repeat { unsafe _ = clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) } while now.tv_sec - start.tv_sec < 1
            return 5
        }
        #expect(answer.value == 5)
        #expect(reader.abandoned == 0)
    }

    @Test("So many threads may hang and no more; each that comes back makes room")
    func hangingThreadsAreLimited() throws {
        let reader = ForeignReader(Self.short, limit: 2)
        let fifos = try (0..<2).map { _ in try Fifo() }
        for (number, fifo) in fifos.enumerated() {
            #expect(reader.look(at: .device(UInt32(number))) { fifo.read() }.value == nil)
        }
        #expect(reader.look(at: .device(2)) { 1 }.value == nil, "no thread is left for it")
        #expect(reader.look(at: .path("/name")) { 1 }.value == nil)
        fifos[0].release()
        #expect(eventually { reader.abandoned == 1 })
        #expect(reader.look(at: .device(2)) { 1 }.value == 1)
        #expect(reader.look(at: .path("/name")) { 1 }.value == nil, "names leave some threads to files")
        fifos[1].release()
        #expect(eventually { reader.abandoned == 0 })
        #expect(reader.look(at: .path("/name")) { 1 }.value == 1)
    }

    @Test("All looks together hang no longer than their patience, which may be shortened while one hangs")
    func allLooksShareOnePatience() throws {
        let reader = ForeignReader(ForeignReader.Patience(each: .max, total: 300_000_000))
        let fifos = try (0..<3).map { _ in try Fifo() }
        let start = ContinuousClock.now
        for (number, fifo) in fifos.prefix(2).enumerated() {
            #expect(reader.look(at: .device(UInt32(number))) { fifo.read() }.value == nil)
        }
        #expect(start.duration(to: .now) < .seconds(20))
        reader.setPatience(ForeignReader.Patience(each: .max, total: .max))
        let hasBegun = DispatchSemaphore(value: 0)
        DispatchQueue.global().async {
            hasBegun.wait()
            reader.setPatience(.last)
        }
        let last = fifos[2]
        let answer = reader.look(at: .device(2)) {
            hasBegun.signal()
            return last.read()
        }
        #expect(answer.value == nil)
        fifos.forEach { $0.release() }
        #expect(eventually { reader.abandoned == 0 })
    }
}

import CEvents
import FoundationEssentials
import Glibc
import Kernel

/// Reads a recording. It may come from anybody: every length is checked. A file is read piece by piece, however long it is.
package struct RecordingReader: Sendable {
    package let header: RecordingHeader
    /// Frames that were read: of a file a piece, else all there are. They lie in `offset..<end`.
    private var bytes: [UInt8]
    private var offset: Int
    private var end: Int
    /// Bytes of frames that stood before `bytes`.
    private var passed: Int
    private var rest: Rest?

    /// What a file has behind `bytes`.
    private struct Rest {
        let file: OpenFile
        let name: String
        var position: Int
    }

    enum Frame {
        /// Until the next frame is asked for.
        case record(Range<Int>)
        case library(RecordedLibrary)
        case process(RecordedProcess)
        case loss(LossSpan)
    }

    /// In place of a path: standard input.
    package static let standardInput = "-"

    /// What a recording is called in messages.
    package static func name(of path: String) -> String { path == standardInput ? "standard input" : path }

    /// What is read at once of a file, more than any frame, and little enough to stay in a processor's cache.
    private static let piece = 1 << 17
    /// What is read of what cannot be read piece by piece.
    private static let wholeLimit = 1 << 30

    /// - Parameter path: `-` reads standard input to its end.
    package init(path: String) throws(RecordingError) {
        let name = Self.name(of: path)
        if path != Self.standardInput, Self.isFile(path), let file = OpenFile(path) {
            var bytes = [UInt8](repeating: 0, count: Self.piece)
            guard let end = Self.fill(&bytes, behind: 0, from: file, at: 0) else { throw Self.unreadable(name) }
            let (header, length) = try Self.header(bytes[..<end], name: name)
            if header.wireVersion == Int(TLSWATCH_WIRE_VERSION) {
                self.init(header, bytes, in: length..<end, Rest(file: file, name: name, position: end))
                return
            }
        }
        guard let bytes = readFile(path == Self.standardInput ? "/dev/stdin" : path, limit: Self.wholeLimit) else {
            throw Self.unreadable(name)
        }
        try self.init(bytes: bytes, name: name)
    }

    /// A pipe is not to be opened twice: who writes to it would be told that nobody reads.
    private static func isFile(_ path: String) -> Bool {
        var status = stat()
        return unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    }

    private static func unreadable(_ name: String) -> RecordingError {
        RecordingError(description: "cannot read \(name): \(errnoText(errno))")
    }

    init(bytes: [UInt8], name: String) throws(RecordingError) {
        let (header, length) = try Self.header(bytes[...], name: name)
        let frames = RecordingUpgrade.frames(bytes[length...], from: header.wireVersion)
        self.init(header, frames, in: 0..<frames.count, nil)
    }

    /// - Parameter frames: where they are in `bytes`.
    private init(_ header: RecordingHeader, _ bytes: [UInt8], in frames: Range<Int>, _ rest: Rest?) {
        self.header = header
        self.bytes = bytes
        (offset, end) = (frames.lowerBound, frames.upperBound)
        passed = -frames.lowerBound
        self.rest = rest
    }

    /// The header, and the length of its line.
    private static func header(
        _ bytes: ArraySlice<UInt8>, name: String
    ) throws(RecordingError) -> (header: RecordingHeader, length: Int) {
        let line = bytes.prefix(RecordingFrame.headerLimit).prefix { $0 != UInt8(ascii: "\n") }
        guard line.count < bytes.count, let header = try? JSONDecoder().decode(RecordingHeader.self, from: Data(line)),
            header.format == "tlswatch recording"
        else { throw RecordingError(description: "\(name) is not a tlswatch recording") }
        guard (RecordingUpgrade.oldest...Int(TLSWATCH_WIRE_VERSION)).contains(header.wireVersion) else {
            throw RecordingError(
                description:
                    "\(name) was recorded with wire version \(header.wireVersion) by tlswatch \(header.version); "
                    + "this tlswatch reads versions \(RecordingUpgrade.oldest) to \(TLSWATCH_WIRE_VERSION)")
        }
        return (header, line.count + 1)
    }

    /// Bytes of a frame before its content.
    private static let head = 8

    /// Whether it may hold what packets showed: else nothing has to be kept for them.
    var holdsPackets: Bool { header.packets ?? true }

    /// The next frame, `nil` at the end.
    /// - Throws: `RecordingError` where the file is cut or garbled, or can be read no further.
    mutating func next() throws(RecordingError) -> Frame? {
        while try has(1) {
            guard try has(Self.head) else { throw cut() }
            let kind = number(at: offset, as: UInt16.self)
            let length = Int(number(at: offset + 4, as: UInt32.self))
            guard length <= RecordingFrame.lengthLimit, try has(Self.head + length) else { throw cut() }
            let start = offset + Self.head
            offset = start + length
            switch kind {
            case RecordingFrame.record: return .record(start..<offset)
            case RecordingFrame.library: return .library(try named("a library's entry", start..<offset))
            case RecordingFrame.process: return .process(try named("a process's entry", start..<offset))
            case RecordingFrame.loss: return .loss(try named("the entry of a loss", start..<offset))
            default: continue  // a later version's addition
            }
        }
        return nil
    }

    private func number<Number: FixedWidthInteger & BitwiseCopyable>(at place: Int, as type: Number.Type) -> Number {
        precondition(place + MemoryLayout<Number>.size <= end)
        return Number(
            littleEndian: unsafe bytes.withUnsafeBytes { unsafe $0.loadUnaligned(fromByteOffset: place, as: type) })
    }

    private func named<Value: Decodable>(_ what: String, _ range: Range<Int>) throws(RecordingError) -> Value {
        guard let value = try? JSONDecoder().decode(Value.self, from: Data(bytes[range])) else {
            throw RecordingError(description: "\(what) at byte \(passed + range.lowerBound) is garbled")
        }
        return value
    }

    private func cut() -> RecordingError {
        RecordingError(description: "the recording is cut or garbled at byte \(passed + offset)")
    }

    /// Whether so many bytes lie at `offset`, once what the file has is read.
    private mutating func has(_ count: Int) throws(RecordingError) -> Bool {
        if offset + count <= end { return true }
        guard rest != nil else { return false }
        try readOn()
        return offset + count <= end
    }

    /// Reads on behind what is left of `bytes`, which goes to the front: in place, unless a copy of this reader has them too.
    private mutating func readOn() throws(RecordingError) {
        guard let rest else { return }
        let (used, left) = (offset, end - offset)
        unsafe bytes.withUnsafeMutableBytes { memory in
            guard let base = memory.baseAddress else { return }
            unsafe _ = memmove(base, base + used, left)
        }
        passed += offset
        (offset, end) = (0, left)
        guard let filled = Self.fill(&bytes, behind: left, from: rest.file, at: rest.position) else {
            throw Self.unreadable(rest.name)
        }
        end = filled
        self.rest?.position += filled - left
    }

    /// Reads a file from a position on, until there is no more place behind `start`, or no more file.
    ///
    /// - Returns: where the bytes end; `nil`, with errno set, where the file cannot be read.
    private static func fill(
        _ bytes: inout [UInt8], behind start: Int, from file: OpenFile, at position: Int
    ) -> Int? {
        var end = start
        while end < bytes.count {
            let count = unsafe bytes.withUnsafeMutableBytes { memory in
                unsafe pread(file.descriptor, memory.baseAddress! + end, memory.count - end, position + end - start)
            }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { return nil }
            guard count > 0 else { break }
            end += count
        }
        return end
    }

    /// Hands over the records that come next, as far as they are in memory, until `body` wants no more.
    mutating func takeRecords(_ body: (UnsafeRawBufferPointer) -> Bool) {
        var place = offset
        let frames = end
        unsafe bytes.withUnsafeBytes { memory in
            while frames - place >= Self.head {
                let kind = unsafe memory.loadUnaligned(fromByteOffset: place, as: UInt16.self)
                let size = unsafe memory.loadUnaligned(fromByteOffset: place + 4, as: UInt32.self)
                let (length, start) = (Int(UInt32(littleEndian: size)), place + Self.head)
                guard UInt16(littleEndian: kind) == RecordingFrame.record, length <= RecordingFrame.lengthLimit,
                    frames - start >= length
                else { return }
                place = start + length
                guard unsafe body(UnsafeRawBufferPointer(rebasing: memory[start..<place])) else { return }
            }
        }
        offset = place
    }

    func withRecord(_ range: Range<Int>, _ body: (UnsafeRawBufferPointer) -> Void) {
        unsafe bytes.withUnsafeBytes { unsafe body(UnsafeRawBufferPointer(rebasing: $0[range])) }
    }
}

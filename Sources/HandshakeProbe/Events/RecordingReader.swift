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

    /// What is read at once of a file, more than any frame.
    private static let piece = 1 << 18
    /// What is read of what cannot be read piece by piece.
    private static let wholeLimit = 1 << 30

    /// - Parameter path: `-` reads standard input to its end.
    package init(path: String) throws(RecordingError) {
        let name = Self.name(of: path)
        if path != Self.standardInput, Self.isFile(path), let file = OpenFile(path) {
            var piece = Piece(size: Self.piece)
            guard piece.fill(from: file, at: 0) else { throw Self.unreadable(name) }
            let (header, length) = try Self.header(piece.bytes[..<piece.end], name: name)
            if header.wireVersion == Int(TLSWATCH_WIRE_VERSION) {
                self.init(header, piece, behind: length, Rest(file: file, name: name, position: piece.end))
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
        self.init(header, Piece(RecordingUpgrade.frames(bytes[length...], from: header.wireVersion)), behind: 0, nil)
    }

    /// - Parameter length: the header's, in the piece.
    private init(_ header: RecordingHeader, _ piece: Piece, behind length: Int, _ rest: Rest?) {
        self.header = header
        (bytes, offset, end) = (piece.bytes, length, piece.end)
        passed = -length
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

    /// Whether it may hold what packets showed: else nothing has to be kept for them.
    var holdsPackets: Bool { header.packets ?? true }

    /// The next frame, `nil` at the end.
    /// - Throws: `RecordingError` where the file is cut or garbled, or can be read no further.
    mutating func next() throws(RecordingError) -> Frame? {
        while try has(1) {
            guard try has(8) else { throw cut() }
            let kind = number(at: offset, as: UInt16.self)
            let length = Int(number(at: offset + 4, as: UInt32.self))
            guard length <= RecordingFrame.lengthLimit, try has(8 + length) else { throw cut() }
            let start = offset + 8
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

    private mutating func takeBytes() -> [UInt8] {
        defer { bytes = [] }
        return bytes
    }

    /// Reads on behind what is left of `bytes`, which goes to the front.
    private mutating func readOn() throws(RecordingError) {
        guard var rest else { return }
        var piece = Piece(bytes: takeBytes(), used: offset..<end)
        let before = piece.end
        let isFine = piece.fill(from: rest.file, at: rest.position)
        rest.position += piece.end - before
        passed += offset
        (bytes, offset, end) = (piece.bytes, 0, piece.end)
        self.rest = rest
        guard isFine else { throw Self.unreadable(rest.name) }
    }

    func withRecord(_ range: Range<Int>, _ body: (UnsafeRawBufferPointer) -> Void) {
        unsafe bytes.withUnsafeBytes { unsafe body(UnsafeRawBufferPointer(rebasing: $0[range])) }
    }
}

/// A part of a file in memory that is used again for the next one.
private struct Piece {
    private(set) var bytes: [UInt8]
    /// What is in use ends here; it begins at 0.
    private(set) var end: Int

    init(size: Int) { (bytes, end) = ([UInt8](repeating: 0, count: size), 0) }
    init(_ bytes: [UInt8]) { (self.bytes, end) = (bytes, bytes.count) }

    /// Takes memory of which a part is in use, and moves that to its front.
    init(bytes: consuming [UInt8], used: Range<Int>) {
        self.bytes = bytes
        end = used.count
        unsafe self.bytes.withUnsafeMutableBytes { memory in
            guard let base = memory.baseAddress else { return }
            unsafe _ = memmove(base, base + used.lowerBound, used.count)
        }
    }

    /// Reads a file from a position on until there is no more place, or no more file. False, with errno set, where it cannot.
    mutating func fill(from file: OpenFile, at position: Int) -> Bool {
        var position = position
        while end < bytes.count {
            let count = unsafe bytes.withUnsafeMutableBytes { memory in
                unsafe pread(file.descriptor, memory.baseAddress! + end, memory.count - end, position)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return count == 0 }
            end += count
            position += count
        }
        return true
    }
}

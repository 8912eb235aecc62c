import FoundationEssentials
import Glibc
import Kernel

/// What is wrong with a recording.
package struct RecordingError: Error, Sendable, CustomStringConvertible {
    package var description: String
}

/// A library as a recording names it: what a replay needs to understand its records.
package struct RecordedLibrary: Codable, Sendable, Equatable {
    package var profile: Int
    package var stack: String
    package var path: String
    package var version: String?
    /// As `LibraryAnalysis.reasons`.
    package var reasons: [Int32: String]?
}

/// A process's executable: a replay cannot read it from /proc.
package struct RecordedProcess: Codable, Sendable, Equatable {
    package var pid: UInt32
    package var start: UInt64
    package var exe: String
    package var container: String?
    package var unit: String?
    package var pod: String?
}

/// The first line of a recording, JSON.
package struct RecordingHeader: Codable, Sendable, Equatable {
    package var format = "tlswatch recording"
    package var wireVersion: Int
    package var version: String
    package var host: String
    package var kernel: String
    /// Added to a monotonic time of the recording gives nanoseconds since 1970.
    package var wallClockOffset: Int64
    /// Whether packets were looked at; `nil` in recordings of before it was told.
    package var packets: Bool?
}

/// The file's shape: the header's JSON and a newline; then frames of a little-endian u16 kind, u16 zero, u32 length and
/// that many bytes. A record's bytes are exactly what the ring delivered.
enum RecordingFrame {
    static let record: UInt16 = 1
    /// JSON of a `RecordedLibrary`; stands before the first record of its profile.
    static let library: UInt16 = 2
    /// JSON of a `RecordedProcess`; stands behind the record that made it known.
    static let process: UInt16 = 3
    /// JSON of a `LossSpan`; stands before the first record behind it.
    static let loss: UInt16 = 4
    static let headerLimit = 65536
    static let lengthLimit = 65536
}

/// Writes a recording. Buffered; owned by the ring's thread.
struct RecordingWriter: ~Copyable {
    private let descriptor: Int32
    private let path: String
    private var buffer: [UInt8] = []
    private var failure: RecordingError?

    init(path: String, header: RecordingHeader) throws(RecordingError) {
        descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        self.path = path
        guard descriptor >= 0 else {
            throw RecordingError(description: "cannot write the recording \(path): \(errnoText(errno))")
        }
        buffer.append(contentsOf: Self.json(header))
        buffer.append(UInt8(ascii: "\n"))
    }

    deinit { close(descriptor) }

    private static func json(_ value: some Encodable) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return (try? encoder.encode(value)).map { [UInt8]($0) } ?? []
    }

    mutating func append(_ record: UnsafeRawBufferPointer) {
        appendHead(RecordingFrame.record, count: record.count)
        unsafe buffer.append(contentsOf: record)
        writeIfFull()
    }

    mutating func append(_ library: RecordedLibrary) { append(library, as: RecordingFrame.library) }
    mutating func append(_ process: RecordedProcess) { append(process, as: RecordingFrame.process) }
    mutating func append(_ loss: LossSpan) { append(loss, as: RecordingFrame.loss) }

    private mutating func append(_ value: some Encodable, as kind: UInt16) {
        let bytes = Self.json(value)
        appendHead(kind, count: bytes.count)
        buffer.append(contentsOf: bytes)
    }

    private mutating func appendHead(_ kind: UInt16, count: Int) {
        for shift in [0, 8] { buffer.append(UInt8(truncatingIfNeeded: kind >> UInt16(shift))) }
        buffer.append(contentsOf: [0, 0])
        for shift in [0, 8, 16, 24] { buffer.append(UInt8(truncatingIfNeeded: count >> shift)) }
    }

    private mutating func writeIfFull() {
        if buffer.count >= 1 << 18 { write() }
    }

    private mutating func write() {
        var offset = 0
        while failure == nil, offset < buffer.count {
            let count = unsafe buffer.withUnsafeBytes {
                unsafe Glibc.write(descriptor, $0.baseAddress! + offset, $0.count - offset)
            }
            if count < 0, errno == EINTR { continue }
            if count <= 0 {
                failure = RecordingError(description: "cannot write the recording \(path): \(errnoText(errno))")
            }
            offset += max(count, 0)
        }
        buffer.removeAll(keepingCapacity: true)
    }

    /// - Throws: the first error of any write.
    mutating func flush() throws(RecordingError) {
        write()
        if let failure { throw failure }
    }
}

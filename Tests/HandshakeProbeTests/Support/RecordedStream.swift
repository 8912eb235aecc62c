import CEvents
import Foundation
import TestSupport

@testable import HandshakeProbe

/// What a suite needs to make a recording by hand.
protocol RecordedStream: SessionStream {}

extension RecordedStream {
    static var recordingHeader: RecordingHeader {
        RecordingHeader(
            wireVersion: Int(TLSWATCH_WIRE_VERSION), version: "test", host: "host", kernel: "kernel",
            wallClockOffset: 0)
    }

    static var library: RecordedLibrary {
        RecordedLibrary(profile: 1, stack: "openssl", path: "/libssl.so.3", version: "3.0.19")
    }

    /// A recording's bytes; `write` fills it.
    func recording(_ write: (consuming RecordingWriter) throws -> Void) throws -> [UInt8] {
        let directory = try TemporaryDirectory()
        let path = directory.file("recording")
        try write(try RecordingWriter(path: path, header: Self.recordingHeader))
        return try Machine.bytes(path)
    }

    /// A record's bytes, with the head that the kernel gives it.
    func bytes<Record: BitwiseCopyable>(_ record: Record, _ kind: tlswatch_kind) -> [UInt8] {
        var record = record
        let bytes = unsafe withUnsafeBytes(of: &record) { unsafe Array($0) }
        return headed(bytes, kind)
    }

    func headed(_ bytes: [UInt8], _ kind: tlswatch_kind) -> [UInt8] {
        var bytes = bytes
        let (kindAt, sizeAt) = (
            MemoryLayout<tlswatch_header>.offset(of: \.kind) ?? 0,
            MemoryLayout<tlswatch_header>.offset(of: \.size) ?? 0
        )
        bytes[kindAt] = UInt8(kind.rawValue)
        (bytes[sizeAt], bytes[sizeAt + 1]) = (UInt8(bytes.count & 0xff), UInt8(bytes.count >> 8))
        return bytes
    }

    func entered(_ time: UInt64) -> [UInt8] { bytes(enter(time), TLSWATCH_CALL_ENTER) }

    /// The second call's return, which completes the handshake.
    func returned(_ time: UInt64, from enter: UInt64) -> [UInt8] {
        headed(
            back(time, from: enter, result: 1, flow: Flow.finished, scalars: [.version: 0x0304]),
            TLSWATCH_CALL_RETURN)
    }
}

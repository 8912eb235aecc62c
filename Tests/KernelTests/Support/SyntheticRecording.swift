import CEvents
import Glibc

@testable import HandshakeProbe

/// Recordings made by hand, of handshakes whose durations are known.
enum SyntheticRecording {
    /// Completed server handshakes, TLS 1.3, one call each.
    ///
    /// - Parameters:
    ///   - durations: nanoseconds.
    ///   - interval: nanoseconds from one beginning to the next.
    /// - Returns: the durations in the order in which the handshakes end.
    @discardableResult
    static func write(_ durations: [UInt64], every interval: UInt64, to path: String) throws -> [UInt64] {
        var writer = try RecordingWriter(
            path: path,
            header: RecordingHeader(
                wireVersion: Int(TLSWATCH_WIRE_VERSION), version: "test", host: "host", kernel: "none",
                wallClockOffset: 0))
        writer.append(RecordedLibrary(profile: 1, stack: "openssl", path: "/libssl.so.3", version: "3.0.19"))
        var records: [(time: UInt64, bytes: [UInt8])] = []
        var ends: [(time: UInt64, duration: UInt64)] = []
        for (index, duration) in durations.enumerated() {
            let start = 1_000_000_000 + UInt64(index) * interval
            let object = 0x1000 + UInt64(index) * 0x100
            records.append((start, entered(start, object)))
            records.append((start + duration, returned(start + duration, from: start, object)))
            ends.append((start + duration, duration))
        }
        for record in records.sorted(by: { $0.time < $1.time }) {
            unsafe record.bytes.withUnsafeBytes { unsafe writer.append($0) }
        }
        try writer.flush()
        return ends.sorted { $0.time < $1.time }.map(\.duration)
    }

    private static func header(_ time: UInt64, _ object: UInt64, _ kind: tlswatch_kind, size: Int) -> tlswatch_header {
        var header = tlswatch_header()
        header.time_ns = time
        header.process_start_ns = 5
        header.object = object
        (header.pid, header.tid) = (7, 7)
        header.kind = UInt16(kind.rawValue)
        header.profile = 1
        header.size = UInt16(size)
        header.hook = HookKind.call.rawValue
        return header
    }

    private static func entered(_ time: UInt64, _ object: UInt64) -> [UInt8] {
        var event = tlswatch_call_enter()
        event.header = header(time, object, TLSWATCH_CALL_ENTER, size: MemoryLayout<tlswatch_call_enter>.size)
        event.server = 1
        let facts: [Fact: UInt32] = [.flowState: 0, .handState: 0, .version: 0x0304]
        event.present = facts.keys.reduce(0) { $0 | 1 << UInt32($1.rawValue) }
        unsafe withUnsafeMutableBytes(of: &event.state) { bytes in
            for (fact, value) in facts {
                unsafe bytes.storeBytes(of: value, toByteOffset: 4 * fact.rawValue, as: UInt32.self)
            }
        }
        return unsafe withUnsafeBytes(of: &event) { unsafe Array($0) }
    }

    private static func returned(_ time: UInt64, from enter: UInt64, _ object: UInt64) -> [UInt8] {
        var event = tlswatch_call_return()
        event.header = header(time, object, TLSWATCH_CALL_RETURN, size: MemoryLayout<tlswatch_call_return>.size)
        event.enter_ns = enter
        event.input_ns = enter
        event.result = 1
        event.io_result = 5
        // Finished (TLS_ST_OK), and the version.
        let facts: [Fact: UInt32] = [.flowState: 4, .handState: 1, .version: 0x0304, .resumed: 0]
        event.present = facts.keys.reduce(0) { $0 | 1 << UInt32($1.rawValue) }
        unsafe withUnsafeMutableBytes(of: &event.scalar) { bytes in
            for (fact, value) in facts {
                unsafe bytes.storeBytes(of: value, toByteOffset: 4 * fact.rawValue, as: UInt32.self)
            }
        }
        return unsafe withUnsafeBytes(of: &event) { unsafe Array($0) }
    }
}

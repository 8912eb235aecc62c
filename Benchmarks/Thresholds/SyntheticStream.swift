import CEvents
import HandshakeProbe
import Glibc

/// A recording of completed server handshakes, one call each: its bytes, as `capture --record` writes them.
struct SyntheticStream {
    private(set) var bytes: [UInt8] = []
    let sessions: Int

    init(sessions: Int) {
        self.sessions = sessions
        bytes += Array(
            #"{"format":"tlswatch recording","host":"bench","kernel":"none","version":"bench","wallClockOffset":0,"#
                .utf8)
        bytes += Array("\"wireVersion\":\(TLSWATCH_WIRE_VERSION)}\n".utf8)
        append(2, Array(#"{"path":"/libssl.so.3","profile":1,"stack":"openssl","version":"3.0.19"}"#.utf8))
        for index in 0..<UInt64(sessions) {
            let start = 1_000_000_000 + index * 100_000
            // Some are in flight at a time, at addresses that come again.
            let object = 0x1000 + index % 64 * 0x100
            append(1, entered(start, object))
            append(1, returned(start + 50_000, from: start, object))
        }
    }

    /// Writes it where nobody else has a name; the caller removes it.
    func write(to path: String) -> Bool {
        let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }

    private mutating func append(_ kind: UInt16, _ content: [UInt8]) {
        func little<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
            stride(from: 0, to: Value.bitWidth, by: 8).map { UInt8(truncatingIfNeeded: value >> $0) }
        }
        bytes += little(kind) + little(UInt16(0)) + little(UInt32(content.count)) + content
    }

    private func header(_ time: UInt64, _ object: UInt64, _ kind: tlswatch_kind, size: Int) -> tlswatch_header {
        var header = tlswatch_header()
        header.time_ns = time
        header.process_start_ns = 5
        header.object = object
        (header.pid, header.tid) = (7, 7)
        header.kind = UInt16(kind.rawValue)
        header.profile = 1
        header.size = UInt16(size)
        header.hook = UInt16(TLSWATCH_HOOK_CALL.rawValue)
        return header
    }

    /// Facts as the kernel side places them: a bit each, and a value at its number.
    private func present(_ facts: [Fact]) -> UInt32 { facts.reduce(0) { $0 | 1 << UInt32($1.rawValue) } }

    private func store(_ facts: [(Fact, UInt32)], in bytes: UnsafeMutableRawBufferPointer) {
        for (fact, value) in facts {
            unsafe bytes.storeBytes(of: value, toByteOffset: 4 * fact.rawValue, as: UInt32.self)
        }
    }

    private func entered(_ time: UInt64, _ object: UInt64) -> [UInt8] {
        var event = tlswatch_call_enter()
        event.header = header(time, object, TLSWATCH_CALL_ENTER, size: MemoryLayout<tlswatch_call_enter>.size)
        event.server = 1
        let facts: [(Fact, UInt32)] = [(.flowState, 0), (.handState, 0), (.version, 0x0304)]
        event.present = present(facts.map(\.0))
        unsafe withUnsafeMutableBytes(of: &event.state) { unsafe store(facts, in: $0) }
        return unsafe withUnsafeBytes(of: &event) { unsafe Array($0) }
    }

    private func returned(_ time: UInt64, from enter: UInt64, _ object: UInt64) -> [UInt8] {
        var event = tlswatch_call_return()
        event.header = header(time, object, TLSWATCH_CALL_RETURN, size: MemoryLayout<tlswatch_call_return>.size)
        event.enter_ns = enter
        event.input_ns = enter
        event.result = 1
        event.io_result = 5
        // Finished, in state TLS_ST_OK.
        let facts: [(Fact, UInt32)] = [
            (.flowState, 4), (.handState, 1), (.version, 0x0304), (.cipher, 0x0300_1302), (.group, 29), (.resumed, 0),
        ]
        event.present = present(facts.map(\.0))
        unsafe withUnsafeMutableBytes(of: &event.scalar) { unsafe store(facts, in: $0) }
        return unsafe withUnsafeBytes(of: &event) { unsafe Array($0) }
    }
}

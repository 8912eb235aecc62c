import CEvents
import Foundation
import Testing

@testable import HandshakeProbe

/// Recordings of the first release, which holds them in wire version 2.
@Suite("Recordings of the first release") struct RecordingUpgradeTests {
    private func first() throws -> [UInt8] {
        let file = try #require(
            Bundle.module.url(forResource: "handshakes", withExtension: "recording", subdirectory: "Fixtures"))
        return [UInt8](try Data(contentsOf: file))
    }

    @Test("Each record of the first release becomes one of this release, and none is rejected")
    func firstReleaseRecordsAreUpgraded() throws {
        var reader = try RecordingReader(bytes: try first(), name: "first")
        try #require(reader.header.wireVersion == 2)
        var sizes: [UInt32: Set<Int>] = [:]
        while let frame = try reader.next() {
            guard case .record(let range) = frame else { continue }
            unsafe reader.withRecord(range) { record in
                let header = unsafe record.loadUnaligned(as: tlswatch_header.self)
                #expect(Int(header.size) == record.count)
                sizes[UInt32(header.kind), default: []].insert(record.count)
            }
        }
        #expect(sizes[TLSWATCH_CALL_ENTER.rawValue] == [MemoryLayout<tlswatch_call_enter>.size])
        #expect(sizes[TLSWATCH_SOCKET.rawValue] == [MemoryLayout<tlswatch_socket>.size])
        #expect(sizes[TLSWATCH_CALL_RETURN.rawValue]?.min() ?? 0 >= MemoryLayout<tlswatch_call_return>.size)
        let result = Replay.run(
            try RecordingReader(bytes: try first(), name: "first"), timeout: 60_000_000_000, version: "test")
        #expect(result.rejected == 0)
        #expect(result.cut == nil)
        #expect(result.handshakes.count == 10)
    }

    @Test("A version that is not known is refused with both versions named")
    func unknownVersion() throws {
        let text = String(decoding: try first(), as: Unicode.ASCII.self)
        for version in [1, Int(TLSWATCH_WIRE_VERSION) + 1] {
            let bytes = Array(text.replacing("\"wireVersion\":2", with: "\"wireVersion\":\(version)").utf8)
            let error = #expect(throws: RecordingError.self) { try RecordingReader(bytes: bytes, name: "other") }
            #expect(error?.description.contains("wire version \(version)") == true)
            #expect(error?.description.contains("2 to \(TLSWATCH_WIRE_VERSION)") == true)
        }
    }

    /// A frame of an earlier version with one record, and what becomes of the record.
    private func upgraded<Record: BitwiseCopyable>(
        _ kind: tlswatch_kind, _ body: [UInt32], as: Record.Type, from version: Int = 3
    ) -> Record? {
        let record = upgraded(kind, body, from: version)
        guard record.count >= MemoryLayout<Record>.size else { return nil }
        return unsafe record.withUnsafeBytes { unsafe $0.loadUnaligned(as: Record.self) }
    }

    private func upgraded(_ kind: tlswatch_kind, _ body: [UInt32], from version: Int) -> [UInt8] {
        let size = 40 + 4 * body.count
        // Time, process start and object; pid, tid; kind and profile; size and hook.
        let words = [100, 0, 5, 0, 0x1000, 0, 7, 7, kind.rawValue | 1 << 16, UInt32(size) | 1 << 16] + body
        let record = words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * UInt32($0))) } }
        let head = [UInt8(RecordingFrame.record), 0, 0, 0, UInt8(size & 0xff), UInt8(size >> 8), 0, 0]
        let frames = RecordingUpgrade.frames((head + record)[...], from: version)
        return Array(frames.dropFirst(8))
    }

    @Test("An entry of version 3 has its facts under the numbers of now")
    func anEntryOfVersionThreeIsRenumbered() throws {
        // Flow state, handshake state, version, server, present (version, flow, hand, request), request, parent; names.
        let body: [UInt32] =
            [4, 1, 0x0303, 1, 1 << 0 | 1 << 2 | 1 << 3 | 1 << 16, 19, 77, 0] + [0x6162, 0, 0, 0, 0x63, 0, 0, 0]
        let event = try #require(upgraded(TLSWATCH_CALL_ENTER, body, as: tlswatch_call_enter.self))
        #expect(Int(event.header.size) == MemoryLayout<tlswatch_call_enter>.size)
        #expect(event.values[.flowState] == 4)
        #expect(event.values[.handState] == 1)
        #expect(event.values[.version] == 0x0303)
        #expect(event.values[.requestState] == 19)
        #expect(event.values[.want] == nil)
        #expect(event.server == 1)
        #expect(event.parent_pid == 77)
        #expect(event.comm.0 == 0x62)
        #expect(event.thread.0 == 0x63)
    }

    @Test("A return of version 3 has its facts under the numbers of now")
    func aReturnOfVersionThreeIsRenumbered() throws {
        // Entry, input, first send, idle time; result, I/O, present, steps and texts, idle calls; twenty scalars.
        let scalars: [UInt32] = [0x0304, 1, 4, 1, 0, 0x0300_1301] + (6..<20).map { UInt32($0) }
        let body: [UInt32] = [90, 0, 95, 0, 0, 0, 0, 0, 1, 5, 0xf_ffff, 0, 0, 0] + scalars
        let event = try #require(upgraded(TLSWATCH_CALL_RETURN, body, as: tlswatch_call_return.self))
        #expect(Int(event.header.size) == MemoryLayout<tlswatch_call_return>.size)
        #expect(event.enter_ns == 90)
        #expect(event.present.nonzeroBitCount == 20)
        // By their numbers: state, detail, role, version, …, the cipher eleventh, the result of verification twentieth.
        let found = event.scalar
        #expect([found.0, found.1, found.2, found.3] == [4, 1, 1, 0x0304])
        #expect(found.11 == 0x0300_1301)
        #expect(found.20 == 19)
        #expect(found.21 == 0)
    }

    @Test("A return of version 4 has no parts of time: they are not known, and neither is what TCP tells")
    func aReturnOfVersionFourKnowsNoParts() throws {
        // Entry, input, first send, idle time; result, I/O, present, steps and texts, idle calls; 24 scalars.
        let body: [UInt32] = [90, 0, 95, 0, 0, 0, 11, 0, 1, 5, 0xff_ffff, 0, 0, 2] + (0..<24).map { $0 + 100 }
        let event = try #require(upgraded(TLSWATCH_CALL_RETURN, body, as: tlswatch_call_return.self, from: 4))
        #expect(Int(event.header.size) == MemoryLayout<tlswatch_call_return>.size)
        #expect((event.enter_ns, event.idle_ns) == (90, 11))
        #expect([event.off_cpu_ns, event.run_delay_ns, event.unread_ns] == [.max, .max, .max])
        #expect(event.arrived_ns == 0)
        #expect((event.result, event.io_result, event.present) == (1, 5, 0xff_ffff))
        #expect(event.idle_calls == 2)
        #expect(event.rtt_us == 0)
        #expect(event.retransmits == .max)
        #expect((event.scalar.0, event.scalar.23) == (100, 123))
    }

    @Test("A socket of version 4 knows no retransmissions")
    func aSocketOfVersionFourKnowsNoRetransmissions() throws {
        // Number, connecting, established; family and protocol, ports; two addresses; direction and proof; an unused word.
        let body: [UInt32] =
            [9, 0, 100, 0, 120, 0, 2 | 6 << 16, 443 | 50_000 << 16] + [UInt32](1...8) + [1 | 2 << 16, 0]
        let event = try #require(upgraded(TLSWATCH_SOCKET, body, as: tlswatch_socket.self, from: 4))
        #expect((event.number, event.connecting_ns, event.established_ns) == (9, 100, 120))
        #expect((event.local_port, event.remote_port) == (443, 50_000))
        #expect((event.direction, event.proof) == (1, 2))
        #expect(event.retransmits == .max)
    }

    @Test("A return of version 4 may have ten steps, more than one has now")
    func tenStepsOfVersionFour() {
        let steps = (UInt32(0)..<10).flatMap { index -> [UInt32] in [index, 0, 0, 0, 0, 0, 0, 2] }
        let body: [UInt32] =
            [90, 0, 95, 0, 0, 0, 0, 0, 1, 5, 1, 10, 0, 0] + [UInt32](repeating: 0, count: 24) + steps
        let record = upgraded(TLSWATCH_CALL_RETURN, body, from: 4)
        guard let event = unsafe CallReturn(record.span.bytes) else {
            Issue.record("it is malformed")
            return
        }
        let (count, last) = (event.fixed.steps, event.step(9).time_ns)
        #expect(count == 10)
        #expect(last == 9)
    }
}

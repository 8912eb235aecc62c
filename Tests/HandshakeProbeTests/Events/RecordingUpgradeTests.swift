import CBPF
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
        for version in [1, 4] {
            let bytes = Array(text.replacing("\"wireVersion\":2", with: "\"wireVersion\":\(version)").utf8)
            let error = #expect(throws: RecordingError.self) { try RecordingReader(bytes: bytes, name: "other") }
            #expect(error?.description.contains("wire version \(version)") == true)
            #expect(error?.description.contains("2 to \(TLSWATCH_WIRE_VERSION)") == true)
        }
    }
}

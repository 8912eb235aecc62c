import CEvents
import Foundation
import TestSupport
import Testing

@testable import HandshakeProbe

extension KernelTests {
    @Suite("Recordings") struct RecordingTests {
        @Test("A recording replays without privilege to the rows that were captured live")
        func recordAndReplay() throws {
            let certificates = try TestCertificates()
            let nginx = try Nginx(certificates)
            let directory = try TemporaryDirectory()
            let recording = directory.file("stream.bin")
            let capture = try Capture(["--record", recording])
            _ = try Curl.get(count: 8, port: nginx.port, authority: certificates.authority, ["--http2"])
            _ = try Curl.get(port: nginx.port, authority: nil)
            try capture.await(18, where: belongs(toPort: nginx.port))
            let live = try capture.stop()
            #expect(live.filter(belongs(toPort: nginx.port)).count == 18)
            // A recording of everybody's peers may well be for its owner only; here it is handed on.
            try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: recording)
            let replay = try Tlswatch.runUnprivileged(["replay", recording, "--format", "json"])
            #expect(replay.status == .exited(0), "\(replay.errors)")
            let rows = try SessionRow.parse(replay.output.split(separator: "\n").map(String.init))
            #expect(rows.count == live.count)
            // The executable is read from /proc while the process lives: a replay cannot.
            #expect(rows.map(Self.comparable) == live.map(Self.comparable))

            // A disk that was full, a machine that went down: what stands before the cut is told, and the cut.
            let whole = try Data(contentsOf: URL(fileURLWithPath: recording))
            let cut = directory.file("cut.bin")
            try whole.dropLast(whole.count / 4).write(to: URL(fileURLWithPath: cut))
            let half = try Tlswatch.run(["replay", cut, "--format", "json"])
            #expect(half.status == .exited(65), "\(half.errors)")
            #expect(half.errors.contains("cut or garbled at byte"), "\(half.errors)")
            let told = try SessionRow.parse(half.output.split(separator: "\n").map(String.init)).map(Self.comparable)
            #expect(told.count > 4)
            #expect(told.count < rows.count)
            // All but those that were in flight at the cut, which end there.
            let completed = told.filter(\.isCompleted)
            #expect(completed == rows.map(Self.comparable).filter { completed.contains($0) })
        }

        @Test("A recording numbers its sockets, and holds no address of the kernel")
        func socketsAreNumbered() throws {
            let certificates = try TestCertificates()
            let nginx = try Nginx(certificates)
            let directory = try TemporaryDirectory()
            let path = directory.file("stream.bin")
            let capture = try Capture(["--record", path])
            _ = try Curl.get(count: 5, port: nginx.port, authority: certificates.authority)
            try capture.await(10, where: belongs(toPort: nginx.port))
            _ = try capture.stop()
            var reader = try RecordingReader(path: path)
            var numbers: Set<UInt64> = []
            while let frame = try reader.next() {
                guard case .record(let range) = frame else { continue }
                unsafe reader.withRecord(range) { record in
                    guard record.count == MemoryLayout<tlswatch_socket>.size else { return }
                    let socket = unsafe record.loadUnaligned(as: tlswatch_socket.self)
                    if UInt32(socket.header.kind) == TLSWATCH_SOCKET.rawValue { numbers.insert(socket.number) }
                }
            }
            // Both ends of five connections at least; counted up, where an address would have its upper half set.
            #expect(numbers.count >= 10)
            #expect(numbers.allSatisfy { (1..<1 << 32).contains($0) })
        }

        private static func comparable(_ row: SessionRow) -> SessionRow {
            var row = row
            row.exe = nil
            return row
        }

        @Test("A file that is no recording, and half of one, are bad input files")
        func badFiles() throws {
            let directory = try TemporaryDirectory()
            let text = try directory.write("this is not a recording\n", to: "text")
            #expect(try Tlswatch.run(["replay", text]).status == .exited(65))
            let empty = try directory.write("", to: "empty")
            #expect(try Tlswatch.run(["replay", empty]).status == .exited(65))
            let missing = try Tlswatch.run(["replay", directory.file("missing")])
            #expect(missing.status == .exited(65) || missing.status == .exited(64))
            #expect(missing.errors.contains("missing"))
        }
    }
}

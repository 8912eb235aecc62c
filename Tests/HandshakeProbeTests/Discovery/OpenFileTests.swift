import Foundation
import TestSupport
import Testing

@testable import HandshakeProbe
@testable import Kernel

@Suite("Whether an open file has changed") struct OpenFileTests {
    @Test("A file is unchanged until somebody writes it, once what was written before is old enough to tell")
    func aFileIsUnchangedUntilItIsWritten() throws {
        let directory = try TemporaryDirectory()
        let path = try directory.write("content", to: "library")
        var isWritten = false
        let deadline = ContinuousClock.now.advanced(by: .seconds(10))
        while !isWritten, ContinuousClock.now < deadline {
            guard let file = OpenFile(path), !file.isFresh else { continue }
            let isUnchanged = file.isUnchanged
            #expect(isUnchanged)
            let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
            try handle.write(contentsOf: Data("CONTENT".utf8))
            try handle.close()
            isWritten = true
            let isStillUnchanged = file.isUnchanged
            #expect(!isStillUnchanged, "as many bytes, other ones")
        }
        #expect(isWritten)
    }
}

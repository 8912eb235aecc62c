import Foundation
import Testing
import Handshakes
import TestSupport
import Wire

/// A handshake between real programs, as capture.py has kept it.
enum Capture {
    static func named(_ name: String) throws -> [Segment] {
        let url = try #require(Bundle.module.url(forResource: "Fixtures", withExtension: nil))
            .appending(path: "\(name).segments")
        return try String(contentsOf: url, encoding: .utf8).split(separator: "\n").map { line in
            let parts = line.split(separator: " ")
            guard parts.count == 3, let sequence = UInt32(parts[1]) else { throw HarnessError("line \(line)") }
            return Segment(
                side: parts[0] == "C" ? .client : .server, sequence: sequence, payload: bytes(String(parts[2])))
        }
    }
}

/// Hexadecimal digits, with whatever spaces between them.
func bytes(_ text: String) -> [UInt8] {
    let digits = text.filter { !$0.isWhitespace }.map { UInt8($0.hexDigitValue ?? 0) }
    return stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

/// Feeds segments to a flow until it ends; the TCP connection ends after them.
struct Seen {
    var flow: WireFlow
    var end: WireEnd
    var facts: WireFacts { flow.facts(of: end) }

    init(_ segments: [Segment], role: Role, close: WireClose? = nil) {
        var framer = Framer()
        var flow = WireFlow(role: role, start: 0)
        var time: UInt64 = 0
        for segment in segments {
            let framed = framer.frame(segment)
            time = framed.time
            if let end = flow.take(framed) {
                (self.flow, self.end) = (flow, end)
                return
            }
        }
        end = flow.close(close ?? .finished(.client), at: time + 1000)
        self.flow = flow
    }
}

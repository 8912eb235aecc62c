import Foundation
import Synchronization

/// Reads a pipe to its end on a thread of its own, so that no child ever blocks on a full one.
package final class StreamCollector: Sendable {
    private struct State {
        var bytes: [UInt8] = []
        var ended = false
    }

    /// A child that never stops writing must not take the machine's memory.
    private static let limit = 64 << 20

    private let state = Mutex(State())

    /// Takes the descriptor over. `closesAfterFirstLine` makes the reader go away early, as `head -1` does.
    package init(descriptor: Int32, closesAfterFirstLine: Bool) {
        Thread.detachNewThread { [self] in
            var buffer = [UInt8](repeating: 0, count: 1 << 16)
            while true {
                let count = unsafe buffer.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress, $0.count) }
                if count < 0, errno == EINTR { continue }
                if count <= 0 { break }
                let full = state.withLock { state in
                    state.bytes.append(contentsOf: buffer[..<count])
                    return state.bytes.count > Self.limit
                        || (closesAfterFirstLine && state.bytes.contains(UInt8(ascii: "\n")))
                }
                if full { break }
            }
            close(descriptor)
            state.withLock { $0.ended = true }
        }
    }

    package var hasEnded: Bool { state.withLock { $0.ended } }

    package var text: String { String(decoding: state.withLock { $0.bytes }, as: UTF8.self) }

    /// Whole lines only: the last one counts once it is ended by a newline.
    package var lines: [String] {
        var pieces = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        if !pieces.isEmpty { pieces.removeLast() }
        return pieces
    }
}

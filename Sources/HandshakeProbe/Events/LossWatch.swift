import CEvents
import Kernel

/// A span of monotonic time in which records were lost.
package struct LossSpan: Codable, Sendable, Equatable {
    package var from: UInt64
    package var to: UInt64
}

/// Notices lost records while the stream is read: what was in flight meanwhile is not to be trusted.
///
/// The kernel's count is read often, without a system call. A loss is known to lie between the last look that
/// saw the old count and the time that the kernel noted.
struct LossWatch {
    private let read: () -> tlswatch_losses
    private let now: () -> UInt64
    private var seen: UInt64 = 0
    private var looked: UInt64 = 0
    private var records = 0
    /// Looks once for so many records.
    private static let stride = 32

    init(now: @escaping () -> UInt64 = monotonicNow, read: @escaping () -> tlswatch_losses) {
        self.read = read
        self.now = now
        looked = now()
        seen = read().count
    }

    /// Before a record is taken: the span of a loss not told before.
    mutating func beforeRecord() -> LossSpan? {
        records += 1
        return records % Self.stride == 1 ? look() : nil
    }

    /// At the beginning of a pass over the ring.
    mutating func look() -> LossSpan? {
        let time = now()
        defer { looked = time }
        let losses = read()
        guard losses.count != seen else { return nil }
        seen = losses.count
        return LossSpan(from: looked, to: max(losses.last_ns, looked))
    }
}

/// The last spans of losses. Bounded: the two oldest become one.
struct LossSpans {
    private var spans: [LossSpan] = []
    private static let limit = 64

    mutating func add(_ span: LossSpan) {
        spans.append(span)
        if spans.count > Self.limit {
            spans[1].from = min(spans[0].from, spans[1].from)
            spans[1].to = max(spans[0].to, spans[1].to)
            spans.removeFirst()
        }
    }

    func overlap(_ from: UInt64, _ to: UInt64) -> Bool {
        spans.contains { $0.from <= to && $0.to >= from }
    }
}

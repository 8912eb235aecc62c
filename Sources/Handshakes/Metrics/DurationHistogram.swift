/// A cumulative histogram of durations: the same cells as the windows', told as a classic and as a native histogram.
///
/// Its storage grows with the cells in use, at most some thousand of ten bytes, and is shared with snapshots.
package struct DurationHistogram: Sendable {
    package let bounds: DurationBounds.Name
    /// By classic bucket, not cumulative; the last is for what is above every bound.
    package private(set) var buckets = InlineArray<18, UInt64>(repeating: 0)
    package private(set) var count: UInt64 = 0
    /// Nanoseconds.
    package private(set) var sum: UInt64 = 0
    /// The cells in use, ascending, and what each has counted.
    package private(set) var cells: [UInt16] = []
    private(set) var cellCounts: [UInt64] = []
    /// The newest session of each classic bucket; empty unless exemplars are kept.
    package private(set) var exemplars: [Exemplar?] = []

    package init(_ bounds: DurationBounds.Name = .handshake) {
        self.bounds = bounds
    }

    /// Counts a duration, and keeps `exemplar`, if there is one, for its bucket.
    package mutating func observe(_ nanoseconds: UInt64, exemplar: Exemplar? = nil) {
        let scale = DurationScale.shared
        let cell = scale.cell(of: nanoseconds)
        let bucket = Int(bounds == .handshake ? scale.handshakeBuckets[cell] : scale.phaseBuckets[cell])
        buckets[bucket] &+= 1
        count &+= 1
        sum &+= nanoseconds
        add(UInt16(truncatingIfNeeded: cell))
        guard let exemplar else { return }
        if exemplars.isEmpty { exemplars = [Exemplar?](repeating: nil, count: DurationBounds.count + 1) }
        exemplars[bucket] = exemplar
    }

    private mutating func add(_ cell: UInt16) {
        var low = 0
        var high = cells.count
        while low < high {
            let middle = (low + high) / 2
            if cells[middle] < cell { low = middle + 1 } else { high = middle }
        }
        if low < cells.count, cells[low] == cell {
            cellCounts[low] &+= 1
        } else {
            cells.insert(cell, at: low)
            cellCounts.insert(1, at: low)
        }
    }
}

/// A session that stands for a bucket (OpenMetrics 1.0.0, "Exemplars").
package struct Exemplar: Sendable, Equatable {
    package var pid: UInt32
    /// What its duration is due to; `nil` where that is not known.
    package var cause: HandshakeCause?
    /// The server name, cut so that the labels stay within OpenMetrics's 128 characters; `nil` where there is none.
    package var sni: String?
    /// Nanoseconds.
    package var duration: UInt64
    /// Nanoseconds since 1970.
    package var time: Int64

    /// OpenMetrics: "the combined length of the label names and values MUST NOT exceed 128 UTF-8 character code points".
    static let textLimit = 128

    package init(of handshake: Handshake) {
        self.init(
            pid: handshake.pid, cause: handshake.cause, sni: handshake.sni, duration: handshake.duration,
            time: handshake.wallTime(of: handshake.end))
    }

    package init(pid: UInt32, cause: HandshakeCause? = nil, sni: String?, duration: UInt64, time: Int64) {
        self.pid = pid
        self.cause = cause
        let rest =
            Self.textLimit - "pid".count - "sni".count - String(pid).count
            - (cause.map { "cause".count + $0.rawValue.count } ?? 0)
        self.sni = sni.map { sni in
            var text = String.UnicodeScalarView()
            // Some readers of exemplars, unlike those of labels, know no escapes.
            for scalar in Label.safe(sni).unicodeScalars.prefix(rest) {
                text.append(["\"", "\\", "\n"].contains(scalar) ? "\u{FFFD}" : scalar)
            }
            return String(text)
        }
        self.duration = duration
        self.time = time
    }

    /// Names and values as they are told.
    package var labels: [(name: String, value: String)] {
        [("pid", String(pid))] + (cause.map { [("cause", $0.rawValue)] } ?? []) + (sni.map { [("sni", $0)] } ?? [])
    }
}

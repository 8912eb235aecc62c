import Handshakes

/// Sessions as slices on a time axis: a JSON array of the Trace Event Format, for ui.perfetto.dev and chrome://tracing. Each
/// event is written as soon as its session has ended.
///
/// A process is a track. The slices of one of its lanes (threads, to the viewers) lie inside each other or do not touch:
/// sessions that overlap are in different ones.
struct TraceFormat {
    /// When each lane of a process is free again, monotonic nanoseconds.
    private struct Process {
        var name: String
        var lanes: [UInt64] = []
    }

    private struct Slice {
        var name: String
        var begin: UInt64
        var end: UInt64

        init(name: String, begin: UInt64, end: UInt64) {
            self.name = name
            self.begin = begin
            self.end = end
        }

        init(_ interval: HandshakeInterval) {
            self.init(name: interval.part.rawValue, begin: interval.begin, end: interval.end)
        }
    }

    private var processes: [UInt32: Process] = [:]
    private var isEmpty = true

    /// Before the first event.
    static let head = "["

    /// Behind the last one.
    var tail: String { isEmpty ? "]\n" : "\n]\n" }

    /// Appends a session: its slice, which has every field, with those of its parts.
    mutating func append(_ handshake: Handshake, to output: inout [UInt8]) {
        name(handshake, to: &output)
        let parts = handshake.innerIntervals.map(Slice.init)
        let own = Slice(name: Self.title(handshake), begin: handshake.start, end: handshake.end)
        var first = own.begin
        // A connection is mostly made before its handshake begins.
        let connect = handshake.connectInterval.map(Slice.init)
        if let connect, connect.end <= own.begin { first = connect.begin }
        let lane = lane(of: handshake.pid, from: first, to: own.end, &output)
        if let connect, connect.end <= own.begin { write(connect, handshake.pid, lane, to: &output) }
        write(own, handshake.pid, lane, of: handshake, to: &output)
        if let connect, connect.end > own.begin {
            // Where the handshake began first, its part; where they overlap, beside it.
            let isInside =
                connect.begin >= own.begin && connect.end <= own.end
                && parts.allSatisfy { part in
                    connect.end <= part.begin || part.end <= connect.begin
                }
            let place = isInside ? lane : self.lane(of: handshake.pid, from: connect.begin, to: connect.end, &output)
            write(connect, handshake.pid, place, to: &output)
        }
        for part in parts { write(part, handshake.pid, lane, to: &output) }
    }

    private static func title(_ handshake: Handshake) -> String {
        let peer = handshake.sni ?? handshake.remote
        let words = [handshake.role.rawValue, peer, handshake.outcome == .completed ? nil : handshake.outcome.rawValue]
        return words.compactMap { $0 }.joined(separator: " ")
    }

    // MARK: lanes

    /// How many lanes a process has so far.
    func lanes(of pid: UInt32) -> Int { processes[pid]?.lanes.count ?? 0 }

    /// The first lane that is free, which is taken. What is given here ends later than what was given before, or nearly so:
    /// an earlier gap in a lane is not looked for.
    private mutating func lane(
        of pid: UInt32, from begin: UInt64, to end: UInt64, _ output: inout [UInt8]
    ) -> Int {
        var lanes = processes[pid]?.lanes ?? []
        processes[pid]?.lanes = []
        let lane = lanes.firstIndex { $0 <= begin } ?? lanes.count
        if lane == lanes.count {
            lanes.append(end)
            metadata("thread_name", pid, lane, "handshakes \(lane + 1)", to: &output)
        } else {
            lanes[lane] = end
        }
        processes[pid]?.lanes = lanes
        return lane
    }

    /// Says how a process is called, at its first session and when that has changed.
    private mutating func name(_ handshake: Handshake, to output: inout [UInt8]) {
        let name = handshake.pid == 0 ? "unknown process" : handshake.comm
        guard processes[handshake.pid]?.name != name else { return }
        processes[handshake.pid, default: Process(name: name)].name = name
        metadata("process_name", handshake.pid, nil, name, to: &output)
    }

    // MARK: events

    private mutating func metadata(
        _ kind: String, _ pid: UInt32, _ lane: Int?, _ name: String, to output: inout [UInt8]
    ) {
        begin(kind, "M", pid, lane, to: &output)
        output += ",\"args\":{\"name\":".utf8
        JSONText.append(name, to: &output)
        output += "}}".utf8
    }

    private mutating func write(
        _ slice: Slice, _ pid: UInt32, _ lane: Int, of handshake: Handshake? = nil, to output: inout [UInt8]
    ) {
        begin(slice.name, "X", pid, lane, to: &output)
        output += ",\"cat\":\"".utf8
        output += (handshake == nil ? "part" : "session").utf8
        output += "\",\"ts\":".utf8
        Self.append(microseconds: slice.begin, to: &output)
        output += ",\"dur\":".utf8
        Self.append(microseconds: slice.end - slice.begin, to: &output)
        if let handshake {
            output += ",\"args\":".utf8
            JSONLine.append(handshake, to: &output)
            output.removeLast()
        }
        output.append(UInt8(ascii: "}"))
    }

    private mutating func begin(
        _ name: String, _ phase: String, _ pid: UInt32, _ lane: Int?, to output: inout [UInt8]
    ) {
        output += (isEmpty ? "\n" : ",\n").utf8
        isEmpty = false
        output += "{\"name\":".utf8
        JSONText.append(name, to: &output)
        output += ",\"ph\":\"\(phase)\",\"pid\":\(pid)".utf8
        if let lane { output += ",\"tid\":\(lane + 1)".utf8 }
    }

    /// The format's unit, to the nanosecond.
    private static func append(microseconds nanoseconds: UInt64, to output: inout [UInt8]) {
        let (whole, rest) = nanoseconds.quotientAndRemainder(dividingBy: 1_000)
        output += "\(whole)".utf8
        guard rest > 0 else { return }
        output += ".\(rest / 100)\(rest / 10 % 10)\(rest % 10)".utf8
    }
}

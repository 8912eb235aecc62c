import CEvents
import Handshakes
import Wire

/// Handshakes that packets show, beside those of libraries: each is counted once. Owned by the thread that drains the ring;
/// bounded.
///
/// One on a socket that a library's session has used is the library's. One of a process in which a library has handshakes whose
/// sockets are not known (a program that carries the bytes itself) may be one of these: it is counted as unmatched and is no
/// session. The others are sessions of their own.
struct WireTable {
    /// The stack of its sessions.
    static let stack = "wire"
    /// Connections in the table at most; past it a new one is left out.
    private static let capacity = 16384
    /// How long an ended one waits for the claim of a library that may have been late: a server whose library is entered when
    /// the connection is accepted.
    private static let claimWait: UInt64 = 2_000_000_000
    /// A claim is told by the record of a call, which may overtake a packet's by so much.
    private static let slack: UInt64 = 5_000_000
    private static let claimLimit = 16384
    private static let processLimit = 16384
    private static let spanLimit = 64

    /// What became of the handshakes that were seen, cumulative. The raw value is the metric's `state` label.
    enum State: String, CaseIterable {
        /// A session of its own.
        case own
        /// A library's session has its socket.
        case merged
        /// Of a process with library sessions whose sockets are not known: perhaps one of these.
        case unmatched
        /// The table was full, or the connection is not known.
        case untracked
    }

    /// Whether packets are looked at, or a recording may hold some.
    let isEnabled: Bool
    /// Whether only sessions of known processes are told: others are filtered out.
    let requiresOwner: Bool
    private(set) var counts: [State: UInt64] = [:]
    /// Sessions of its own that have ended.
    private(set) var ended: [Role: UInt64] = [:]
    private var connections: [UInt64: WireConnection] = [:]
    private var held: [WireConnection] = []
    private var finished: [Handshake] = []
    private var claims: [SocketPair: (pid: UInt32, time: UInt64)] = [:]
    /// Of processes in which a library is observed: the last handshakes whose sockets are not known.
    private var libraries: [UInt32: [ClosedRange<UInt64>]] = [:]
    private var losses = LossSpans()

    init(isEnabled: Bool, requiresOwner: Bool = false) {
        self.isEnabled = isEnabled
        self.requiresOwner = requiresOwner
    }

    var inFlight: Int { connections.count }

    // MARK: what it is fed

    /// A segment's record; the process whose name is to be read, where one became known.
    mutating func take(_ event: borrowing WireEvent) -> (pid: UInt32, start: UInt64)? {
        let number = event.fixed.header.object
        var connection: WireConnection
        if event.has(TLSWATCH_WIRE_BEGINS) {
            guard connections[number] != nil || connections.count < Self.capacity else {
                counts[.untracked, default: 0] &+= 1
                return nil
            }
            connection = WireConnection(event)
        } else {
            // Its beginning was lost, or it has ended.
            guard let known = connections.removeValue(forKey: number) else { return nil }
            connection = known
        }
        let isNewOwner = connection.take(event)
        var owner: (pid: UInt32, start: UInt64)?
        if isNewOwner { owner = (pid: connection.pid, start: connection.processStart) }
        if connection.end == nil {
            connections[number] = connection
        } else {
            connections[number] = nil
            hold(connection)
        }
        return owner
    }

    /// A library's session has used this socket.
    mutating func claim(_ event: tlswatch_socket) {
        guard isEnabled, let pair = SocketPair(event) else { return }
        if claims.count >= Self.claimLimit { claims.removeAll(keepingCapacity: true) }
        claims[pair] = (event.header.pid, event.header.time_ns)
    }

    /// A library's call was entered in this process.
    mutating func noteLibrary(in pid: UInt32) {
        guard isEnabled, libraries[pid] == nil else { return }
        if libraries.count >= Self.processLimit { libraries.removeAll(keepingCapacity: true) }
        libraries[pid] = []
    }

    /// A library's session has ended.
    mutating func note(_ handshake: Handshake) {
        guard isEnabled, handshake.socketConfidence == .unknown, handshake.transport == nil else { return }
        var spans = libraries[handshake.pid] ?? []
        if spans.count >= Self.spanLimit { spans.removeFirst(spans.count - Self.spanLimit + 1) }
        spans.append(handshake.start...max(handshake.start, handshake.end))
        libraries[handshake.pid] = spans
    }

    mutating func note(loss: LossSpan) { if isEnabled { losses.add(loss) } }

    // MARK: ends

    /// Ends what time ends.
    mutating func expire(now: UInt64, timeout: UInt64) { holdEnded { $0.expire(now: now, timeout: timeout) } }

    private mutating func holdEnded(after change: (inout WireConnection) -> Void) {
        for number in Array(connections.keys) {
            guard var connection = connections.removeValue(forKey: number) else { continue }
            change(&connection)
            if connection.end == nil { connections[number] = connection } else { hold(connection) }
        }
    }

    /// Whether some have ended whose owner is not decided.
    var holdsSome: Bool { !held.isEmpty }

    /// Decides whose they are that have ended, and hands over the sessions that are its own.
    ///
    /// - Parameter hasSocketless: whether a library's session in flight in this process has no socket that is known.
    mutating func takeFinished(
        now: UInt64, wallClockOffset: Int64, processes: ProcessNames, hasSocketless: (UInt32) -> Bool
    ) -> [Handshake] {
        var waiting: [WireConnection] = []
        for connection in held {
            if isClaimed(connection) {
                counts[.merged, default: 0] &+= 1
            } else if connection.heldUntil > now {
                waiting.append(connection)
            } else {
                release(connection, wallClockOffset, processes, hasSocketless)
            }
        }
        held = waiting
        defer { finished.removeAll(keepingCapacity: true) }
        return finished
    }

    /// At the end of the stream: nothing more is waited for.
    mutating func settle(now: UInt64) {
        holdEnded { $0.settle(now: now) }
        for index in held.indices { held[index].heldUntil = 0 }
    }

    private mutating func hold(_ connection: WireConnection) {
        guard let end = connection.end else { return }
        // Shown with a listener's socket, and with no other: the connection did not come about.
        guard connection.pair != nil else {
            counts[.untracked, default: 0] &+= 1
            return
        }
        var connection = connection
        if losses.overlap(connection.flow.start, end.time) { connection.loseTrack() }
        // A process without a library that is observed claims nothing.
        let mayBeClaimed = connection.pid == 0 || libraries[connection.pid] != nil
        connection.heldUntil = mayBeClaimed ? max(end.time, connection.flow.lastActivity) &+ Self.claimWait : 0
        if held.count >= Self.capacity { held[held.count - Self.capacity].heldUntil = 0 }
        held.append(connection)
    }

    private func isClaimed(_ connection: WireConnection) -> Bool {
        guard let pair = connection.pair, let claim = claims[pair], claim.time &+ Self.slack >= connection.flow.start
        else { return false }
        return connection.pid == 0 || claim.pid == connection.pid
    }

    private mutating func release(
        _ connection: WireConnection, _ wallClockOffset: Int64, _ processes: ProcessNames,
        _ hasSocketless: (UInt32) -> Bool
    ) {
        guard connection.pid != 0 || !requiresOwner else { return }
        let start = connection.flow.start
        let spans = libraries[connection.pid] ?? []
        let end = connection.end?.time ?? start
        let mayBeTold = spans.contains {
            $0.upperBound &+ Self.slack >= start && $0.lowerBound <= end &+ Self.slack
        }
        if mayBeTold || libraries[connection.pid] != nil && hasSocketless(connection.pid) {
            counts[.unmatched, default: 0] &+= 1
            return
        }
        let names = processes.names(pid: connection.pid, start: connection.processStart)
        guard let handshake = connection.handshake(wallClockOffset: wallClockOffset, process: names) else { return }
        counts[.own, default: 0] &+= 1
        ended[handshake.role, default: 0] &+= 1
        finished.append(handshake)
    }
}

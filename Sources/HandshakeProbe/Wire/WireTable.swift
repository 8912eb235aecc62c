import CEvents
import Handshakes
import Wire

/// Handshakes that packets show, beside those of libraries: each is counted once. Owned by the thread that drains the ring;
/// bounded.
///
/// One on a socket that a library's session has used, or with its ClientHello's random, is the library's, and gives that session
/// what it lacks. One of a process in which a library has handshakes of which neither is known may be one of these: it is counted
/// as unmatched and is no session. The others are sessions of their own.
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
    /// How long a ClientHello on a listener's socket waits for the connection that it may begin.
    private static let listenerWait: UInt64 = 3_000_000_000
    private static let claimLimit = 32768
    private static let processLimit = 16384

    /// What became of the handshakes that were seen, cumulative. The raw value is the metric's `state` label.
    enum State: String, CaseIterable {
        /// A session of its own.
        case own
        /// A library's session is the same handshake.
        case merged
        /// Of a process with library sessions of which neither socket nor random is known: perhaps one of these.
        case unmatched
        /// The table was full, or no connection came of it.
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
    private var held = HeldConnections(capacity: Self.capacity)
    private var index = WireIndex()
    private var quic = QUICConnections()
    /// Profiles of which a random has agreed with packets: only of these does another one tell another handshake.
    private var trusted: Set<UInt16> = []
    private var finished: [Handshake] = []
    private var claims = RecentMap<SocketPair, (pid: UInt32, time: UInt64)>(limit: Self.claimLimit)
    /// Of processes in which a library is observed: the last handshakes whose sockets are not known.
    private var libraries = RecentMap<UInt32, SocketlessSessions>(limit: Self.processLimit)
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
            if let other = connections.removeValue(forKey: number) { unindex(other, number) }
            connection = WireConnection(event)
        } else {
            // Its beginning was lost, or it has ended.
            guard let known = connections.removeValue(forKey: number) else { return nil }
            connection = known
        }
        let isNewOwner = connection.take(event)
        return keep(&connection, number, isNewOwner)
    }

    /// A datagram's record.
    mutating func take(_ event: borrowing DatagramEvent) -> (pid: UInt32, start: UInt64)? {
        let found = quic.place(event, mayBegin: connections.count < Self.capacity)
        if quic.leftOut > 0 { counts[.untracked, default: 0] &+= quic.takeLeftOut() }
        if event.has(TLSWATCH_WIRE_GAP) { loseTrack(between: event) }
        guard let place = found else { return nil }
        var connection: WireConnection
        if place.begins {
            connection = WireConnection(event, role: place.role)
        } else {
            guard let known = connections.removeValue(forKey: place.number) else { return nil }
            connection = known
        }
        let isNewOwner = connection.take(event, from: place.side)
        return keep(&connection, place.number, isNewOwner)
    }

    /// Puts back a connection that has followed a record; its owner, where that became known.
    private mutating func keep(
        _ connection: inout WireConnection, _ number: UInt64, _ isNewOwner: Bool
    ) -> (pid: UInt32, start: UInt64)? {
        if connection.indexed == nil, connection.pair != nil, let random = connection.random {
            index.add(number, random: random, pair: connection.pair)
            connection.indexed = random
        }
        if connection.end == nil {
            connections[number] = connection
        } else {
            connections[number] = nil
            hold(connection, number)
        }
        return isNewOwner ? (pid: connection.pid, start: connection.processStart) : nil
    }

    /// A process has ended, or runs another program.
    mutating func endProcess(_ header: tlswatch_header) {
        guard !quic.isEmpty else { return }
        endEach { connection in
            guard connection.isQUIC, connection.pid == header.pid, connection.processStart == header.process_start_ns
            else { return }
            connection.endProcess(at: header.time_ns)
        }
    }

    /// Datagrams before this one were left out, and of those whose they were nobody knows.
    private mutating func loseTrack(between event: borrowing DatagramEvent) {
        for number in quic.between(event) {
            guard var connection = connections.removeValue(forKey: number) else { continue }
            connection.loseTrack(at: event.fixed.header.time_ns)
            hold(connection, number)
        }
    }

    /// A library's session has used this socket.
    mutating func claim(_ event: tlswatch_socket) {
        guard let pair = SocketPair(event) else { return }
        claims.set((event.header.pid, event.header.time_ns), for: pair)
    }

    /// A library's call was entered in this process.
    mutating func noteLibrary(in pid: UInt32) {
        guard !libraries.isFresh(pid) else { return }
        libraries.update(pid, default: SocketlessSessions()) { _ in }
    }

    /// Another library has this profile from now on.
    mutating func forget(profile: UInt16) { trusted.remove(profile) }

    /// A library's session has ended: the connection that it was, if packets show it, gives what it lacks.
    mutating func merge(into handshake: inout Handshake, _ trace: SessionTrace) {
        let byRandom = trace.random.flatMap { number(of: $0, handshake) }
        if byRandom != nil { trusted.insert(trace.profile) }
        let bySocket = trace.socket.flatMap { index[$0] }.flatMap { isAnother($0, than: trace) ? nil : $0 }
        if let number = byRandom ?? bySocket {
            merge(number, into: &handshake, isCertain: byRandom != nil)
        } else if handshake.socketConfidence == .unknown {
            let random = trusted.contains(trace.profile) ? trace.random : nil
            libraries.update(handshake.pid, default: SocketlessSessions()) { $0.add(handshake, random: random) }
        }
    }

    /// Whether a connection began with another ClientHello than the session: it carries the session's, encrypted.
    private func isAnother(_ number: UInt64, than trace: SessionTrace) -> Bool {
        guard trusted.contains(trace.profile), let own = trace.random, let shown = connection(number)?.random else {
            return false
        }
        return own != shown
    }

    /// The connection with this random that is the session's: of its role and process, or of one that is not known, if it is
    /// the only one.
    private func number(of random: UInt64, _ handshake: Handshake) -> UInt64? {
        let candidates = index[random].filter { connection($0)?.role == handshake.role }
        if let own = candidates.first(where: { connection($0)?.pid == handshake.pid }) { return own }
        let unowned = candidates.filter { connection($0)?.pid == 0 }
        return unowned.count == 1 ? unowned.first : nil
    }

    private func connection(_ number: UInt64) -> WireConnection? {
        connections[number] ?? held[number]
    }

    private mutating func merge(_ number: UInt64, into handshake: inout Handshake, isCertain: Bool) {
        connection(number)?.lend(to: &handshake, isCertain: isCertain)
        if connections[number]?.merge() == nil { held.merge(number) }
    }

    mutating func note(loss: LossSpan) { if isEnabled { losses.add(loss) } }

    // MARK: ends

    /// Ends what time ends.
    mutating func expire(now: UInt64, timeout: UInt64) {
        endEach { connection in
            connection.expire(now: now, timeout: timeout)
            if connection.end == nil, connection.pair == nil, now > connection.lastActivity,
                now - connection.lastActivity > Self.listenerWait
            {
                connection.loseTrack(at: now)
            }
        }
    }

    /// Holds those that have ended after a change.
    private mutating func endEach(after change: (inout WireConnection) -> Void) {
        var ended: [UInt64] = []
        for index in connections.indices {
            let number = connections.keys[index]
            change(&connections.values[index])
            if connections.values[index].end != nil { ended.append(number) }
        }
        for number in ended {
            if let connection = connections.removeValue(forKey: number) { hold(connection, number) }
        }
    }

    /// Whether some have ended whose owner is not decided.
    var holdsSome: Bool { !held.isEmpty }

    typealias HasSocketless = (UInt32, Role, UInt64) -> Bool

    /// Decides whose they are that have ended, and hands over the sessions that are its own.
    ///
    /// - Parameter hasSocketless: whether a library's session in flight in this process and role, begun by this time, has no
    ///   socket that is known.
    mutating func takeFinished(
        now: UInt64, wallClockOffset: Int64, processes: ProcessNames, hasSocketless: HasSocketless
    ) -> [Handshake] {
        while let (number, connection) = held.next(now: now) {
            if connection.isMerged || isClaimed(connection) {
                counts[.merged, default: 0] &+= 1
            } else {
                release(connection, wallClockOffset, processes, hasSocketless)
            }
            unindex(connection, number)
        }
        guard !finished.isEmpty else { return [] }
        defer { finished.removeAll(keepingCapacity: true) }
        return finished
    }

    private mutating func unindex(_ connection: WireConnection, _ number: UInt64) {
        if let random = connection.indexed { index.remove(number, random: random, pair: connection.pair) }
    }

    /// At the end of the stream: nothing more is waited for.
    mutating func settle(now: UInt64) {
        endEach { connection in connection.settle() }
        held.settle()
    }

    private mutating func hold(_ connection: WireConnection, _ number: UInt64) {
        if connection.isQUIC { quic.forget(number) }
        guard let end = connection.end else { return }
        // Shown with a listener's socket, and with no other: the connection did not come about.
        guard connection.pair != nil else {
            counts[.untracked, default: 0] &+= 1
            return
        }
        var connection = connection
        if losses.overlap(connection.start, end.time) { connection.loseTrack(at: end.time) }
        // A process without a library that is observed claims nothing.
        let mayBeClaimed = connection.pid == 0 || libraries[connection.pid] != nil
        let until = max(end.time, connection.lastActivity) &+ Self.claimWait
        held.hold(connection, number, until: mayBeClaimed && !connection.isMerged ? until : nil)
    }

    private func isClaimed(_ connection: WireConnection) -> Bool {
        guard let pair = connection.pair, let claim = claims[pair], claim.time &+ Self.slack >= connection.start
        else { return false }
        return connection.pid == 0 || claim.pid == connection.pid
    }

    private mutating func release(
        _ connection: WireConnection, _ wallClockOffset: Int64, _ processes: ProcessNames,
        _ hasSocketless: HasSocketless
    ) {
        guard connection.pid != 0 || !requiresOwner else { return }
        if let known = libraries[connection.pid],
            known.mayHave(connection, slack: Self.slack)
                || hasSocketless(connection.pid, connection.role, (connection.end?.time ?? 0) &+ Self.slack)
        {
            counts[.unmatched, default: 0] &+= 1
            return
        }
        let handshake = connection.handshake(wallClockOffset: wallClockOffset) { comm in
            processes.process(pid: connection.pid, start: connection.processStart, comm: comm)
        }
        guard let handshake else { return }
        counts[.own, default: 0] &+= 1
        ended[handshake.role, default: 0] &+= 1
        finished.append(handshake)
    }
}

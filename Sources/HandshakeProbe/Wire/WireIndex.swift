import Wire
import Handshakes

/// The table's connections by what a library's session knows of its own as well. Several may have one random: a relay that
/// forwards a ClientHello has it on both of its sockets, and both ends may be on this host.
struct WireIndex {
    private var randoms: [UInt64: [UInt64]] = [:]
    private var pairs: [SocketPair: UInt64] = [:]

    mutating func add(_ number: UInt64, random: UInt64, pair: SocketPair?) {
        randoms[random, default: []].append(number)
        if let pair { pairs[pair] = number }
    }

    mutating func remove(_ number: UInt64, random: UInt64, pair: SocketPair?) {
        if var numbers = randoms.removeValue(forKey: random) {
            numbers.removeAll { $0 == number }
            if !numbers.isEmpty { randoms[random] = numbers }
        }
        if let pair, pairs[pair] == number { pairs[pair] = nil }
    }

    subscript(random: UInt64) -> [UInt64] { randoms[random] ?? [] }
    subscript(pair: SocketPair) -> UInt64? { pairs[pair] }
}

/// Handshakes of a library that packets may show too and that have no socket: of one process.
struct SocketlessSessions {
    private struct Session {
        var times: ClosedRange<UInt64>
        var role: Role
        /// Whether it is QUIC's, as far as that is known.
        var isQUIC: Bool
        var random: UInt64?
    }

    private static let limit = 64
    private var sessions: [Session] = []
    /// The oldest, whose place is the next one's once there are as many as are kept.
    private var oldest = 0

    /// - Parameter random: where that can be relied on.
    mutating func add(_ handshake: Handshake, random: UInt64?) {
        let session = Session(
            times: handshake.start...max(handshake.start, handshake.end), role: handshake.role,
            isQUIC: handshake.transport == .quic, random: random)
        guard sessions.count == Self.limit else {
            sessions.append(session)
            return
        }
        sessions[oldest] = session
        oldest = (oldest + 1) % Self.limit
    }

    /// Whether one of them may be this connection's.
    func mayHave(_ connection: WireConnection, slack: UInt64) -> Bool {
        let end = connection.end?.time ?? connection.start
        return sessions.contains { session in
            session.role == connection.role && (!session.isQUIC || connection.isQUIC)
                && session.times.upperBound &+ slack >= connection.start
                && session.times.lowerBound <= end &+ slack
                // Its ClientHello is another one.
                && (session.random == nil || connection.random == nil || session.random == connection.random)
        }
    }
}

import CEvents
import Handshakes
import Wire

/// Which connection a datagram with QUIC's long headers belongs to: many may share one socket, and one pair of addresses.
///
/// The client's own connection id is in all of them (RFC 9000 section 5.1): in the source of what it sends, in the destination of
/// what it is sent. A client that has none has one connection for each pair of addresses.
struct QUICConnections {
    private struct Key: Hashable {
        var socket: UInt64
        var pair: SocketPair
        /// This host's side.
        var role: Role
        var client: [UInt8]
    }

    /// What a client began with, as one socket had it: both ends may be on this host.
    private struct Beginning: Hashable {
        var socket: UInt64
        var id: [UInt8]
    }

    /// What a datagram is.
    struct Place {
        var number: UInt64
        var role: Role
        /// Who sent it.
        var side: WireSide
        /// The first of its connection.
        var begins = false
    }

    /// Ids of handshakes whose datagrams may still come, at least.
    private static let recentLimit = 16384
    /// No socket's cookie has this bit.
    private static let numbers: UInt64 = 1 << 62

    private var keys: [UInt64: Key] = [:]
    private var places: [Key: UInt64] = [:]
    private var last: UInt64 = 0
    /// The ids with which clients have begun: a datagram that comes late, or twice, begins none.
    private var recent = RecentMap<Beginning, Void>(limit: Self.recentLimit)

    /// Connections for which there was no room, since the last time.
    private(set) var leftOut: UInt64 = 0

    mutating func takeLeftOut() -> UInt64 {
        defer { leftOut = 0 }
        return leftOut
    }

    /// `nil` for one of no connection that was seen to begin.
    ///
    /// - Parameter mayBegin: whether there is room for another connection.
    mutating func place(_ event: borrowing DatagramEvent, mayBegin: Bool) -> Place? {
        let datagram = event.bytes
        guard let pair = SocketPair(event.fixed), let packet = QUICPacket(datagram[...]), packet.type != .short else {
            return nil
        }
        let isSent = event.has(TLSWATCH_WIRE_SENT)
        let socket = event.fixed.header.object
        let (own, other): (Role, Role) = isSent ? (.client, .server) : (.server, .client)
        let fromClient = Key(socket: socket, pair: pair, role: own, client: Array(packet.source))
        let beginning = Beginning(socket: socket, id: Array(packet.destination))
        if let number = places[fromClient] {
            // Also the id that a Retry has given it begins no other.
            if packet.type == .initial { note(beginning) }
            return Place(number: number, role: own, side: .client)
        }
        let fromServer = Key(socket: socket, pair: pair, role: other, client: Array(packet.destination))
        if let number = places[fromServer] { return Place(number: number, role: other, side: .server) }
        guard recent[beginning] == nil, QUICFlow.begins(datagram[...]) else { return nil }
        note(beginning)
        guard mayBegin else {
            leftOut &+= 1
            return nil
        }
        last += 1
        let number = Self.numbers | last
        places[fromClient] = number
        keys[number] = fromClient
        return Place(number: number, role: own, side: .client, begins: true)
    }

    private mutating func note(_ beginning: Beginning) {
        recent.set((), for: beginning)
    }

    var isEmpty: Bool { keys.isEmpty }

    /// Those between the two ends of this datagram.
    func between(_ event: borrowing DatagramEvent) -> [UInt64] {
        let socket = event.fixed.header.object
        guard let pair = SocketPair(event.fixed) else { return [] }
        return keys.filter { $0.value.socket == socket && $0.value.pair == pair }.map(\.key)
    }

    /// It has ended.
    mutating func forget(_ number: UInt64) {
        if let key = keys.removeValue(forKey: number) { places[key] = nil }
    }
}

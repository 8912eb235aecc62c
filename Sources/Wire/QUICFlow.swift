import Handshakes

/// The handshake of one QUIC connection, followed by its datagrams: what the Initial packets hold is read, whose keys are on
/// the wire; of Handshake packets only their lengths are known.
///
/// A value of bounded size; everything that it is fed was chosen by peers.
package struct QUICFlow: Sendable {
    package let role: Role
    /// Monotonic nanoseconds of the client's first datagram.
    package let start: UInt64
    package private(set) var lastActivity: UInt64
    private var keys: Keys?
    private var crypto = [CryptoStream(), CryptoStream()]
    private var clientHello: ClientHello?
    private var serverHello: ServerHello?
    private var retried = false

    package init(role: Role, start: UInt64) {
        self.role = role
        self.start = start
        lastActivity = start
    }

    /// What protects both sides' Initial packets.
    private struct Keys: Sendable {
        var version: QUICVersion
        /// That the client chose, or that a Retry gave it.
        var connectionID: [UInt8]
        var sides: [QUICInitialKeys]

        init(_ version: QUICVersion, _ connectionID: some Collection<UInt8>) {
            let id = Array(connectionID)
            self.version = version
            self.connectionID = id
            sides = [WireSide.client, .server].map { QUICInitialKeys(version, connectionID: id[...], side: $0) }
        }

        func open(_ packet: QUICPacket, from side: WireSide) -> [UInt8]? {
            packet.isWhole ? sides[side.index].open(packet.bytes, numberAt: packet.numberAt) : nil
        }
    }

    /// A client's datagrams with Initial packets are that long at least (RFC 9000 section 14.1).
    private static let leastInitial = 1200
    /// The client's Handshake packet with its Finished: packet number 1, frame 3, Finished 36, tag 16 bytes at least; its
    /// acknowledgements are shorter (22 to 25).
    private static let leastFinished = 56
    /// And at most, with an acknowledgement and SHA-384: a longer one may hold a certificate instead, or padding.
    private static let mostFinished = 160
    /// TLS alerts as QUIC's errors (RFC 9001 section 4.8).
    private static let alerts: ClosedRange<UInt64> = 0x100...0x1ff
    /// A side that waits for an answer asks again before that: without a datagram for so long both have given up.
    private static let silenceLimit: UInt64 = 10_000_000_000

    /// As far as it was seen.
    package var hello: ClientHello? { clientHello }

    /// Whether a connection begins with this datagram: a client's Initial packet, by the keys that its own header gives, or one of
    /// a version that nobody speaks, for which a server's answer names another (RFC 9000 section 15).
    package static func begins(_ datagram: ArraySlice<UInt8>) -> Bool {
        guard datagram.count >= leastInitial, let packet = QUICPacket(datagram), packet.type == .initial else {
            return false
        }
        guard let version = QUICVersion(packet.version) else { return packet.version & 0x0f0f_0f0f == 0x0a0a_0a0a }
        return Keys(version, packet.destination).open(packet, from: .client) != nil
    }

    /// Follows one datagram; the handshake's end, if it is one.
    package mutating func take(_ datagram: ArraySlice<UInt8>, from side: WireSide, at time: UInt64) -> WireEnd? {
        lastActivity = max(lastActivity, time)
        for packet in QUICPacket.all(in: datagram) {
            switch packet.type {
            case .initial: if let end = initial(packet, from: side, at: time) { return end }
            case .handshake:
                if side == .client, packet.length >= Self.leastFinished, serverHello?.isHelloRetryRequest == false {
                    return WireEnd(
                        outcome: .completed, time: time,
                        confidence: packet.length <= Self.mostFinished ? .exact : .inferred)
                }
            case .zeroRTT, .short, .retry, .versionNegotiation: break
            }
        }
        return nil
    }

    private mutating func initial(_ packet: QUICPacket, from side: WireSide, at time: UInt64) -> WireEnd? {
        guard let payload = open(packet, from: side) else { return nil }
        var end: WireEnd?
        for frame in QUICFrame.all(in: payload[...]) {
            switch frame {
            case .crypto(let offset, let bytes): crypto[side.index].add(bytes, at: offset)
            case .close(let code, _): end = end ?? closed(by: side, code: code, at: time)
            case .other: break
            }
        }
        readHellos()
        return end
    }

    /// The frames of an Initial packet, under the keys that hold; until the server has answered, under those that a client that
    /// begins again gives (after a Retry, or in another version), or a server that settles on another version (RFC 9368).
    private mutating func open(_ packet: QUICPacket, from side: WireSide) -> [UInt8]? {
        guard let version = QUICVersion(packet.version) else { return nil }
        if let keys, keys.version == version, let payload = keys.open(packet, from: side) { return payload }
        guard serverHello == nil || keys?.version != version else { return nil }
        var other: Keys
        switch (side, keys) {
        case (.client, _) where serverHello == nil: other = Keys(version, packet.destination)
        case (_, let keys?) where keys.version != version: other = Keys(version, keys.connectionID)
        default: return nil
        }
        var payload = other.open(packet, from: side)
        if payload == nil, side == .client, let keys, keys.version != version {
            // It follows the server to another version, under the id that it began with.
            other = Keys(version, keys.connectionID)
            payload = other.open(packet, from: side)
        }
        guard let payload else { return nil }
        // What it sends is the same ClientHello, from the beginning.
        if side == .client, keys?.connectionID != other.connectionID { crypto[0] = CryptoStream() }
        keys = other
        return payload
    }

    private func closed(by side: WireSide, code: UInt64, at time: UInt64) -> WireEnd {
        guard Self.alerts.contains(code) else {
            return WireEnd(
                outcome: code == 0 ? .abandoned : .failed, time: time, reason: code == 0 ? "closed" : "transport_error",
                confidence: .exact)
        }
        let alert = UInt8(truncatingIfNeeded: code)
        return WireEnd(
            outcome: .failed, time: time, reason: IANA.alert(alert), alert: alert, alertSide: side, confidence: .exact)
    }

    /// Nothing more was seen of it for so long that both sides have given up: a refusal in a Handshake packet is as long as an
    /// acknowledgement. `nil` before that.
    package func silence(now: UInt64) -> WireEnd? {
        guard now > lastActivity, now - lastActivity > Self.silenceLimit else { return nil }
        return WireEnd(outcome: .abandoned, time: lastActivity, reason: "silent", confidence: .inferred)
    }

    package func timeout(at time: UInt64) -> WireEnd { WireEnd(outcome: .timeout, time: time, confidence: .exact) }

    private mutating func readHellos() {
        if clientHello?.isWhole != true, let message = crypto[0].messages.first(where: { $0.kind == 1 }) {
            clientHello = ClientHello(message.body, length: message.length) ?? clientHello
        }
        guard serverHello?.isHelloRetryRequest != false else { return }
        for message in crypto[1].messages where message.kind == 2 {
            guard let hello = ServerHello(message.body, length: message.length) else { continue }
            retried = retried || hello.isHelloRetryRequest
            serverHello = hello
        }
    }

    /// What is known once it has ended.
    package func facts(of end: WireEnd) -> WireFacts {
        var facts = WireFacts(clientHello)
        guard let serverHello, !serverHello.isHelloRetryRequest else { return facts }
        facts.version = serverHello.version
        guard end.outcome == .completed else { return facts }
        facts.cipher = serverHello.cipher
        facts.group = serverHello.group
        facts.resumed = serverHello.isWhole ? serverHello.acceptsPSK : nil
        facts.helloRetryRequest = retried
        return facts
    }
}

/// The CRYPTO frames of one side, in any order (RFC 9000 section 19.6).
struct CryptoStream: Sendable {
    private static let capacity = 8192
    private static let fragmentLimit = 64

    private var bytes: [UInt8] = []
    private var ahead: [(at: Int, bytes: [UInt8])] = []
    /// Bytes in those.
    private var aheadCount = 0

    mutating func add(_ fragment: ArraySlice<UInt8>, at offset: Int) {
        guard offset < Self.capacity else { return }
        guard offset <= bytes.count else {
            // A copy: a slice would keep its whole packet. What is sent again is there already.
            let own = Array(fragment.prefix(Self.capacity - offset))
            guard ahead.count < Self.fragmentLimit, bytes.count + aheadCount + own.count <= Self.capacity,
                !ahead.contains(where: { $0.at == offset && $0.bytes.count >= own.count })
            else { return }
            ahead.append((offset, own))
            aheadCount += own.count
            return
        }
        append(fragment, at: offset)
        while let next = ahead.firstIndex(where: { $0.at <= bytes.count }) {
            let fragment = ahead.remove(at: next)
            aheadCount -= fragment.bytes.count
            append(fragment.bytes[...], at: fragment.at)
        }
    }

    private mutating func append(_ fragment: ArraySlice<UInt8>, at offset: Int) {
        bytes += fragment.dropFirst(bytes.count - offset).prefix(Self.capacity - bytes.count)
    }

    var messages: [HandshakeMessages.Message] { HandshakeMessages.split(bytes) }
}

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
    private var keys: [QUICInitialKeys] = []
    private var version: QUICVersion?
    private var retriedAddress = false
    private var hasTokenKeys = false
    private var crypto = [CryptoStream(), CryptoStream()]
    private var clientHello: ClientHello?
    private var serverHello: ServerHello?
    private var retried = false
    package private(set) var negotiatedVersion = false

    package init(role: Role, start: UInt64) {
        self.role = role
        self.start = start
        lastActivity = start
    }

    /// The client's Handshake packet with its Finished: packet number 1, frame 3, Finished 36, tag 16 bytes at least; its
    /// acknowledgements are shorter (22 to 25).
    private static let leastFinished = 56
    /// TLS alerts as QUIC's errors (RFC 9001 section 4.8).
    private static let alerts: ClosedRange<UInt64> = 0x100...0x1ff

    /// Follows one datagram; the handshake's end, if it is one.
    package mutating func take(_ datagram: ArraySlice<UInt8>, from side: WireSide, at time: UInt64) -> WireEnd? {
        lastActivity = max(lastActivity, time)
        for packet in QUICPacket.all(in: datagram) {
            switch packet.type {
            case .initial: if let end = initial(packet, from: side, at: time) { return end }
            case .retry:
                // The client begins again, with another connection id and the token.
                if side == .server, serverHello == nil { retriedAddress = true }
            case .versionNegotiation: if side == .server { negotiatedVersion = true }
            case .handshake:
                if side == .client, packet.length >= Self.leastFinished, serverHello?.isHelloRetryRequest == false {
                    return WireEnd(outcome: .completed, time: time, confidence: .exact)
                }
            case .zeroRTT, .short: break
            }
        }
        return nil
    }

    private mutating func initial(_ packet: QUICPacket, from side: WireSide, at time: UInt64) -> WireEnd? {
        guard let version = QUICVersion(packet.version) else { return nil }
        let startsOver = self.version != version && serverHello == nil
        if side == .client, keys.isEmpty || startsOver || retriedAddress && !packet.token.isEmpty && !hasTokenKeys {
            self.version = version
            hasTokenKeys = !packet.token.isEmpty
            keys = [WireSide.client, .server].map {
                QUICInitialKeys(version, connectionID: packet.destination, side: $0)
            }
        }
        guard keys.count == 2, packet.isWhole,
            let payload = keys[side.index].open(packet.bytes, numberAt: packet.numberAt)
        else { return nil }
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

    /// Nothing more was seen of it: a refusal in a Handshake packet is as long as an acknowledgement.
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
        var facts = WireFacts()
        facts.random = clientHello?.random ?? []
        facts.serverName = clientHello?.serverName
        facts.protocolsOffered = clientHello?.protocols
        facts.hasWholeOffer = clientHello?.isWhole ?? false
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
    private var ahead: [(at: Int, bytes: ArraySlice<UInt8>)] = []

    mutating func add(_ fragment: ArraySlice<UInt8>, at offset: Int) {
        guard offset < Self.capacity else { return }
        guard offset <= bytes.count else {
            if ahead.count < Self.fragmentLimit { ahead.append((offset, fragment)) }
            return
        }
        append(fragment, at: offset)
        while let next = ahead.firstIndex(where: { $0.at <= bytes.count }) {
            let fragment = ahead.remove(at: next)
            append(fragment.bytes, at: fragment.at)
        }
    }

    private mutating func append(_ fragment: ArraySlice<UInt8>, at offset: Int) {
        bytes += fragment.dropFirst(bytes.count - offset).prefix(Self.capacity - bytes.count)
    }

    var messages: [HandshakeMessages.Message] { HandshakeMessages.split(bytes) }
}

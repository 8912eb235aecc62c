import CEvents
import Handshakes
import Wire

/// A handshake on one connection: what its packets show, and whose it is.
struct WireConnection {
    /// What carries it is one of these. Not an enumeration's cases: to change what one holds is to copy it.
    private var tcp: WireFlow?
    private var quic: QUICFlow?
    let role: Role
    let start: UInt64
    private(set) var pair: SocketPair?
    /// Who owns the socket; 0 while that is not known.
    private(set) var pid: UInt32 = 0
    private(set) var processStart: UInt64 = 0
    private var tid: UInt32 = 0
    private var comm = ""
    private var local: SocketAddress?
    private var remote: SocketAddress?
    private var rtt: UInt32 = 0
    private var retransmits = TLSWATCH_NO_COUNT
    /// TCP's, 0 where it was not seen.
    private var connecting: UInt64 = 0
    private var established: UInt64 = 0
    private var firstSent: UInt64 = 0
    private var peerTime: PeerTime
    private(set) var end: WireEnd?
    private(set) var isMerged = false
    /// The random by which it is in the table's index, with its pair; `nil` while it is not.
    var indexed: UInt64?

    init(_ event: borrowing WireEvent) {
        role = event.has(TLSWATCH_WIRE_IS_SERVER) ? .server : .client
        start = event.fixed.start_ns
        tcp = WireFlow(role: role, start: start)
        peerTime = PeerTime(start: start, isPeers: role == .server)
        connecting = event.fixed.connecting_ns
        established = event.fixed.established_ns
    }

    init(_ event: borrowing DatagramEvent, role: Role) {
        self.role = role
        start = event.fixed.header.time_ns
        quic = QUICFlow(role: role, start: start)
        peerTime = PeerTime(start: start, isPeers: role == .server)
    }

    /// Of its last packet.
    var lastActivity: UInt64 { tcp?.lastActivity ?? quic?.lastActivity ?? start }

    var isQUIC: Bool { quic != nil }

    /// The last eight bytes of the ClientHello's random, once it was seen.
    var random: UInt64? { hello?.randomEnd }

    // MARK: what it is fed

    /// Follows a segment's record. True where its owner became known.
    mutating func take(_ event: borrowing WireEvent) -> Bool {
        let fixed = event.fixed
        let isNew = own(fixed.header, comm: fixed.comm)
        if pair == nil, let known = SocketPair(fixed) {
            pair = known
            local = SocketAddress(family: fixed.family, port: fixed.local_port, bytes: fixed.local)
            remote = SocketAddress(family: fixed.family, port: fixed.remote_port, bytes: fixed.remote)
        }
        if fixed.rtt_us != 0 { rtt = fixed.rtt_us }
        if fixed.retransmits != TLSWATCH_NO_COUNT { retransmits = fixed.retransmits }
        if firstSent == 0, event.has(TLSWATCH_WIRE_SENT), fixed.records > 0 { firstSent = fixed.header.time_ns }
        follow(event)
        return isNew
    }

    /// Follows a datagram's record.
    mutating func take(_ event: borrowing DatagramEvent, from side: WireSide) -> Bool {
        let fixed = event.fixed
        let isNew = own(fixed.header, comm: fixed.comm)
        if pair == nil {
            pair = SocketPair(fixed)
            local = SocketAddress(family: fixed.family, port: fixed.local_port, bytes: fixed.local)
            remote = SocketAddress(family: fixed.family, port: fixed.remote_port, bytes: fixed.remote)
        }
        if end == nil { end = quic?.take(event.bytes[...], from: side, at: fixed.header.time_ns) ?? nil }
        return isNew
    }

    private mutating func own(_ header: tlswatch_header, comm: some BitwiseCopyable) -> Bool {
        guard pid == 0, header.pid != 0 else { return false }
        pid = header.pid
        tid = header.tid
        processStart = header.process_start_ns
        self.comm = PeerText.comm(comm)
        return true
    }

    private mutating func follow(_ event: borrowing WireEvent) {
        guard end == nil, tcp != nil else { return }
        let time = event.fixed.header.time_ns
        let isClient = event.has(TLSWATCH_WIRE_SENT) == (role == .client)
        let side: WireSide = isClient ? .client : .server
        var segment = WireSegment(time: time, side: side)
        segment.followsGap = event.has(TLSWATCH_WIRE_GAP)
        segment.isNotTLS = event.has(TLSWATCH_WIRE_NOT_TLS)
        for index in 0..<Int(event.fixed.records) {
            let record = event.record(index)
            guard let type = RecordType(rawValue: record.type) else { continue }
            let content = unsafe withUnsafeBytes(of: record.content) { unsafe Array($0.prefix(Int(record.held))) }
            segment.records.append(WireRecord(type: type, length: Int(record.length), content: content))
        }
        segment.bytes = event.bytes[...]
        segment.sequence = event.fixed.sequence
        peerTime.take(
            at: time, isPeers: !event.has(TLSWATCH_WIRE_SENT) && !event.has(TLSWATCH_WIRE_CLOSED),
            continues: event.has(TLSWATCH_WIRE_CONTINUES), followsGap: segment.followsGap)
        end = tcp?.take(segment) ?? nil
        guard end == nil else { return }
        if event.has(TLSWATCH_WIRE_RESET) {
            end = tcp?.close(.reset(side), at: time) ?? nil
        } else if event.has(TLSWATCH_WIRE_FIN) {
            end = tcp?.close(.finished(side), at: time) ?? nil
        } else if event.has(TLSWATCH_WIRE_CLOSED) {
            end = tcp?.close(.closed, at: time) ?? nil
        } else if event.has(TLSWATCH_WIRE_UNWATCHED) {
            end = tcp?.close(.unwatched, at: time) ?? nil
        }
    }

    // MARK: ends

    /// Ends it where time alone does.
    mutating func expire(now: UInt64, timeout: UInt64) {
        guard end == nil else { return }
        endInSilence(now: now)
        guard end == nil, now > lastActivity, now - lastActivity > timeout else { return }
        end = tcp?.timeout(at: now) ?? quic?.timeout(at: now)
    }

    private mutating func endInSilence(now: UInt64) {
        end = (isQUIC ? quic?.silence(now: now) : tcp?.expireVerdict(now: now)) ?? nil
    }

    /// Ends it where nothing more will be heard of it and what is known is enough.
    mutating func settle() {
        if end == nil, !isQUIC { endInSilence(now: .max) }
    }

    /// Its process has ended; TCP tells by itself what becomes of a connection.
    mutating func endProcess(at time: UInt64) {
        guard end == nil, isQUIC else { return }
        end = WireEnd(outcome: .abandoned, time: time, reason: "closed", confidence: .exact)
    }

    /// Records were lost while it lasted: nothing is claimed of it.
    mutating func loseTrack(at time: UInt64) {
        end = WireEnd(outcome: .abandoned, time: time, reason: "events_lost", confidence: .inferred)
    }

    /// A library's session is this handshake.
    mutating func merge() { isMerged = true }

    // MARK: what it comes to

    /// Gives a library's session what it lacks: its socket, what TCP knows of that, and what the client offered.
    ///
    /// - Parameter isCertain: whether the session is known to be this handshake by the ClientHello itself: then a socket that was
    ///   inferred gives way.
    func lend(to handshake: inout Handshake, isCertain: Bool) {
        if let hello, hello.isWhole || hello.protocols != nil {
            handshake.alpnOffered = hello.protocols.map { $0.map(Self.text) }
        }
        if isCertain, local != nil {
            if handshake.socketConfidence != .exact {
                handshake.localName = local.map(SocketName.address)
                handshake.remoteName = remote.map(SocketName.address)
            }
            handshake.socketConfidence = .exact
        }
        guard !isQUIC else { return }
        if handshake.rtt == nil, rtt != 0 { handshake.rtt = UInt64(rtt) * 1000 }
        if handshake.retransmits == nil, retransmits != TLSWATCH_NO_COUNT {
            handshake.retransmits = UInt64(retransmits)
        }
        if handshake.timeline.established == nil { fillConnection(&handshake) }
    }

    private var hello: ClientHello? { tcp?.hello ?? quic?.hello }

    /// The finished value; `nil` before the end.
    ///
    /// - Parameter process: what is known of its process, by its name.
    func handshake(wallClockOffset: Int64, process: (_ comm: String) -> HandshakeProcess) -> Handshake? {
        guard let end else { return nil }
        let time = max(end.time, start)
        var handshake = Handshake(
            start: start, end: time, wallClockOffset: wallClockOffset, pid: pid, tid: tid, process: process(comm),
            implementation: Self.implementation, role: role, outcome: end.outcome)
        handshake.observedBy = .wire
        handshake.endConfidence = end.confidence
        handshake.reason = end.reason
        handshake.alert = end.alert
        handshake.alertDirection = end.alertSide.map { ($0 == .client) == (role == .client) ? .sent : .received }
        handshake.localName = local.map(SocketName.address)
        handshake.remoteName = remote.map(SocketName.address)
        handshake.socketConfidence = local == nil ? .unknown : .exact
        if let tcp {
            if rtt != 0 { handshake.rtt = UInt64(rtt) * 1000 }
            if retransmits != TLSWATCH_NO_COUNT { handshake.retransmits = UInt64(retransmits) }
            fillConnection(&handshake)
            fill(&handshake, with: tcp.facts(of: end))
            // Early data goes out while the peer is waited for.
            if handshake.retransmits == 0, !tcp.offersEarlyData, let peer = peerTime.total(until: time) {
                handshake.parts = HandshakeParts(peer: peer, of: handshake.duration)
            }
        } else if let quic {
            handshake.transport = .quic
            fill(&handshake, with: quic.facts(of: end))
        }
        return handshake
    }

    /// How the TCP connection came about.
    private func fillConnection(_ handshake: inout Handshake) {
        guard established != 0 else { return }
        handshake.timeline.established = established
        if connecting != 0, established >= connecting {
            handshake.tcpConnect = established - connecting
            handshake.timeline.connecting = connecting
        }
        if firstSent > established { handshake.firstRecordDelay = firstSent - established }
    }

    private func fill(_ handshake: inout Handshake, with facts: WireFacts) {
        handshake.sni = facts.serverName.map(Self.text)
        handshake.alpnOffered = facts.protocolsOffered.map { $0.map(Self.text) }
        handshake.tlsVersion = facts.version.flatMap { IANA.version(UInt32($0)) }
        handshake.cipher = facts.cipher.map(IANA.cipher)
        handshake.group = facts.group.flatMap { IANA.group(UInt32($0)) }
        handshake.resumed = facts.resumed
        handshake.earlyData = facts.earlyData
        handshake.helloRetryRequest = facts.helloRetryRequest
        handshake.clientCertificateRequested = facts.clientCertificateRequested
        handshake.clientCertificateGiven = facts.clientCertificateGiven
        if let chosen = facts.chosenProtocol {
            handshake.alpnWasRead = true
            if !chosen.isEmpty { handshake.alpn = Self.text(chosen) }
        } else if handshake.outcome == .completed, facts.version != nil, facts.protocolsOffered == nil,
            facts.hasWholeOffer
        {
            // Without an offer none was chosen.
            handshake.alpnWasRead = true
        }
    }

    private static let implementation = HandshakeImplementation(stack: WireTable.stack, library: "", version: nil)

    private static func text(_ bytes: [UInt8]) -> String { unsafe bytes.withUnsafeBytes { unsafe PeerText.clean($0) } }
}

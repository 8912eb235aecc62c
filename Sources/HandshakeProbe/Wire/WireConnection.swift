import CEvents
import Handshakes
import Wire

/// A handshake on one connection: what its packets show, and whose it is.
struct WireConnection {
    private(set) var flow: WireFlow
    private(set) var pair: SocketPair?
    /// Who owns the socket; 0 while that is not known.
    private(set) var pid: UInt32 = 0
    private(set) var processStart: UInt64 = 0
    private var tid: UInt32 = 0
    private var comm = ""
    private var local: String?
    private var remote: String?
    private var rtt: UInt32 = 0
    private var retransmits = TLSWATCH_NO_COUNT
    private(set) var end: WireEnd?
    /// Until when a library may still claim an ended one.
    var heldUntil: UInt64 = 0

    init(_ event: borrowing WireEvent) {
        flow = WireFlow(
            role: event.has(TLSWATCH_WIRE_IS_SERVER) ? .server : .client, start: event.fixed.start_ns)
    }

    /// Follows a record of it. True where its owner became known.
    mutating func take(_ event: borrowing WireEvent) -> Bool {
        let fixed = event.fixed
        let isNew = pid == 0 && fixed.header.pid != 0
        if isNew {
            pid = fixed.header.pid
            tid = fixed.header.tid
            processStart = fixed.header.process_start_ns
            comm = Self.name(fixed.comm)
        }
        if pair == nil, let known = SocketPair(fixed) {
            pair = known
            local = SocketAddress(family: fixed.family, port: fixed.local_port, bytes: fixed.local)?.description
            remote = SocketAddress(family: fixed.family, port: fixed.remote_port, bytes: fixed.remote)?.description
        }
        if fixed.rtt_us != 0 { rtt = fixed.rtt_us }
        if fixed.retransmits != TLSWATCH_NO_COUNT { retransmits = fixed.retransmits }
        follow(event)
        return isNew
    }

    private mutating func follow(_ event: borrowing WireEvent) {
        guard end == nil else { return }
        let time = event.fixed.header.time_ns
        let isClient = event.has(TLSWATCH_WIRE_SENT) == (flow.role == .client)
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
        end = flow.take(segment)
        guard end == nil else { return }
        if event.has(TLSWATCH_WIRE_RESET) {
            end = flow.close(.reset(side), at: time)
        } else if event.has(TLSWATCH_WIRE_FIN) {
            end = flow.close(.finished(side), at: time)
        } else if event.has(TLSWATCH_WIRE_CLOSED) {
            end = flow.close(.closed, at: time)
        } else if event.has(TLSWATCH_WIRE_UNWATCHED) {
            end = flow.close(.unwatched, at: time)
        }
    }

    /// Ends it where time alone does.
    mutating func expire(now: UInt64, timeout: UInt64) {
        guard end == nil else { return }
        end = flow.expireVerdict(now: now)
        if end == nil, now > flow.lastActivity, now - flow.lastActivity > timeout { end = flow.timeout(at: now) }
    }

    /// Ends it where nothing more will be heard of it and what is known is enough.
    mutating func settle(now: UInt64) {
        if end == nil { end = flow.expireVerdict(now: .max) }
    }

    /// Records were lost while it lasted: nothing is claimed of it.
    mutating func loseTrack() {
        guard let end else { return }
        self.end = WireEnd(outcome: .abandoned, time: end.time, reason: "events_lost", confidence: .inferred)
    }

    /// The finished value; `nil` before the end.
    func handshake(wallClockOffset: Int64, process: (exe: String?, container: String?)) -> Handshake? {
        guard let end else { return nil }
        let start = flow.start
        let time = max(end.time, start)
        var handshake = Handshake(
            wallTime: Int64(bitPattern: start) &+ wallClockOffset, start: start, end: time, pid: pid, tid: tid,
            comm: comm,
            stack: WireTable.stack, library: "", role: flow.role, outcome: end.outcome, duration: time - start, calls: 0
        )
        handshake.observedBy = .wire
        handshake.endConfidence = end.confidence
        handshake.exe = process.exe
        handshake.container = process.container
        handshake.reason = end.reason
        handshake.alert = end.alert
        handshake.alertDirection = end.alertSide.map { ($0 == .client) == (flow.role == .client) ? .sent : .received }
        handshake.local = local
        handshake.remote = remote
        handshake.socketConfidence = local == nil ? .unknown : .exact
        if rtt != 0 { handshake.rtt = UInt64(rtt) * 1000 }
        if retransmits != TLSWATCH_NO_COUNT { handshake.retransmits = UInt64(retransmits) }
        fill(&handshake, with: flow.facts(of: end))
        return handshake
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

    private static func text(_ bytes: [UInt8]) -> String { unsafe bytes.withUnsafeBytes { unsafe PeerText.clean($0) } }

    private static func name(_ comm: some BitwiseCopyable) -> String {
        unsafe withUnsafeBytes(of: comm) { bytes in
            unsafe PeerText.clean(UnsafeRawBufferPointer(rebasing: bytes.prefix { $0 != 0 }))
        }
    }
}

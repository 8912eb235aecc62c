import CBPF

/// The facts that the record of an ended call carries, with what is not sane left out.
struct SessionFacts {
    var version: UInt32?
    var cipher: UInt16?
    var group: UInt32?
    var resumed: Bool?
    var alpn: String?
    var sni: String?

    init(_ event: borrowing CallReturn) {
        version = event.scalar(.version)
        // OpenSSL keeps IANA's number below 0x0300; anything else there is no cipher.
        if let id = event.scalar(.cipher), id >> 16 == 0x0300, id & 0xffff != 0 {
            cipher = UInt16(truncatingIfNeeded: id)
        }
        for candidate in [event.scalar(.group), event.scalar(.sessionGroup)] {
            if group == nil, let candidate, IANA.group(candidate & 0xffff) != nil, candidate >> 16 == 0 {
                group = candidate
            }
        }
        switch event.scalar(.resumed) {
        case 0?: resumed = false
        case 1?: resumed = true
        default: resumed = nil
        }
        alpn = event.alpn
        sni = event.sni
    }
}

extension Session {
    /// The finished value. `time` is the end.
    func finish(
        key: SessionKey, at time: UInt64, outcome: Outcome, reason: FailureReason?, facts: SessionFacts?,
        profile: ProfileEntry, wallClockOffset: Int64, exe: String?
    ) -> Handshake {
        let duration = time &- min(start, time)
        var handshake = Handshake(
            wallTime: Int64(bitPattern: start) &+ wallClockOffset, start: start, end: time, pid: key.pid, tid: tid,
            comm: commText, stack: profile.stack, library: profile.library, role: role, outcome: outcome,
            duration: duration, busy: min(busy, duration), calls: calls)
        handshake.exe = exe
        handshake.libraryVersion = profile.version
        handshake.reason = reason?.reason
        handshake.alert = reason?.alert
        handshake.alertDirection = reason?.direction
        if let facts {
            fill(&handshake, with: facts)
        }
        fillPhases(&handshake)
        fillSocket(&handshake)
        return handshake
    }

    private func fill(_ handshake: inout Handshake, with facts: SessionFacts) {
        handshake.sni = facts.sni
        // Before the end these hold what was offered, not what was negotiated.
        guard handshake.outcome == .completed else { return }
        handshake.tlsVersion = facts.version.flatMap(IANA.version)
        handshake.cipher = facts.cipher.map(IANA.cipher)
        handshake.group = facts.group.flatMap(IANA.group)
        handshake.resumed = facts.resumed
        handshake.alpn = facts.alpn
    }

    private func fillPhases(_ handshake: inout Handshake) {
        // TLS 1.2 without an agreement and resumed: there was no key exchange to time.
        let hadKeyExchange = agreed || handshake.tlsVersion == "TLSv1.3" || handshake.resumed == false
        if keyExchangeEnd != 0, hadKeyExchange {
            handshake.keyExchangeSucceeded = true
            if keyExchangeBegin != 0, keyExchangeEnd >= keyExchangeBegin {
                handshake.keyExchange = keyExchangeEnd - keyExchangeBegin
            }
        }
        if agreed { handshake.keyExchangeCompute = keyExchangeCompute }
        if agreementFailed || (handshake.outcome == .failed && keyExchangeEnd == 0 && (peerHelloRead || agreed)) {
            handshake.keyExchangeSucceeded = false
        }
        let offered = role == .client ? helloSent : helloRead
        if handshake.alpn != nil, alpnDecided != 0, offered != 0, alpnDecided >= offered {
            handshake.alpnNegotiation = alpnDecided - offered
        }
    }

    private func fillSocket(_ handshake: inout Handshake) {
        guard let socket else { return }
        handshake.socketConfidence = .exact
        if let local = SocketAddress(family: socket.family, port: socket.local_port, bytes: socket.local) {
            handshake.local = local.description
        }
        if let remote = SocketAddress(family: socket.family, port: socket.remote_port, bytes: socket.remote) {
            handshake.remote = remote.description
        }
        guard socket.established_ns != 0 else { return }
        if socket.connecting_ns != 0, socket.established_ns >= socket.connecting_ns {
            handshake.tcpConnect = socket.established_ns - socket.connecting_ns
        }
        if firstSend > socket.established_ns {
            handshake.firstRecordDelay = firstSend - socket.established_ns
        }
    }

    private var commText: String {
        var comm = comm.comm
        return unsafe withUnsafeBytes(of: &comm) { bytes in
            unsafe PeerText.clean(UnsafeRawBufferPointer(rebasing: bytes.prefix { $0 != 0 }))
        }
    }
}

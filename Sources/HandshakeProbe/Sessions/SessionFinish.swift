import CBPF

/// The facts that the record of an ended call carries, with what is not sane left out.
struct SessionFacts {
    var version: UInt32?
    var cipher: UInt16?
    var group: UInt32?
    var resumed: Bool?
    var alpn: String?
    var alpnWasRead = false
    var sni: String?
    var earlyData: EarlyData?
    var helloRetryRequest: Bool?
    var isQUIC = false
    var clientCertificateRequested: Bool?
    var clientCertificateGiven: Bool?
    /// What verifying the peer's certificate gave.
    var verification: UInt32?

    init(_ event: borrowing CallReturn, role: Role, isRenegotiation: Bool) {
        version = event.scalar(.version)
        // OpenSSL keeps IANA's number below 0x0300; anything else there is no cipher.
        if let id = event.scalar(.cipher), id >> 16 == 0x0300, id & 0xffff != 0 {
            cipher = UInt16(truncatingIfNeeded: id)
        }
        switch event.scalar(.resumed) {
        case 0?: resumed = false
        case 1?: resumed = true
        default: resumed = nil
        }
        group = Self.group(event, version: version, resumed: resumed)
        alpn = event.alpn
        alpnWasRead = event.scalar(.alpnLength) != nil
        sni = event.sni
        switch event.scalar(.earlyData) {
        case 1?: earlyData = .rejected
        case 2?: earlyData = .accepted
        default: earlyData = nil
        }
        // SSL_HRR_NONE, SSL_HRR_PENDING, SSL_HRR_COMPLETE; no version below TLS 1.3 has the message.
        if version == 0x0304, let retry = event.scalar(.helloRetry), retry <= 2 { helloRetryRequest = retry != 0 }
        // Only the libraries that know QUIC have the version behind other fields, and the flag.
        isQUIC = version == 0x0304 && event.scalar(.flags).map { $0 & OpenSSLState.quic != 0 } ?? false
        verification = event.scalar(.verifyResult)
        fillClientCertificate(event, role, isRenegotiation)
    }

    /// TLS 1.3 agrees on a group even when it resumes, and the connection keeps it. Below, a client's connection
    /// keeps what it offered for TLS 1.3, and a resumed session what an earlier handshake agreed on: neither is it.
    private static func group(_ event: borrowing CallReturn, version: UInt32?, resumed: Bool?) -> UInt32? {
        let candidates =
            version == 0x0304
            ? [event.scalar(.group), event.scalar(.sessionGroup)]
            : resumed == false ? [event.scalar(.sessionGroup)] : []
        for case let candidate? in candidates where candidate >> 16 == 0 && IANA.group(candidate) != nil {
            return candidate
        }
        return nil
    }

    private mutating func fillClientCertificate(
        _ event: borrowing CallReturn, _ role: Role, _ isRenegotiation: Bool
    ) {
        switch role {
        case .client:
            guard let request = event.scalar(.certificateRequest), request <= 2 else { return }
            clientCertificateRequested = request != 0
            // 2: asked, and none to give.
            if request != 0 { clientCertificateGiven = request == 1 }
        case .server:
            // TLS 1.3's suites leave it open who authenticates how.
            let authenticates = version == 0x0304 ? true : cipher.map(IANA.authenticates)
            guard let mode = event.scalar(.verifyMode), mode <= 0xf, let resumed, let authenticates else { return }
            // SSL_VERIFY_CLIENT_ONCE: a renegotiation asks where the handshake before it did not, which is not known.
            if isRenegotiation, mode & 5 == 5 { return }
            // SSL_VERIFY_PEER; with SSL_VERIFY_POST_HANDSHAKE TLS 1.3 asks later. A resumed one asks nothing.
            clientCertificateRequested =
                mode & 1 != 0 && !resumed && !(version == 0x0304 && mode & 8 != 0) && authenticates
            if clientCertificateRequested == true {
                clientCertificateGiven = event.scalar(.peerCertificate).map { $0 != 0 }
            }
        }
    }
}

extension Session {
    /// The finished value. `time` is the end.
    func finish(
        key: SessionKey, at time: UInt64, outcome: Outcome, reason: FailureReason?, facts: SessionFacts?,
        profile: ProfileEntry, wallClockOffset: Int64, process: (exe: String?, container: String?)
    ) -> Handshake {
        let duration = time &- min(start, time)
        var handshake = Handshake(
            wallTime: Int64(bitPattern: start) &+ wallClockOffset, start: start, end: time, pid: key.pid, tid: tid,
            comm: Self.name(entry.comm), stack: profile.stack, library: profile.library, role: role, outcome: outcome,
            duration: duration, busy: min(busy, duration), calls: calls)
        handshake.observedBy = .library
        handshake.thread = Self.name(entry.thread)
        handshake.exe = process.exe
        handshake.container = process.container
        handshake.libraryVersion = profile.version
        handshake.reason = reason?.reason
        handshake.alert = reason?.alert
        handshake.alertDirection = reason?.direction
        if outcome == .failed, let fatal {
            let word = profile.rules.libraryReason(fatal.reason, facts?.verification)
            if word != reason?.reason { handshake.libraryReason = word }
        }
        handshake.sni = refusedName
        if let facts {
            fill(&handshake, with: facts)
        }
        fillPhases(&handshake, profile.rules, version: facts?.version)
        fillSocket(&handshake)
        handshake.timeline = timeline(of: handshake)
        return handshake
    }

    private func fill(_ handshake: inout Handshake, with facts: SessionFacts) {
        handshake.sni = facts.sni ?? refusedName
        if facts.isQUIC { handshake.transport = .quic }
        // Before the end these hold what was offered, not what was negotiated; the version is settled by the keys.
        if keyExchangeEnd != 0 { handshake.tlsVersion = facts.version.flatMap(IANA.version) }
        guard handshake.outcome == .completed else { return }
        handshake.tlsVersion = facts.version.flatMap(IANA.version)
        handshake.cipher = facts.cipher.map(IANA.cipher)
        handshake.group = facts.group.flatMap(IANA.group)
        handshake.resumed = facts.resumed
        handshake.alpn = facts.alpn
        handshake.alpnWasRead = facts.alpnWasRead
        handshake.earlyData = facts.earlyData
        handshake.helloRetryRequest = facts.helloRetryRequest
        handshake.clientCertificateRequested = facts.clientCertificateRequested
        handshake.clientCertificateGiven = facts.clientCertificateGiven
    }

    private func fillPhases(_ handshake: inout Handshake, _ rules: SessionRules, version: UInt32?) {
        // TLS 1.2 without an agreement and resumed: there was no key exchange to time.
        let hadKeyExchange = agreed || handshake.tlsVersion == "TLSv1.3" || handshake.resumed == false
        if keyExchangeEnd != 0, hadKeyExchange {
            handshake.keyExchangeSucceeded = true
            if keyExchangeBegin != 0, keyExchangeEnd >= keyExchangeBegin, keyExchangeEnd <= handshake.end {
                handshake.keyExchange = keyExchangeEnd - keyExchangeBegin
            }
        }
        if agreed { handshake.keyExchangeCompute = keyExchangeCompute }
        if role == .server, peerFinished > start, peerFinished <= handshake.end {
            handshake.finished = peerFinished - start
        }
        // Attempted once the peer's share is there: what was refused before is no failed exchange.
        let attempted =
            agreed || hasMasterSecret || fatal.map { rules.failsKeyExchange($0.reason, version, role) } ?? false
        if agreementFailed || (handshake.outcome == .failed && keyExchangeEnd == 0 && attempted) {
            handshake.keyExchangeSucceeded = false
        }
        let offered = role == .client ? helloSent : helloRead
        if handshake.alpn != nil, alpnDecided != 0, offered != 0, alpnDecided >= offered {
            handshake.alpnNegotiation = alpnDecided - offered
        }
    }

    private func fillSocket(_ handshake: inout Handshake) {
        guard let socket else { return }
        handshake.socketConfidence = socket.isInferred ? .inferred : .exact
        // A socket that a reset has torn down has no port any more.
        if socket.local_port != 0,
            let local = SocketAddress(family: socket.family, port: socket.local_port, bytes: socket.local)
        {
            handshake.local = local.description
        }
        if socket.remote_port != 0,
            let remote = SocketAddress(family: socket.family, port: socket.remote_port, bytes: socket.remote)
        {
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

    /// The moments of what `handshake` tells, so that the two never disagree.
    private func timeline(of handshake: Handshake) -> HandshakeTimeline {
        var timeline = HandshakeTimeline()
        if let socket, socket.established_ns != 0 {
            timeline.established = socket.established_ns
            if handshake.tcpConnect != nil { timeline.connecting = socket.connecting_ns }
        }
        let hello = role == .client ? helloSent : helloRead
        if hello >= start, hello <= handshake.end, hello != 0 { timeline.clientHello = hello }
        if handshake.keyExchange != nil {
            timeline.keyExchangeBegin = keyExchangeBegin
            timeline.keyExchangeEnd = keyExchangeEnd
        }
        if handshake.alpnNegotiation != nil { timeline.alpnDecided = alpnDecided }
        if handshake.finished != nil { timeline.finished = peerFinished }
        return timeline
    }

    /// A task's name: what stands before the first NUL.
    private static func name(_ comm: some BitwiseCopyable) -> String {
        unsafe withUnsafeBytes(of: comm) { bytes in
            unsafe PeerText.clean(UnsafeRawBufferPointer(rebasing: bytes.prefix { $0 != 0 }))
        }
    }
}

import CEvents
import Handshakes
import Kernel

/// The facts of a handshake that has ended, as a stack makes them of its record; with what is not sane left out.
struct SessionFacts {
    var version: UInt32?
    var cipher: UInt16?
    var group: UInt32?
    /// Whether keys were agreed on, where the stack tells: TLS 1.3 can resume by the pre-shared key alone.
    var agreedOnKeys: Bool?
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
}

extension Session {
    /// Fills in what is known of a session that has ended. Mutating, so that it is done where the session stands: it is large.
    mutating func finish(
        _ handshake: inout Handshake, _ reason: FailureReason?, _ facts: SessionFacts?, _ profile: ProfileEntry
    ) {
        handshake.calls = calls
        // Calls after a close that was the end are no part of it.
        handshake.parts = (handshake.end == closed ? partsAtClose ?? parts : parts)
            .finished(duration: handshake.duration)
        if rtt != 0 { handshake.rtt = rtt }
        handshake.retransmits = retransmits
        if let reason {
            handshake.reason = reason.reason
            handshake.alert = reason.alert
            handshake.alertDirection = reason.direction
        }
        if handshake.outcome == .failed, let fatal {
            let word =
                profile.reasons[fatal.reason] ?? profile.rules.libraryReason(fatal.reason, facts?.verification)
            if word != reason?.reason { handshake.libraryReason = word }
        }
        handshake.sni = refusedName
        if let facts {
            fill(&handshake, with: facts)
        }
        fillPhases(&handshake, profile.rules, version: facts?.version, agreedOnKeys: facts?.agreedOnKeys)
        fillSocket(&handshake)
        fillTimeline(&handshake)
    }

    private func fill(_ handshake: inout Handshake, with facts: SessionFacts) {
        handshake.sni = facts.sni ?? refusedName
        if facts.isQUIC { handshake.transport = .quic }
        // Before the end these hold what was offered, not what was negotiated; the version is settled by the keys.
        if keyExchangeEnd != 0 || handshake.outcome == .completed {
            handshake.tlsVersion = facts.version.flatMap(IANA.version)
        }
        guard handshake.outcome == .completed else { return }
        handshake.cipher = facts.cipher.map(IANA.cipher)
        handshake.group = (facts.group ?? group(version: facts.version)).flatMap(IANA.group)
        handshake.resumed = facts.resumed
        handshake.alpn = facts.alpn
        handshake.alpnWasRead = facts.alpnWasRead
        handshake.earlyData = facts.earlyData
        handshake.helloRetryRequest = facts.helloRetryRequest
        if facts.helloRetryRequest == nil, facts.version == 0x0304, shares > 0 {
            handshake.helloRetryRequest = hasRetried
        }
        handshake.clientCertificateRequested = facts.clientCertificateRequested
        handshake.clientCertificateGiven = facts.clientCertificateGiven
    }

    /// The group, by the key shares that were made: a client's below TLS 1.3 is the one that it has made for the server's.
    private func group(version: UInt32?) -> UInt32? {
        guard let version, version >= 0x0304 || role == .server || hasMasterSecret else { return nil }
        return shareGroup
    }

    private func fillPhases(
        _ handshake: inout Handshake, _ rules: SessionRules, version: UInt32?, agreedOnKeys: Bool?
    ) {
        // TLS 1.2 without a new master secret and resumed: there was no key exchange to time.
        let hadKeyExchange =
            agreedOnKeys
            ?? (agreed || hasMasterSecret || handshake.tlsVersion == "TLSv1.3" || handshake.resumed == false)
        if keyExchangeEnd != 0, hadKeyExchange {
            handshake.keyExchangeSucceeded = true
            // Below TLS 1.3 a server reads more behind the share before it changes keys: only its use tells when it was read.
            let isTimed = role == .client || version == 0x0304 || hasMasterSecret || agreed
            if isTimed, keyExchangeBegin != 0, keyExchangeEnd >= keyExchangeBegin, keyExchangeEnd <= handshake.end {
                handshake.keyExchange = keyExchangeEnd - keyExchangeBegin
            }
        }
        if keyExchangeCompute != 0 { handshake.keyExchangeCompute = keyExchangeCompute }
        if role == .server, version == 0x0304, peerFinished > start, peerFinished <= handshake.end {
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
        if socket.local_port != 0 {
            handshake.localName = SocketAddress(
                family: socket.family, port: socket.local_port, bytes: socket.local
            ).map(SocketName.address)
        }
        if socket.remote_port != 0 {
            handshake.remoteName = SocketAddress(
                family: socket.family, port: socket.remote_port, bytes: socket.remote
            ).map(SocketName.address)
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
    private func fillTimeline(_ handshake: inout Handshake) {
        if let socket, socket.established_ns != 0 {
            handshake.timeline.established = socket.established_ns
            if handshake.tcpConnect != nil { handshake.timeline.connecting = socket.connecting_ns }
        }
        let hello = role == .client ? helloSent : helloRead
        if hello >= start, hello <= handshake.end, hello != 0 { handshake.timeline.clientHello = hello }
        if handshake.keyExchange != nil {
            handshake.timeline.keyExchangeBegin = keyExchangeBegin
            handshake.timeline.keyExchangeEnd = keyExchangeEnd
        }
        if handshake.alpnNegotiation != nil { handshake.timeline.alpnDecided = alpnDecided }
        if handshake.finished != nil { handshake.timeline.finished = peerFinished }
    }
}

extension PeerText {
    /// A task's name: what stands before the first NUL.
    static func comm(_ comm: some BitwiseCopyable) -> String {
        unsafe withUnsafeBytes(of: comm) { bytes in
            unsafe clean(UnsafeRawBufferPointer(rebasing: bytes.prefix { $0 != 0 }))
        }
    }
}

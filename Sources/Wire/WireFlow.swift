import Handshakes

/// One handshake on one TCP connection, followed from its ClientHello to its end by what its packets show.
///
/// A value of bounded size: hellos of both sides (4 KB each at most) and a few numbers. Everything that it is fed was chosen
/// by peers.
package struct WireFlow: Sendable {
    /// Which side of it this host's socket is. On a server the last word is the server's own.
    package let role: Role
    /// Monotonic nanoseconds at which the ClientHello's first segment left or arrived.
    package let start: UInt64
    /// Of the last segment.
    package private(set) var lastActivity: UInt64
    private var messages = [HandshakeMessages(), HandshakeMessages()]
    private var phase = Phase.clientHello
    private var clientHello: ClientHello?
    /// As far as it was seen.
    package var hello: ClientHello? { clientHello }
    private var serverHello: ServerHello?
    private var retried = false
    private var sides = [Side(), Side()]
    /// Encrypted records exist before both sides have changed their cipher: TLS 1.3.
    private var isTLS13 = false
    private var earlyRecords = 0
    private var sawEndOfEarlyData = false
    private var clientMessage: ClientMessage?
    /// The client's first record behind the ServerHello, and how long its encrypted ones are, in TLS 1.3.
    private var clientFlight: UInt64?
    private var lengths: [Int] = []
    /// A server's record of an alert's length, with nothing behind it so far.
    private var serverAlert: UInt64?
    private var serverRecords = 0
    private var resumed = false
    /// Of the end that waits for the server's verdict.
    private var finished: (time: UInt64, isExact: Bool)?

    private enum Phase { case clientHello, serverHello, finished }

    /// The client's first message behind the ServerHello (TLS 1.2).
    private enum ClientMessage { case certificate(isEmpty: Bool), other, unknown }

    private struct Side {
        var changedCipher = false
        var finished = false
        var hasGap = false
    }

    package init(role: Role, start: UInt64) {
        self.role = role
        self.start = start
        lastActivity = start
    }

    /// How long a server that has the client's Finished waits for its own next record, nanoseconds.
    package static let verdictWait: UInt64 = 1_000_000_000

    /// Follows one segment; its end, if it is one.
    package mutating func take(_ segment: WireSegment) -> WireEnd? {
        lastActivity = max(lastActivity, segment.time)
        if segment.followsGap { sides[segment.side.index].hasGap = true }
        if !segment.bytes.isEmpty {
            messages[segment.side.index].add(segment.bytes, at: segment.sequence)
            readHellos(of: segment.side)
        }
        for record in segment.records {
            if let end = take(record, from: segment.side, at: segment.time) { return end }
        }
        guard segment.isNotTLS else { return nil }
        if let end = verdict(at: segment.time) { return end }
        if phase == .clientHello, segment.side == .server, !sides[1].hasGap {
            return WireEnd(outcome: .failed, time: segment.time, reason: "not_tls", confidence: .exact)
        }
        return WireEnd(outcome: .abandoned, time: segment.time, reason: "not_followed", confidence: .inferred)
    }

    /// The connection has ended, or nothing more will be seen of it.
    package mutating func close(_ close: WireClose, at time: UInt64) -> WireEnd {
        lastActivity = max(lastActivity, time)
        if let serverAlert, !close.isUnwatched {
            // Nothing followed it, so that it was no data.
            return WireEnd(
                outcome: .failed, time: serverAlert, reason: "encrypted_alert", alertSide: .server,
                confidence: .inferred)
        }
        if let end = verdict(at: time) { return end }
        if let clientFlight, close.isUnwatched { return completed(clientFlight, isExact: false) }
        let reason =
            switch close {
            case .finished(let side): side == ownSide ? "closed" : "peer_closed"
            case .reset(let side): side == ownSide ? "closed" : "connection_reset"
            case .closed: "closed"
            case .unwatched: "not_followed"
            }
        return WireEnd(outcome: .abandoned, time: time, reason: reason, confidence: .exact)
    }

    /// A server that is quiet once it has the client's Finished has accepted it; `nil` while that is open.
    package mutating func expireVerdict(now: UInt64) -> WireEnd? {
        guard let finished, serverAlert == nil, now > finished.time, now - finished.time > Self.verdictWait else {
            return nil
        }
        return verdict(at: now)
    }

    package func timeout(at time: UInt64) -> WireEnd {
        verdict(at: time) ?? WireEnd(outcome: .timeout, time: time, confidence: .exact)
    }

    private var ownSide: WireSide { role == .client ? .client : .server }

    /// The end that only waited to be contradicted.
    private func verdict(at time: UInt64) -> WireEnd? {
        finished.map { completed($0.time, isExact: $0.isExact) }
    }

    private func completed(_ time: UInt64, isExact: Bool) -> WireEnd {
        WireEnd(outcome: .completed, time: time, confidence: isExact ? .exact : .inferred)
    }

    // MARK: records

    private mutating func take(_ record: WireRecord, from side: WireSide, at time: UInt64) -> WireEnd? {
        switch record.type {
        case .alert: return alert(record, from: side, at: time)
        case .changeCipherSpec:
            sides[side.index].changedCipher = true
            // TLS 1.2: a server that changes its cipher first has taken up an earlier session.
            if phase == .serverHello, side == .server, clientMessage == nil, !sides[0].changedCipher { resumed = true }
            return nil
        case .handshake: return handshake(record, from: side, at: time)
        case .applicationData: return encrypted(record, from: side, at: time)
        case .heartbeat: return nil
        }
    }

    private mutating func alert(_ record: WireRecord, from side: WireSide, at time: UInt64) -> WireEnd? {
        if let finished { return completed(finished.time, isExact: finished.isExact) }
        guard let alert = record.alert else {
            // Behind its own Finished a side may also just close.
            return WireEnd(
                outcome: .failed, time: time, reason: "encrypted_alert", alertSide: side,
                confidence: sides[side.index].finished ? .inferred : .exact)
        }
        let isClosing = alert.code == 0
        // Below TLS 1.3 a warning changes nothing (RFC 5246 section 7.2.2); 90 is user_canceled.
        guard alert.level == 2 || isClosing || alert.code == 90 || isTLS13 else { return nil }
        if isClosing {
            return WireEnd(
                outcome: .abandoned, time: time, reason: side == ownSide ? "closed" : "peer_closed", confidence: .exact)
        }
        return WireEnd(
            outcome: .failed, time: time, reason: IANA.alert(alert.code), alert: alert.code, alertSide: side,
            confidence: .exact)
    }

    private mutating func handshake(_ record: WireRecord, from side: WireSide, at time: UInt64) -> WireEnd? {
        if phase == .clientHello, side == .server, record.content.first ?? 2 == 2 {
            // Read from the bytes that came with it; where they have a hole, by its record alone.
            if serverHello?.isHelloRetryRequest == true {
                retried = true
                serverHello = nil
            } else {
                phase = .serverHello
                sides[0].changedCipher = false
                sides[1].changedCipher = false
            }
            return nil
        }
        guard phase == .serverHello, !isTLS13 else { return nil }
        if sides[side.index].changedCipher {
            // What follows a ChangeCipherSpec is that side's Finished.
            sides[side.index].finished = true
            if sides[0].finished, sides[1].finished { return completed(time, isExact: true) }
            return nil
        }
        if side == .client, clientMessage == nil {
            let content = record.content
            if content.first == 11, content.count >= 7 {
                clientMessage = .certificate(isEmpty: content[4] == 0 && content[5] == 0 && content[6] == 0)
            } else {
                clientMessage = content.isEmpty ? .unknown : .other
            }
        }
        return nil
    }

    private mutating func encrypted(_ record: WireRecord, from side: WireSide, at time: UInt64) -> WireEnd? {
        guard phase != .clientHello else {
            if side == .client { earlyRecords += 1 }
            return nil
        }
        // TLS 1.2: application data behind this side's Finished (false start).
        guard !sides[side.index].finished else { return nil }
        isTLS13 = true
        return side == .client ? clientRecord(record, at: time) : serverRecord(record, at: time)
    }

    /// An encrypted record of the client's flight.
    private mutating func clientRecord(_ record: WireRecord, at time: UInt64) -> WireEnd? {
        guard finished == nil else { return nil }
        let length = record.length
        if offersEarlyData, length == Shape.endOfEarlyData, !sawEndOfEarlyData, lengths.isEmpty {
            sawEndOfEarlyData = true
            return nil
        }
        let isFirst = lengths.isEmpty
        if lengths.count < 8 { lengths.append(length) }
        if isFirst { clientFlight = time }
        if isFirst, !offersEarlyData, !sides[0].hasGap, Shape.isAlert(length) {
            // A client has no other message so short.
            return WireEnd(
                outcome: .failed, time: time, reason: "encrypted_alert", alertSide: .client, confidence: .exact)
        }
        guard Shape.isFinished(length, cipher: serverHello?.cipher, isFirst: isFirst) else { return nil }
        // Early data that was rejected may have such a length (behind a HelloRetryRequest there is none), and a record that
        // was missed may have been it.
        let isEarlyDataOver = !offersEarlyData || sawEndOfEarlyData || retried
        let isExact = serverHello != nil && clientHello != nil && !sides[0].hasGap && isEarlyDataOver
        return finish(at: time, isExact: isExact)
    }

    private mutating func finish(at time: UInt64, isExact: Bool) -> WireEnd? {
        finished = (time, isExact)
        phase = .finished
        serverAlert = nil
        // A server may still refuse what the client's flight has brought; for a client it is over.
        return role == .client ? completed(time, isExact: isExact) : nil
    }

    private mutating func serverRecord(_ record: WireRecord, at time: UInt64) -> WireEnd? {
        serverRecords += 1
        if let finished {
            if serverAlert == nil, asksForCertificate, Shape.isAlert(record.length) {
                serverAlert = time
                return nil
            }
            return completed(finished.time, isExact: finished.isExact)
        }
        // More from the server: what looked like an alert was none.
        serverAlert = serverRecords > 1 && Shape.isAlert(record.length) ? time : nil
        // The client's flight has no record that is its Finished by its length: it lies before the server's answer.
        guard let clientFlight, serverAlert == nil, !offersEarlyData || sawEndOfEarlyData else { return nil }
        return completed(clientFlight, isExact: false)
    }

    /// Whether the server has asked the client for a certificate, by the shape of the client's flight (TLS 1.3).
    private var asksForCertificate: Bool { lengths.count > 1 }

    /// Whether the client does; by records where its hello is not known.
    package var offersEarlyData: Bool { clientHello?.offersEarlyData ?? (earlyRecords > 0) }

    // MARK: hellos

    private mutating func readHellos(of side: WireSide) {
        switch side {
        case .client where clientHello?.isWhole != true:
            for message in messages[0].messages where message.kind == 1 {
                guard let hello = ClientHello(message.body, length: message.length) else { continue }
                clientHello = hello
                return
            }
        case .server where serverHello?.isWhole != true && lengths.isEmpty:
            var retries = retried
            for message in messages[1].messages where message.kind == 2 {
                guard let hello = ServerHello(message.body, length: message.length) else { continue }
                if hello.isHelloRetryRequest, retries {
                    retries = false
                    continue
                }
                settle(hello)
                return
            }
        default: break
        }
    }

    private mutating func settle(_ hello: ServerHello) {
        if phase == .serverHello, hello.isHelloRetryRequest {
            // Its record came before so much of it that it could be told from a ServerHello.
            phase = .clientHello
            retried = true
            serverHello = nil
            return
        }
        serverHello = hello
        isTLS13 = isTLS13 || hello.version.map { $0 >= 0x0304 } ?? false
    }

    // MARK: facts

    /// What is known once it has ended.
    package func facts(of end: WireEnd) -> WireFacts {
        var facts = WireFacts(clientHello)
        guard phase != .clientHello, let hello = serverHello, !hello.isHelloRetryRequest else { return facts }
        facts.version = hello.version ?? (isTLS13 ? 0x0304 : nil)
        guard end.outcome == .completed else { return facts }
        facts.cipher = hello.cipher
        if isTLS13 {
            facts.group = hello.group
            facts.resumed = hello.isWhole ? hello.acceptsPSK : nil
            facts.helloRetryRequest = retried
            if offersEarlyData {
                // Without the whole of the client's flight nothing is known of it.
                facts.earlyData = sawEndOfEarlyData ? .accepted : retried ? .rejected : nil
            }
            if end.confidence == .exact { readClientCertificate(into: &facts) }
        } else {
            facts.resumed = sides[0].hasGap || sides[1].hasGap ? nil : resumed
            if hello.isWhole { facts.chosenProtocol = hello.chosenProtocol ?? [] }
            readServerFlight(into: &facts)
        }
        return facts
    }

    private func readClientCertificate(into facts: inout WireFacts) {
        // The last one is the Finished.
        let before = lengths.dropLast()
        facts.clientCertificateRequested = !before.isEmpty
        if let first = before.first {
            facts.clientCertificateGiven = before.count > 1 || !Shape.isEmptyCertificate(first)
        }
    }

    /// TLS 1.2's plaintext flight: the group of the key exchange, and whether a certificate is asked for.
    private func readServerFlight(into facts: inout WireFacts) {
        var isComplete = false
        var asks = false
        for message in messages[1].messages {
            switch message.kind {
            case 12:
                // Named curves alone have a number (RFC 8422 section 5.4).
                if message.body.count >= 3, message.body.first == 3 {
                    facts.group = numbers16(message.body.dropFirst()).first
                }
            case 13: asks = true
            case 14: isComplete = true
            default: break
            }
        }
        switch clientMessage {
        case .certificate(let isEmpty):
            facts.clientCertificateRequested = true
            facts.clientCertificateGiven = !isEmpty
        case .other, .unknown, nil:
            if isComplete, !messages[1].isMissingBytes { facts.clientCertificateRequested = asks }
        }
    }
}

/// How long TLS 1.3's encrypted records are: the content, its type and the tag.
///
/// Ascertained against OpenSSL, BoringSSL, Go, rustls, GnuTLS and Java's JSSE, which pads its first record by 16.
enum Shape {
    static let endOfEarlyData = 21
    private static let padding = 16

    /// An alert, with a tag of 16 or 8 bytes.
    static func isAlert(_ length: Int) -> Bool { length == 19 || length == 11 || length == 19 + padding }

    static func isEmptyCertificate(_ length: Int) -> Bool { length == 25 || length == 17 || length == 25 + padding }

    /// A Finished: its hash and the tag are the suite's.
    static func isFinished(_ length: Int, cipher: UInt16?, isFirst: Bool) -> Bool {
        guard let cipher else { return length == 53 || length == 69 }
        let expected =
            switch cipher {
            case 0x1302: 69
            case 0x1305: 45
            default: 53
            }
        return length == expected || isFirst && length == expected + padding
    }
}

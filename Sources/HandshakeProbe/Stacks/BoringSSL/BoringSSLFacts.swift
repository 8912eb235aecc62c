import CEvents
import Handshakes

/// BoringSSL's numbers, of those that the programs do not look at themselves.
enum BoringSSLFact {
    // Of the state: they come with entries and plain returns.

    /// Of the handshake: which message is next, below TLS 1.3. A client's and a server's first is 0.
    static let step = Fact(Fact.state.rawValue, "step")
    /// What the handshake waits for: 0 nothing, it has failed; 1 nothing, it goes on. The others differ by release.
    static let wait = Fact(Fact.detail.rawValue, "wait")
    static let finalized = Fact(3, "finalized")
    /// Why a call came back, as `SSL_get_error` tells it; 0 nothing to wait for.
    static let want = Fact(4, "want")
    /// The low half of a pointer: 0 the connection is not QUIC's.
    static let quic = Fact(5, "quic")
    /// The low half of the pointer to the table of the protocol's functions.
    static let method = Fact(6, "method")
    /// The connection has had a handshake.
    static let connected = Fact(7, "connected")

    /// IANA's number, of the session's cipher.
    static let cipher = Fact(10, "cipher")
    /// Of the session: the named group, IANA's number, and above it the signature algorithm of the peer's certificate; 0 none.
    static let group = Fact(11, "group")
    static let version = Fact(13, "version")
    static let resumed = Fact(14, "resumed")
    static let helloRetry = Fact(15, "helloRetry")
    /// `ssl_early_data_reason_t`.
    static let earlyData = Fact(17, "earlyData")
    /// The alert's level, 0 none, and above it the alert.
    static let sentAlert = Fact(18, "sentAlert")
    /// The errors that the state machine has kept, and those that the record layer has: how many, and the first two.
    static let errors = ErrorFacts(Fact(19, "errors"), Fact(20, "error"), Fact(16, "secondError"))
    static let readErrors = ErrorFacts(Fact(21, "readErrors"), Fact(22, "readError"), Fact(12, "secondReadError"))
    /// What a server asks of its clients.
    static let verifyMode = Fact(23, "verifyMode")
}

/// An `ERR_SAVE_STATE`: the library's errors, oldest first.
struct ErrorFacts {
    let count: Fact
    let first: Fact
    let second: Fact

    init(_ count: Fact, _ first: Fact, _ second: Fact) {
        (self.count, self.first, self.second) = (count, first, second)
    }

    /// Where they stand, by the path to the pointer to them.
    func paths(behind pointer: [Int32]) -> [Fact: FactPath] {
        // {errors, count}; an error is {file, data, packed, line}.
        [
            count: FactPath(offsets: pointer + [8], size: 4),
            first: FactPath(offsets: pointer + [0, 16], size: 4),
            second: FactPath(offsets: pointer + [0, 40], size: 4),
        ]
    }

    /// `ERR_LIB_SSL`.
    private static let library: UInt32 = 16

    /// libssl's last reason. More errors than two were not read, and the last of them is not known.
    func reason(_ event: borrowing CallReturn) -> Int32? {
        guard let count = event.scalar(count), (1...2).contains(count), let first = event.scalar(first) else {
            return nil
        }
        let errors = count == 2 ? [event.scalar(second), first] : [first]
        for case let packed? in errors where packed >> 24 == Self.library { return Int32(packed & 0xfff) }
        return nil
    }
}

extension ConnectionLayout {
    /// Where the facts stand that the layout tells.
    func paths(state: Int32, handshake: Int32) -> [Fact: FactPath] {
        var paths: [Fact: FactPath] = [:]
        func put(_ fact: Fact, _ chain: [Int32], _ offset: Int32?, size: Int) {
            if let offset { paths[fact] = FactPath(offsets: chain + [offset], size: size) }
        }
        func put(_ fact: Fact, _ chain: [Int32], _ bit: Bit?) {
            if let bit { paths[fact] = FactPath(offsets: chain + [bit.offset], size: 1, bits: UInt32(bit.mask)) }
        }
        let inHandshake = [state, handshake]
        put(BoringSSLFact.step, inHandshake, wait.map { $0 + 4 }, size: 4)
        put(BoringSSLFact.wait, inHandshake, wait, size: 4)
        put(.role, [], server)
        if let transport { paths[.transport] = FactPath(offsets: [transport, 0], size: 0) }
        put(BoringSSLFact.finalized, inHandshake, finalized)
        put(BoringSSLFact.want, [state], want, size: 4)
        put(BoringSSLFact.quic, [], quic, size: 4)
        put(BoringSSLFact.method, [], 0, size: 4)
        put(BoringSSLFact.connected, [state], connected)
        put(BoringSSLFact.resumed, [state], resumed)
        put(BoringSSLFact.helloRetry, [state], retried)
        put(BoringSSLFact.earlyData, [state], earlyReason, size: 4)
        put(BoringSSLFact.sentAlert, [state], sentAlert, size: 2)
        if let version { paths[BoringSSLFact.version] = FactPath(offsets: version, size: 2) }
        if let verifyMode { paths[BoringSSLFact.verifyMode] = FactPath(offsets: verifyMode, size: 1) }
        if let protocolData {
            paths[.alpn] = FactPath(offsets: [state, protocolData, 0], size: 0, shape: .counted(.alpnLength))
            put(.alpnLength, [state], protocolData + 8, size: 4)
            // The name that a server was asked for is the next field; a client's is the connection's.
            paths[.sni] = FactPath(offsets: [state, protocolData + 16, 0], size: 0)
        }
        if let clientName { paths[.otherSNI] = FactPath(offsets: [clientName, 0], size: 0) }
        if let established {
            // {references, version, group, signature algorithm, …}: u16 each, in every release.
            put(BoringSSLFact.group, [state, established], 6, size: 4)
            if let cipher {
                paths[BoringSSLFact.cipher] = FactPath(offsets: [state, established, cipher, 16], size: 2)
            }
        }
        if let error { paths.merge(BoringSSLFact.errors.paths(behind: inHandshake + [error])) { $1 } }
        if let want { paths.merge(BoringSSLFact.readErrors.paths(behind: [state, want - 12])) { $1 } }
        return paths
    }
}

extension BoringSSL {
    /// The order in which facts give way where there are more reads than a handshake is worth.
    static let expendable: [Fact] = [
        BoringSSLFact.verifyMode, BoringSSLFact.readErrors.second, BoringSSLFact.errors.second,
        BoringSSLFact.readErrors.first, BoringSSLFact.errors.first, BoringSSLFact.cipher, .otherSNI, .sni, .alpn,
    ]
}

extension SessionFacts {
    init(boringSSL event: borrowing CallReturn, role: Role) {
        version = event.scalar(BoringSSLFact.version)
        switch event.scalar(BoringSSLFact.resumed) {
        case 0?: resumed = false
        case 1?: resumed = true
        default: resumed = nil
        }
        if let number = event.scalar(BoringSSLFact.cipher), number != 0 { cipher = UInt16(truncatingIfNeeded: number) }
        // A resumed session below TLS 1.3 keeps what an earlier handshake agreed on.
        if let number = event.scalar(BoringSSLFact.group).map({ $0 & 0xffff }), IANA.group(number) != nil,
            version == 0x0304 || resumed == false
        {
            group = number
        }
        alpn = event.alpn
        alpnWasRead = event.scalar(.alpnLength) != nil
        sni = event.sni
        if version == 0x0304 {
            helloRetryRequest = event.scalar(BoringSSLFact.helloRetry).map { $0 != 0 }
            earlyData = event.scalar(BoringSSLFact.earlyData).flatMap { BoringSSLState.earlyData($0, role) }
        }
        isQUIC = event.scalar(BoringSSLFact.quic).map { $0 != 0 } ?? false
        fillClientCertificate(event, role)
    }

    private mutating func fillClientCertificate(_ event: borrowing CallReturn, _ role: Role) {
        // A resumed handshake has no certificates.
        if resumed == true { clientCertificateRequested = false }
        guard role == .server, resumed == false, let signature = event.scalar(BoringSSLFact.group).map({ $0 >> 16 })
        else { return }
        if signature != 0 {
            (clientCertificateRequested, clientCertificateGiven) = (true, true)
        } else if let mode = event.scalar(BoringSSLFact.verifyMode), mode <= 7 {
            // SSL_VERIFY_PEER.
            clientCertificateRequested = mode & 1 != 0
            if mode & 1 != 0 { clientCertificateGiven = false }
        }
    }
}

extension BoringSSLState {
    /// Why a handshake failed, as the object and its error rows tell it; `nil` where they tell nothing.
    static func fatal(_ event: borrowing CallReturn) -> (alert: Int32, reason: Int32)? {
        let state = BoringSSLState(event.state)
        guard state.finalized != 1 else { return nil }
        var alert: Int32 = -1
        // The level first: 2 fatal.
        if let sent = event.scalar(BoringSSLFact.sentAlert), sent & 0xff == 2 { alert = Int32(sent >> 8) }
        let isOwn = state.wait == failed
        var reason = (isOwn ? BoringSSLFact.errors : BoringSSLFact.readErrors).reason(event)
        // An alert like any other, but for how the library tells it: without an error, and up to 2022 without a wait.
        let isTold = state.want == wantsNoMore
        let isEnd = event.fixed.result == 0 && state.want == wantsNothing && !isOwn && reason == nil
        if isTold || isEnd { (reason, alert) = (receivedAlertOffset, -1) }
        guard reason != nil || alert >= 0 else { return nil }
        return (alert, reason ?? 0)
    }

    /// Whether a call was a look at the ClientHello, with a connection that was made for it and was to fail: one that can answer
    /// nobody, and had come no further.
    static func wasOnlyALook(_ event: borrowing CallReturn, _ role: Role) -> Bool {
        let state = BoringSSLState(event.state)
        guard role == .server, let step = state.step, step <= readingHello else { return false }
        guard state.isQUIC else { return event.isMute }
        return step == readingHello && fatal(event)?.reason == rejected
    }
}

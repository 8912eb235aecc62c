import CEvents
import Handshakes
import Wire

/// What the messages of a handshake have shown so far, read with the parser of those on the wire.
///
/// A class: few sessions have it, and each of the others would carry it along.
final class SessionMessages {
    private(set) var client: ClientHello
    private var server: ServerHello?
    private var hasRetried = false
    /// TLS 1.3: EncryptedExtensions, of which the protocol is known now.
    private var encrypted: EncryptedExtensions?
    private var certificateRequested = false
    private var certificateGiven: Bool?
    /// Below TLS 1.3.
    private var sawServerCertificate = false
    private var serverCurve: UInt16?
    /// The fatal alert that this side has sent, and when: it has failed, whether the library keeps an error or not.
    private(set) var refusal: (time: UInt64, alert: UInt8)?
    /// When the state went that waited for the next message, and on which thread.
    var dropped: (time: UInt64, tid: UInt32)?

    init(_ hello: ClientHello) { client = hello }

    /// The last eight bytes of the ClientHello's random.
    var randomEnd: UInt64? { client.randomEnd }

    /// The server has asked for another ClientHello, and has not answered that.
    var hasAskedAgain: Bool { hasRetried && server == nil }

    /// A further ClientHello of the same handshake: behind a HelloRetryRequest it may offer something else.
    func take(_ hello: ClientHello) { client = hello }

    /// The version that the server has chosen; `nil` while it has not.
    var version: UInt16? { server?.version }

    /// What a step of the handshake is by one of its messages.
    enum Moment {
        /// The peer's key share has been read and is about to be used.
        case share
        /// The application protocol is known to the client.
        case answer
    }

    /// Takes a message other than a ClientHello.
    ///
    /// - Parameter role: of this side.
    func take(_ message: PlainMessage, role: Role, isSent: Bool) -> [Moment] {
        let fromServer = isSent == (role == .server)
        switch (message.kind, fromServer) {
        case (.serverHello, true): return takeServerHello(message, role: role)
        case (.encryptedExtensions, true):
            encrypted = EncryptedExtensions(message.body, length: message.length)
            return role == .client ? [.answer] : []
        case (.certificateAsked, true): certificateRequested = true
        case (.certificate, true): sawServerCertificate = true
        case (.certificate, false): certificateGiven = message.hasCertificate(isTLS13: version == 0x0304)
        case (.serverKeyExchange, true): serverCurve = message.namedCurve
        // Below TLS 1.3 a client uses the server's share once it has all of the server's messages.
        case (.serverHelloDone, true): return role == .client ? [.share] : []
        default: break
        }
        return []
    }

    private func takeServerHello(_ message: PlainMessage, role: Role) -> [Moment] {
        guard let hello = ServerHello(message.body, length: message.length) else { return [] }
        if hello.isHelloRetryRequest {
            hasRetried = true
            return []
        }
        // A state hands it on to the next one, which handles it once more.
        guard server == nil else { return [] }
        server = hello
        guard role == .client else { return [] }
        return hello.version == 0x0304 ? [.share] : [.answer]
    }

    func takeAlert(_ number: UInt8, at time: UInt64) { if refusal == nil { refusal = (time, number) } }

    /// Whether keys may be timed by the ChangeCipherSpec that this side sends: TLS 1.3's is sent once, and a retry or early data
    /// makes it come earlier; below a server has its keys long before.
    func isTimed(role: Role) -> Bool {
        guard server != nil, !hasRetried else { return false }
        return version == 0x0304 ? !client.offersEarlyData : role == .client
    }

    /// What this side knows; what it has not got to is left out.
    func facts(role: Role) -> SessionFacts {
        var facts = SessionFacts()
        facts.sni = client.serverName.map { PeerText.clean($0) }
        facts.isQUIC = client.isQUIC
        guard let server else { return facts }
        facts.version = server.version.map(UInt32.init)
        facts.cipher = server.cipher
        let is13 = server.version == 0x0304
        facts.group = (is13 ? server.group : serverCurve).map(UInt32.init)
        facts.resumed = is13 ? (server.isWhole ? server.acceptsPSK : nil) : !sawServerCertificate
        let chosen = is13 ? encrypted?.chosenProtocol : server.chosenProtocol
        facts.alpnWasRead = is13 ? encrypted?.isWhole ?? false : server.isWhole
        facts.alpn = chosen.map { PeerText.clean($0) }
        if is13 {
            facts.helloRetryRequest = hasRetried
            if client.offersEarlyData, let encrypted, encrypted.isWhole {
                facts.earlyData = encrypted.acceptsEarlyData ? .accepted : .rejected
            }
        }
        facts.clientCertificateRequested = certificateRequested
        if certificateRequested { facts.clientCertificateGiven = certificateGiven ?? false }
        return facts
    }
}

extension PeerText {
    fileprivate static func clean(_ bytes: [UInt8]) -> String {
        unsafe bytes.withUnsafeBytes { unsafe clean($0) }
    }
}

import Code
import Handshakes

/// The numbers of what is read from Go's tls.Conn, of those that the programs do not look at themselves.
extension Fact {
    // Of the state.

    /// On the wire: 0x0304.
    fileprivate static var goVersion: Fact { Fact(3, "version") }
    /// The low half of a pointer: 0 where the transport is not QUIC.
    fileprivate static var goQUIC: Fact { Fact(4, "QUIC") }

    fileprivate static var goCipher: Fact { Fact(10, "cipher") }
    fileprivate static var goGroup: Fact { Fact(11, "group") }
    fileprivate static var goResumed: Fact { Fact(12, "resumed") }
    fileprivate static var goHelloRetry: Fact { Fact(13, "helloRetry") }
    fileprivate static var goServerNameLength: Fact { Fact(14, "server name's length") }
    /// What a server asks of its clients: tls.ClientAuthType.
    fileprivate static var goClientAuth: Fact { Fact(15, "clientAuth") }
    /// How many the peer has given.
    fileprivate static var goPeerCertificates: Fact { Fact(16, "peerCertificates") }
}

/// Where the fields of a package's tls.Conn stand.
struct GoLayout {
    private(set) var facts: [Fact: FactPath] = [:]
    private(set) var notes: [String] = []
    /// Offsets in a Conn.
    let handshakeFunction: Int32
    let handshakeError: Int32
    let connection: UInt16
    /// Of the errors that its two directions have ended with.
    let errors: (in: UInt16, out: UInt16)?
    /// Of the mutex that is held in a handshake.
    let mutex: UInt16?
    /// Whether a Conn knows its group; before Go 1.23 the key shares have to tell.
    let keepsGroup: Bool
    /// Of the pointer to its Conn in a client's connection of a type of its own (utls: UConn).
    let outer: Int32?

    /// A package's path as it is written in an import: in the names of functions the last element's dots are escaped.
    static func importPath(_ package: String) -> String { package.replacing("%2e", with: ".") }

    /// Whether a package is one of quic-go's forks, of Go 1.18 to 1.20.
    private static func isOfQUIC(_ path: String) -> Bool {
        ["github.com/quic-go/qtls-go", "github.com/marten-seemann/qtls-go"].contains { path.hasPrefix($0) }
    }

    /// - Parameter package: as it stands in the names of functions.
    init(package: String, _ types: GoTypes) throws(AnalysisError) {
        let path = Self.importPath(package)
        let name = GoTypeName(path, "Conn")
        guard let conn = types.named([name])[name], let size = types.size(of: conn), size < 1 << 14 else {
            throw AnalysisError("it has the functions of \(path), and no type data of its Conn")
        }
        let fields = types.fields(of: conn)
        func offset(_ field: String) -> Int32? { fields[field].map { Int32(clamping: $0.offset) } }
        guard let handshakeFunction = offset("handshakeFn"), let handshakeError = offset("handshakeErr"),
            let connection = offset("conn"), let role = offset("isClient"),
            let state = offset("isHandshakeComplete") ?? offset("handshakeStatus")
        else { throw AnalysisError("the Conn of its \(path) has not the fields that are known") }
        self.handshakeFunction = handshakeFunction
        self.handshakeError = handshakeError
        self.connection = UInt16(connection)
        mutex = offset("handshakeMutex").map { UInt16($0) }
        errors =
            if let incoming = fields["in"], let outgoing = fields["out"],
                let error = types.fields(of: incoming.type)["err"]
            {
                (UInt16(clamping: incoming.offset + error.offset), UInt16(clamping: outgoing.offset + error.offset))
            } else { nil }
        facts[.state] = FactPath(offsets: [state], size: 4)
        facts[.role] = FactPath(offsets: [role], size: 1)
        for (fact, field, size) in [
            (Fact.goVersion, "vers", 2), (.goCipher, "cipherSuite", 2), (.goResumed, "didResume", 1),
        ] {
            if let place = offset(field) {
                facts[fact] = FactPath(offsets: [place], size: size)
            } else {
                notes.append("no \(fact): its Conn has no \(field)")
            }
        }
        // These came with 1.21 and 1.24; before, nothing is missing that was there.
        for (fact, field, size) in [(Fact.goQUIC, "quic", 4), (.goGroup, "curveID", 2), (.goHelloRetry, "didHRR", 1)] {
            if let place = offset(field) { facts[fact] = FactPath(offsets: [place], size: size) }
        }
        // The forks that QUIC had before carry no other transport; that every connection has some is as good as the field.
        if facts[.goQUIC] == nil, Self.isOfQUIC(path) {
            facts[.goQUIC] = FactPath(offsets: [Int32(connection)], size: 4)
        }
        let outerName = GoTypeName(path, "UConn")
        outer = types.named([outerName])[outerName].flatMap { types.fields(of: $0)["Conn"]?.offset }
            .flatMap { Int32(exactly: $0) }
        keepsGroup = facts[.goGroup] != nil && facts[.goHelloRetry] != nil
        // A string: where it is, and its length. A slice begins alike.
        for (text, length, field) in [
            (Fact.alpn, Fact.alpnLength, "clientProtocol"), (.sni, .goServerNameLength, "serverName"),
        ] {
            guard let place = offset(field) else { continue }
            facts[length] = FactPath(offsets: [place + 8], size: 4)
            facts[text] = FactPath(offsets: [place, 0], size: 0, shape: .counted(length))
        }
        if let place = offset("peerCertificates") {
            facts[.goPeerCertificates] = FactPath(offsets: [place + 8], size: 4)
        }
        if let config = fields["config"], let target = types.pointee(of: config.type),
            let place = types.fields(of: target)["ClientAuth"]
        {
            facts[.goClientAuth] = FactPath(
                offsets: [Int32(clamping: config.offset), Int32(clamping: place.offset)], size: 4)
        }
    }

    /// The order in which facts give way where there are more reads than a handshake is worth.
    static let expendable: [Fact] = [
        .goClientAuth, .goPeerCertificates, .goHelloRetry, .goGroup, .sni, .alpn, .goCipher,
    ]
}

extension SessionFacts {
    init(go event: borrowing CallReturn, role: Role) {
        version = event.scalar(.goVersion)
        if let suite = event.scalar(.goCipher), suite != 0 { cipher = UInt16(truncatingIfNeeded: suite) }
        if let group = event.scalar(.goGroup), group != 0 { self.group = group }
        switch event.scalar(.goResumed) {
        case 0?: resumed = false
        case 1?: resumed = true
        default: resumed = nil
        }
        if version == 0x0304, let retry = event.scalar(.goHelloRetry), retry <= 1 { helloRetryRequest = retry != 0 }
        alpn = event.alpn
        alpnWasRead = event.scalar(.alpnLength) != nil
        sni = event.sni
        isQUIC = event.scalar(.goQUIC).map { $0 != 0 } ?? false
        // A client does not keep that it was asked.
        guard role == .server, let mode = event.scalar(.goClientAuth), mode <= 4, let resumed else { return }
        // NoClientCert is 0; a resumed handshake asks nothing.
        clientCertificateRequested = mode != 0 && !resumed
        if clientCertificateRequested == true {
            clientCertificateGiven = event.scalar(.goPeerCertificates).map { $0 != 0 }
        }
    }
}

extension StateValues {
    /// Whether these can be those of a Conn.
    var isGoConnection: Bool {
        guard let state = self[.state], state <= 1, let role = self[.role], role <= 1 else { return false }
        // A version is known once the peer's hello has been read.
        let version = self[.goVersion] ?? 0
        return version == 0 || (0x0300...0x0304).contains(version)
    }
}

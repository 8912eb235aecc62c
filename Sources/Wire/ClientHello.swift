/// A ClientHello (RFC 8446 section 4.1.2), as far as it was seen.
///
/// What stands behind a cut is `nil` or empty, and `isWhole` false.
package struct ClientHello: Sendable, Equatable {
    /// Fixed for the handshake: a second ClientHello, after a HelloRetryRequest, has the same.
    package var random: [UInt8] = []
    /// The session id, which TLS 1.3's ServerHello sends back.
    package var session: [UInt8] = []
    package var versions: [UInt16] = []
    /// As the client sent it: not made safe.
    package var serverName: [UInt8]?
    /// The protocols offered, as the client sent them; `nil` where none were.
    package var protocols: [[UInt8]]?
    package var offersEarlyData = false
    /// It has QUIC's transport parameters (RFC 9001 section 8.2).
    package var isQUIC = false
    /// Whether all of it was seen: only then does what is missing mean that it was not offered.
    package var isWhole = false

    package init() {}

    /// The last eight bytes of the random, in the machine's order: what a library's session has of it.
    package var randomEnd: UInt64? {
        guard random.count == 32 else { return nil }
        let end = random[24...].reversed().reduce(0) { $0 << 8 | UInt64($1) }
        return end == 0 ? nil : end
    }

    /// - Parameter body: what follows the message's four-byte header.
    /// - Parameter length: the message's own length.
    /// - Returns: `nil` for what is no ClientHello.
    package init?(_ body: ArraySlice<UInt8>, length: Int) {
        var reader = ByteReader(body)
        guard let version = reader.number16(), version >> 8 == 3, let random = reader.take(32) else { return nil }
        self.random = Array(random)
        guard let session = reader.vector(1) else { return }
        guard session.count <= 32 else { return nil }
        self.session = Array(session)
        guard reader.vector(2) != nil, reader.vector(1) != nil else { return }
        // Extensions came with TLS 1.2: older clients end here.
        guard let extensions = reader.vectorPrefix(2) else {
            isWhole = body.count >= length && reader.isEmpty
            return
        }
        readExtensions(extensions.bytes)
        isWhole = extensions.isWhole && body.count >= length
    }

    private mutating func readExtensions(_ bytes: ArraySlice<UInt8>) {
        var reader = ByteReader(bytes)
        while let kind = reader.number16(), let body = reader.vector(2) {
            switch kind {
            case 0: serverName = Self.hostName(body)
            case 16: protocols = Self.names(body)
            case 42: offersEarlyData = true
            case 57: isQUIC = true
            case 43: versions = numbers16(body.dropFirst(1))
            default: break
            }
        }
    }

    /// The first host name of a server_name extension (RFC 6066 section 3).
    private static func hostName(_ body: ArraySlice<UInt8>) -> [UInt8]? {
        var reader = ByteReader(body)
        guard let list = reader.vector(2) else { return nil }
        var names = ByteReader(list)
        while let kind = names.byte(), let name = names.vector(2) {
            if kind == 0 { return name.isEmpty || name.count > 255 ? nil : Array(name) }
        }
        return nil
    }

    /// RFC 7301 section 3.1.
    private static func names(_ body: ArraySlice<UInt8>) -> [[UInt8]] {
        var reader = ByteReader(body)
        guard let list = reader.vector(2) else { return [] }
        var names = ByteReader(list)
        var found: [[UInt8]] = []
        while found.count < 16, let name = names.vector(1) {
            if !name.isEmpty { found.append(Array(name)) }
        }
        return found
    }
}

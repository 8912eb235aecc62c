/// What sessions are told apart or grouped by: a field, or what is made of one so that it groups.
package struct HandshakeKey: Sendable {
    package let name: String
    /// Reads the value of a session; `nil` if the fact was not observed.
    package let read: @Sendable (Handshake) -> String?

    private init(_ name: String, _ read: @escaping @Sendable (Handshake) -> String?) {
        self.name = name
        self.read = read
    }

    /// The peer's address: a server's with its port; a client's port is ephemeral, and left out.
    static let remote = HandshakeKey("remote") { handshake in
        guard handshake.role == .server else { return handshake.remote }
        return handshake.remote.flatMap(AddressText.init).map { String($0.host) }
    }
    /// The network of the peer's address: /24 of IPv4, /48 of IPv6.
    static let remoteNet = HandshakeKey("remote_net") { $0.remote.flatMap(AddressText.init)?.network }
    /// The server's own port; a client's is ephemeral.
    static let localPort = HandshakeKey("local_port") { handshake in
        handshake.role == .client ? nil : handshake.local.flatMap(AddressText.init).map { String($0.port) }
    }

    /// Those that are no plain fields, and go before a field of the same name.
    private static let derived = [remote, remoteNet, localPort]

    package static let names: [String] = {
        let fields = HandshakeField.all.map(\.name)
        return fields + derived.map(\.name).filter { !fields.contains($0) }
    }()

    package static func named(_ name: String) -> HandshakeKey? {
        if let key = derived.first(where: { $0.name == name }) { return key }
        return HandshakeField.named(name).map { field in HandshakeKey(name) { field.value($0)?.text } }
    }

    /// What is said of a name that none has.
    package static func unknown(_ name: String) -> String {
        guard !name.isEmpty else { return "expected a field; docs/sessions.md lists them" }
        let clean = PeerText.clean(String(name.prefix(40)))
        let meant = HandshakeField.named(name + "_ns")?.name ?? NearestName.of(name, among: names)
        return "unknown field '\(clean)'"
            + (meant.map { "; did you mean '\($0)'?" } ?? "; docs/sessions.md lists them")
    }
}

/// The parts of an address field: `127.0.0.1:443`, `[::1]:443`.
struct AddressText {
    /// Without brackets.
    let host: Substring
    let port: Substring

    /// `nil` for what has no port.
    init?(_ text: String) {
        guard let colon = text.utf8.lastIndex(of: UInt8(ascii: ":")) else { return nil }
        port = text[text.index(after: colon)...]
        let host = text[..<colon]
        self.host = host.hasPrefix("[") && host.hasSuffix("]") ? host.dropFirst().dropLast() : host
    }

    /// The network that the host is in, as far as one site has it: /24 of IPv4, /48 of IPv6. `203.0.113.0/24`,
    /// `2001:db8:7::/48`. `nil` for what is no address.
    var network: String? {
        if host.utf8.contains(UInt8(ascii: ".")) {
            guard let last = host.lastIndex(of: "."), host.utf8.count(where: { $0 == UInt8(ascii: ".") }) == 3 else {
                return nil
            }
            return host[...last] + "0/24"
        }
        let parts = host.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count > 2 else { return nil }
        // Up to `::`, which stands for as many zeros as are missing.
        let front = parts.prefix { !$0.isEmpty }
        let back = parts.dropFirst(front.count).drop { $0.isEmpty }
        let zeros = [Substring](repeating: "0", count: max(0, 8 - front.count - back.count))
        var groups = (front + zeros + back).prefix(3)
        while groups.last == "0" { groups.removeLast() }
        return groups.joined(separator: ":") + "::/48"
    }
}

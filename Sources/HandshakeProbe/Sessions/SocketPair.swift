import CEvents

/// A connection as one of its ends has it: the addresses and ports, IPv4 as IPv6 maps it, and whether it is UDP's.
struct SocketPair: Hashable {
    private let local: (UInt64, UInt64)
    private let remote: (UInt64, UInt64)
    private let ports: UInt64

    /// `nil` where the addresses are not known.
    init?(_ event: tlswatch_wire) {
        self.init(event.family, event.local, event.local_port, event.remote, event.remote_port, isUDP: false)
    }

    init?(_ event: tlswatch_datagram) {
        self.init(event.family, event.local, event.local_port, event.remote, event.remote_port, isUDP: true)
    }

    init?(_ event: tlswatch_socket) {
        self.init(
            event.family, event.local, event.local_port, event.remote, event.remote_port,
            isUDP: event.protocol == Self.udp)
    }

    private static let udp: UInt16 = 17

    private typealias Address = (
        UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8
    )

    private init?(
        _ family: UInt16, _ local: Address, _ localPort: UInt16, _ remote: Address, _ remotePort: UInt16, isUDP: Bool
    ) {
        guard family == 2 || family == 10, localPort != 0, remotePort != 0 else { return nil }
        self.local = Self.numbers(family, local)
        self.remote = Self.numbers(family, remote)
        ports = UInt64(localPort) << 16 | UInt64(remotePort) | (isUDP ? 1 << 32 : 0)
    }

    private static func numbers(_ family: UInt16, _ address: Address) -> (UInt64, UInt64) {
        let (a, b) = unsafe withUnsafeBytes(of: address) { bytes in
            unsafe (
                UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self)),
                UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
            )
        }
        return family == 2 ? (0, 0xffff_0000_0000 | a >> 32) : (a, b)
    }

    static func == (left: SocketPair, right: SocketPair) -> Bool {
        left.ports == right.ports && left.remote == right.remote && left.local == right.local
    }

    func hash(into hasher: inout Hasher) {
        // A peer chooses most of these: only the hasher, which has a seed, may mix them.
        hasher.combine(remote.0)
        hasher.combine(remote.1)
        hasher.combine(local.1)
        hasher.combine(ports)
    }
}

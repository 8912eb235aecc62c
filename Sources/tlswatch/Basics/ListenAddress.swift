import ArgumentParser
import Glibc
import HandshakeProbe
import Kernel

/// `127.0.0.1:9899`, `[::1]:9899`, and `:9899` for every address of the host.
struct ListenAddress: ExpressibleByArgument, Equatable {
    var host: String
    var port: Int

    static let standard = ListenAddress(host: "127.0.0.1", port: 9899)
    /// Of one daemon.
    static let most = 8

    /// Whether one daemon can listen on these: not too many, and none twice unless the kernel chooses its port.
    static func canBeTogether(_ addresses: [ListenAddress]) -> Bool {
        let fixed = addresses.filter { $0.port != 0 }.map(\.text)
        return (1...most).contains(addresses.count) && Set(fixed).count == fixed.count
    }

    /// - Parameter host: an IPv6 address without brackets.
    init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    init?(argument: String) {
        guard let colon = argument.lastIndex(of: ":"), let port = Int(argument[argument.index(after: colon)...]),
            (0...65535).contains(port)
        else { return nil }
        var host = String(argument[..<colon])
        if host.isEmpty { host = Self.everywhere }
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        guard Self.canBeHost(host) else { return nil }
        self.init(host: host, port: port)
    }

    /// IPv6's, which takes IPv4 too, unless the kernel has no IPv6.
    private static let everywhere = unsafe access("/proc/net/if_inet6", F_OK) == 0 ? "::" : "0.0.0.0"

    /// An address in full, or what may be a name: whether there is such a host is asked when it is listened on.
    private static func canBeHost(_ host: String) -> Bool {
        if host.utf8.contains(UInt8(ascii: ":")) {
            // Without a zone, `%eth0`.
            var address = in6_addr()
            return unsafe inet_pton(AF_INET6, String(host.prefix { $0 != "%" }), &address) == 1
        }
        if host.allSatisfy({ $0.isNumber || $0 == "." }) {
            var address = in_addr()
            return unsafe inet_pton(AF_INET, host, &address) == 1
        }
        return host.utf8.allSatisfy { byte in
            UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte | 0x20 || UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte
                || "-._".utf8.contains(byte)
        }
    }

    /// `[::1]:9899`.
    var text: String { host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]:\(port)" : "\(host):\(port)" }

    var defaultValueDescription: String { text }

    /// Whether only this host can connect to it. False for a name, which may lead anywhere.
    var isLoopback: Bool {
        var four = in_addr()
        if unsafe inet_pton(AF_INET, host, &four) == 1 { return UInt32(bigEndian: four.s_addr) >> 24 == 127 }
        var six = in6_addr()
        guard unsafe inet_pton(AF_INET6, host, &six) == 1 else { return false }
        return unsafe withUnsafeBytes(of: &six) { bytes in
            let head = unsafe bytes.prefix(10).allSatisfy { $0 == 0 }
            let isMapped = unsafe bytes[10] == 0xff && bytes[11] == 0xff && bytes[12] == 127
            let isOne = unsafe bytes[10..<15].allSatisfy { $0 == 0 } && bytes[15] == 1
            return head && (isMapped || isOne)
        }
    }

    /// Listens on all and lets go, so that a taken port, also by another one of them, is told before a probe is attached.
    static func check(_ addresses: [ListenAddress]) throws(CommandFailure) {
        var sockets: [Int32] = []
        defer { for socket in sockets { close(socket) } }
        for address in addresses { sockets.append(try address.bound(listening: addresses.count > 1)) }
    }

    /// - Parameter listening: with SO_REUSEADDR only one that listens keeps others from its port.
    /// - Returns: a socket.
    private func bound(listening: Bool) throws(CommandFailure) -> Int32 {
        var hints = unsafe addrinfo()
        unsafe hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard unsafe getaddrinfo(host, String(port), &hints, &list) == 0, let info = unsafe list else {
            throw CommandFailure(.usage, "cannot listen on \(text): no such address")
        }
        defer { unsafe freeaddrinfo(list) }
        let socket = unsafe Glibc.socket(info.pointee.ai_family, info.pointee.ai_socktype, 0)
        guard socket >= 0 else { throw CommandFailure(.system, "cannot open a socket: \(errnoText(errno))") }
        var yes: Int32 = 1
        unsafe _ = setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, 4)
        guard unsafe bind(socket, info.pointee.ai_addr, info.pointee.ai_addrlen) == 0,
            !listening || Glibc.listen(socket, 1) == 0
        else {
            let failure = errnoText(errno)
            close(socket)
            throw CommandFailure(.system, "cannot listen on \(text): \(failure). Choose another with --listen")
        }
        return socket
    }
}

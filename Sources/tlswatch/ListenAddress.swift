import ArgumentParser
import Glibc
import HandshakeProbe

/// `127.0.0.1:9899`, `[::1]:9899`.
struct ListenAddress: ExpressibleByArgument {
    var host: String
    var port: Int

    static let standard = ListenAddress(host: "127.0.0.1", port: 9899)

    private init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    init?(argument: String) {
        guard let colon = argument.lastIndex(of: ":"), let port = Int(argument[argument.index(after: colon)...]),
            (0...65535).contains(port)
        else { return nil }
        var host = String(argument[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        guard !host.isEmpty else { return nil }
        self.init(host: host, port: port)
    }

    var defaultValueDescription: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    /// Binds and lets go, so that a taken port is told before a probe is attached.
    func check() throws(CommandFailure) {
        var hints = unsafe addrinfo()
        unsafe hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard unsafe getaddrinfo(host, String(port), &hints, &list) == 0, let info = unsafe list else {
            throw CommandFailure(.usage, "cannot listen on \(defaultValueDescription): no such address")
        }
        defer { unsafe freeaddrinfo(list) }
        let socket = unsafe Glibc.socket(info.pointee.ai_family, info.pointee.ai_socktype, 0)
        guard socket >= 0 else { throw CommandFailure(.system, "cannot open a socket: \(errnoText(errno))") }
        defer { close(socket) }
        var yes: Int32 = 1
        unsafe _ = setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, 4)
        guard unsafe bind(socket, info.pointee.ai_addr, info.pointee.ai_addrlen) == 0 else {
            throw CommandFailure(
                .system,
                "cannot listen on \(defaultValueDescription): \(errnoText(errno)). Choose another with --listen")
        }
    }
}

import Foundation
import TestSupport

/// A loopback port for a server that cannot choose one and say which, held for as long as this object lives.
///
/// The socket that holds it is bound and does not listen. With SO_REUSEADDR on both, a server may bind the same port,
/// while the kernel gives it to nobody who asks for any port or connects without one, in whatever process.
final class FreePort: Sendable {
    let number: Int
    private let descriptor: Int32

    init() throws {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw HarnessError("socket: errno \(errno)") }
        self.descriptor = descriptor
        var yes: Int32 = 1
        unsafe _ = setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        number = bindToLoopback(descriptor) ?? 0
        guard number != 0 else { throw HarnessError("cannot bind a loopback port: errno \(errno)") }
    }

    deinit { close(descriptor) }

    // Readiness is read from the kernel's table, since a connection made to find out would itself be a session.
    static func isListening(_ port: Int) -> Bool {
        ["/proc/net/tcp", "/proc/net/tcp6"].contains { table in
            guard let text = try? procText(table) else { return false }
            return text.split(separator: "\n").dropFirst().contains { line in
                let fields = line.split(separator: " ", omittingEmptySubsequences: true)
                // 0A is TCP_LISTEN.
                guard fields.count > 3, fields[3] == "0A", let colon = fields[1].lastIndex(of: ":") else {
                    return false
                }
                return Int(fields[1][fields[1].index(after: colon)...], radix: 16) == port
            }
        }
    }

    /// The port that a tlswatch listens on, which was started with `--listen` and port 0, as its log has it.
    static func ofDaemon(_ daemon: ChildProcess) throws -> Int {
        let line = try daemon.waitForLine(in: daemon.errors) { $0.contains("listening") && $0.contains("address") }
        guard let port = line.matches(of: /:(\d+)(?=\s|"|$)/).last.flatMap({ Int($0.output.1) }) else {
            throw HarnessError("no port in: \(line)")
        }
        return port
    }

    /// Waits until `server` listens on `port`.
    static func awaitListening(_ port: Int, server: ChildProcess) throws {
        let ready = eventually { isListening(port) || server.status != nil }
        guard ready, server.status == nil else {
            throw HarnessError("`\(server.name)` does not listen on \(port): \(server.situation)")
        }
    }
}

extension ChildProcess {
    /// The port that a script of the tests chose and printed as a line of its own, already listening.
    func announcedPort() throws -> Int {
        let line = try waitForLine(in: output) { Int($0) != nil }
        guard let port = Int(line) else { throw HarnessError("no port: \(line)") }
        return port
    }
}

/// A TCP server on a free loopback port that never says a word.
final class SilentListener: Sendable {
    let port: Int
    private let descriptor: Int32

    init() throws {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw HarnessError("socket: errno \(errno)") }
        self.descriptor = descriptor
        port = bindToLoopback(descriptor) ?? 0
        guard port != 0, listen(descriptor, 16) == 0 else {
            throw HarnessError("cannot listen on loopback: errno \(errno)")
        }
    }

    deinit { close(descriptor) }

    /// Takes one connection and waits for its first bytes; they are left unanswered. The result is the
    /// descriptor, which the caller closes.
    func acceptAndAwaitBytes() throws -> Int32 {
        try Self.awaitReadable(descriptor)
        let connection = accept(descriptor, nil, nil)
        guard connection >= 0 else { throw HarnessError("accept: errno \(errno)") }
        _ = fcntl(connection, F_SETFD, FD_CLOEXEC)
        do {
            try Self.awaitReadable(connection)
        } catch {
            close(connection)
            throw error
        }
        return connection
    }

    private static func awaitReadable(_ descriptor: Int32) throws {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        let readable = eventually { unsafe poll(&entry, 1, 0) > 0 }
        guard readable else { throw HarnessError("nothing came on a loopback socket") }
    }
}

import Foundation
import Glibc
import Synchronization
import TestSupport

/// A web server on a free loopback port for as long as it lives, one request a connection.
final class PageServer: Sendable {
    struct Response: Sendable {
        var status = "200 OK"
        var headers: [(name: String, value: String)]
        var body: [UInt8]
    }

    let port: Int
    /// Requests of the page, so far.
    var requests: Int { count.withLock { $0 } }

    private let descriptor: Int32
    private let count: Mutex<Int>

    /// - Parameter answer: to the first request, the second, …; `nil` closes the connection without a word.
    init(answer: @escaping @Sendable (Int) -> Response?) throws {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard let port = bindToLoopback(descriptor), listen(descriptor, 16) == 0 else {
            throw HarnessError("cannot listen on loopback: errno \(errno)")
        }
        self.descriptor = descriptor
        self.port = port
        count = Mutex(0)
        let connections = Connections(descriptor: descriptor, answer: answer) { [weak self] in
            self?.count.withLock {
                $0 += 1
                return $0
            }
        }
        Thread.detachNewThread { connections.serve() }
    }

    /// Wakes the thread, which then closes the socket.
    deinit { shutdown(descriptor, Int32(SHUT_RDWR)) }
}

/// What the server's thread works with.
private struct Connections: Sendable {
    let descriptor: Int32
    let answer: @Sendable (Int) -> PageServer.Response?
    let next: @Sendable () -> Int?

    func serve() {
        while true {
            let connection = accept(descriptor, nil, nil)
            if connection < 0, errno == EINTR { continue }
            guard connection >= 0 else { break }
            serve(connection)
            close(connection)
        }
        close(descriptor)
    }

    private func serve(_ connection: Int32) {
        var request: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4_096)
        while !request.contains(Array("\r\n\r\n".utf8)) {
            let received = unsafe recv(connection, &buffer, buffer.count, 0)
            guard received > 0, request.count < 65_536 else { return }
            request += buffer[..<received]
        }
        var response = PageServer.Response(status: "404 Not Found", headers: [], body: [])
        if request.starts(with: Array("GET / ".utf8)) {
            guard let number = next(), let answer = answer(number) else { return }
            response = answer
        }
        var bytes = Array("HTTP/1.1 \(response.status)\r\n".utf8)
        for header in response.headers { bytes += "\(header.name): \(header.value)\r\n".utf8 }
        bytes += "Content-Length: \(response.body.count)\r\nConnection: close\r\n\r\n".utf8
        bytes += response.body
        var sent = 0
        while sent < bytes.count {
            let written = unsafe bytes[sent...].withUnsafeBytes { bytes in
                unsafe send(connection, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
            }
            guard written > 0 else { return }
            sent += written
        }
    }
}

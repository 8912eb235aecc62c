import Foundation
import Glibc
import TestSupport

/// One HTTP answer, as it came.
struct Answer: Sendable {
    var status: Int
    /// By lower-case name.
    var headers: [String: String]
    var body: String
}

/// A TCP connection to loopback that sends what it is told.
final class RawClient: Sendable {
    private let descriptor: Int32

    init(port: Int, receiveBuffer: Int32? = nil) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw HarnessError("socket: errno \(errno)") }
        // Only a failure waits as long as that.
        var patience = timeval(tv_sec: 30, tv_usec: 0)
        unsafe _ = setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        if var receiveBuffer {
            unsafe _ = setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &receiveBuffer, 4)
        }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        address.sin_port = UInt16(port).bigEndian
        let connected = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                unsafe Glibc.connect(descriptor, generic, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard connected == 0 else { throw HarnessError("connect: errno \(errno)") }
    }

    deinit { close(descriptor) }

    /// - Returns: false where the peer has closed.
    @discardableResult
    func send(_ text: String) async throws -> Bool {
        let descriptor = descriptor
        return try await blocking {
            var rest = Array(text.utf8)[...]
            while !rest.isEmpty {
                let count = unsafe rest.withUnsafeBytes { bytes in
                    unsafe Glibc.send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
                }
                guard count > 0 else { return false }
                rest = rest.dropFirst(count)
            }
            return true
        }
    }

    /// Sends no more: the peer reads the end.
    func endOutput() { _ = shutdown(descriptor, Int32(SHUT_WR)) }

    /// Closes the connection under the peer's answers.
    func disconnect() { _ = shutdown(descriptor, Int32(SHUT_RDWR)) }

    /// Whether something, or the end, can be read now.
    var hasInput: Bool {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return unsafe poll(&entry, 1, 0) > 0
    }

    /// Some bytes; none at the end.
    func read(atMost count: Int = 65536) async throws -> [UInt8] {
        let descriptor = descriptor
        return try await blocking {
            var bytes = [UInt8](repeating: 0, count: count)
            let got = unsafe recv(descriptor, &bytes, count, 0)
            if got < 0, errno == ECONNRESET { return [] }
            guard got >= 0 else { throw HarnessError("nothing came: errno \(errno)") }
            return Array(bytes[..<got])
        }
    }

    /// Everything until the peer closes.
    func readToEnd() async throws -> String {
        var all: [UInt8] = []
        while true {
            let bytes = try await read()
            if bytes.isEmpty { return String(decoding: all, as: UTF8.self) }
            all += bytes
        }
    }

    /// The next answer; of a HEAD request, without a body.
    func answer(hasBody: Bool = true) async throws -> Answer {
        var bytes: [UInt8] = []
        while !bytes.suffix(4).elementsEqual([13, 10, 13, 10]) {
            let next = try await read(atMost: 1)
            guard !next.isEmpty else {
                throw HarnessError("the connection ended in a head: \(String(decoding: bytes, as: UTF8.self))")
            }
            bytes += next
        }
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\r\n")
        guard let status = lines.first?.split(separator: " ").dropFirst().first.flatMap({ Int($0) }) else {
            throw HarnessError("no status: \(lines)")
        }
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { throw HarnessError("no header: \(line)") }
            headers[line[..<colon].lowercased()] = line[line.index(after: colon)...].trimmingCharacters(
                in: .whitespaces)
        }
        var body: [UInt8] = []
        let length = headers["content-length"].flatMap { Int($0) } ?? 0
        while hasBody, body.count < length {
            let next = try await read(atMost: length - body.count)
            guard !next.isEmpty else { throw HarnessError("the connection ended in a body") }
            body += next
        }
        return Answer(status: status, headers: headers, body: String(decoding: body, as: UTF8.self))
    }
}

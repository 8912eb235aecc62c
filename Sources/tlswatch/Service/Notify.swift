import Glibc
import HandshakeProbe
import Kernel

/// The service manager's socket: one datagram a message (sd_notify(3)). Any thread.
struct ServiceNotifier: Sendable {
    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    /// How long a message may wait for a manager that does not read; seconds.
    private static let patience = 2

    /// As `NOTIFY_SOCKET` has it: a path, or `@` and the name of an abstract socket.
    private let name: String

    init(socket name: String) {
        self.name = name
    }

    /// The manager that started this process; `nil` without one.
    static func current() -> ServiceNotifier? { environment("NOTIFY_SOCKET").map(ServiceNotifier.init(socket:)) }

    /// Sends assignments such as `READY=1`, one a line. Waits two seconds at most.
    func send(_ message: String) throws(Failure) {
        var bytes = Array(name.utf8)
        guard let first = bytes.first, first == UInt8(ascii: "/") || first == UInt8(ascii: "@") else {
            throw failure("must be an absolute path, or @ and a name")
        }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        // A path ends with a zero; an abstract name begins with one and is as long as the address says.
        if first == UInt8(ascii: "@") { bytes[0] = 0 } else { bytes.append(0) }
        guard bytes.count <= MemoryLayout.size(ofValue: address.sun_path) else {
            throw failure("it is longer than \(MemoryLayout.size(ofValue: address.sun_path)) bytes")
        }
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count)

        let socket = Glibc.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { throw failure(errnoText(errno)) }
        defer { close(socket) }
        var limit = timeval(tv_sec: Self.patience, tv_usec: 0)
        unsafe _ = setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        let text = Array(message.utf8)
        let sent = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                unsafe sendto(socket, text, text.count, Int32(MSG_NOSIGNAL), generic, length)
            }
        }
        guard sent == text.count else { throw failure(errnoText(errno)) }
    }

    private func failure(_ why: String) -> Failure {
        Failure(description: "cannot notify the service manager at NOTIFY_SOCKET=\(name): \(why)")
    }
}

/// Whether the manager's watchdog may be fed: only while the consumer makes progress, for a process that is alive but
/// drains nothing measures nothing.
struct Watchdog {
    /// Nanoseconds from one meal to the next: half of what the manager allows.
    let interval: UInt64
    private var fedAt: UInt64 = 0

    init(interval: UInt64) {
        self.interval = interval
    }

    /// What `WATCHDOG_USEC` and `WATCHDOG_PID` ask of this process; `nil` where they ask nothing.
    init?(microseconds: String?, process: String?, own: Int32) {
        guard let allowed = microseconds.flatMap({ UInt64($0) }), allowed > 1,
            allowed <= UInt64.max / 1000, process == nil || process == String(own)
        else { return nil }
        interval = allowed * 1000 / 2
    }

    /// - Parameter drained: `EngineSnapshot.drained`.
    /// - Returns: true where it has advanced since the last meal.
    mutating func mayFeed(drained: UInt64) -> Bool {
        guard drained > fedAt else { return false }
        fedAt = drained
        return true
    }
}

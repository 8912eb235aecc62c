import Foundation
import Testing

@testable import tlswatch

@Suite("Messages to the service manager") struct NotifyTests {
    /// A datagram socket, as a service manager has one.
    private final class Manager {
        let descriptor: Int32

        /// - Parameter name: an absolute path, or `@` and an abstract name.
        init(_ name: String) throws {
            descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            var bytes = Array(name.utf8)
            if name.hasPrefix("@") { bytes[0] = 0 } else { bytes.append(0) }
            unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
            let length = socklen_t(2 + bytes.count)
            let bound = unsafe withUnsafePointer(to: &address) { pointer in
                unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    unsafe bind(descriptor, $0, length)
                }
            }
            try #require(bound == 0, "cannot bind \(name): errno \(errno)")
        }

        deinit { close(descriptor) }

        /// The next message that is there already.
        func next() -> String? {
            var bytes = [UInt8](repeating: 0, count: 4096)
            let count = unsafe recv(descriptor, &bytes, bytes.count, Int32(MSG_DONTWAIT))
            return count < 0 ? nil : String(decoding: bytes.prefix(count), as: UTF8.self)
        }
    }

    private func scratch(_ length: Int = 0) -> String {
        let path = "/tmp/notify-\(UUID().uuidString)"
        return path + String(repeating: "x", count: max(0, length - path.utf8.count))
    }

    @Test("A message is one datagram, to a path")
    func aMessageToAPathIsOneDatagram() throws {
        let path = scratch()
        let manager = try Manager(path)
        defer { unsafe _ = unlink(path) }
        try ServiceNotifier(socket: path).send("READY=1\nSTATUS=fine")
        #expect(manager.next() == "READY=1\nSTATUS=fine")
        #expect(manager.next() == nil)
    }

    @Test("A message is one datagram, to an abstract socket, which has no file")
    func aMessageToAnAbstractSocketIsOneDatagram() throws {
        let name = "@tlswatch/" + UUID().uuidString
        let manager = try Manager(name)
        try ServiceNotifier(socket: name).send("WATCHDOG=1")
        #expect(manager.next() == "WATCHDOG=1")
    }

    @Test("The longest path fits; a longer one is refused, not cut")
    func aLongPathIsRefusedNotCut() throws {
        let longest = scratch(107)
        let manager = try Manager(longest)
        defer { unsafe _ = unlink(longest) }
        try ServiceNotifier(socket: longest).send("READY=1")
        #expect(manager.next() == "READY=1")
        #expect(throws: ServiceNotifier.Failure.self) { try ServiceNotifier(socket: longest + "x").send("READY=1") }
        #expect(manager.next() == nil)
    }

    @Test("Other kinds of addresses, and a manager that is gone, are told by name")
    func unreachableManagersAreNamed() {
        for name in ["vsock:2:1234", "relative/path", "/nonexistent/notify"] {
            let failure = #expect(throws: ServiceNotifier.Failure.self) {
                try ServiceNotifier(socket: name).send("READY=1")
            }
            #expect(failure?.description.contains("NOTIFY_SOCKET=\(name)") == true)
        }
    }

    @Test("A manager that does not read does not hold the daemon for ever", .timeLimit(.minutes(1)))
    func deafManager() throws {
        let path = scratch()
        let manager = try Manager(path)
        defer { unsafe _ = unlink(path) }
        // The kernel's queue holds some (net.unix.max_dgram_qlen), then the next one fails.
        #expect(throws: ServiceNotifier.Failure.self) {
            for _ in 0..<100_000 { try ServiceNotifier(socket: path).send("WATCHDOG=1") }
        }
        #expect(manager.next() == "WATCHDOG=1")
    }

    @Test("The watchdog is fed at half its time, by the process that it is for")
    func theWatchdogIsFedAtHalfItsTime() {
        #expect(Watchdog(microseconds: "30000000", process: nil, own: 5)?.interval == 15_000_000_000)
        #expect(Watchdog(microseconds: "30000000", process: "5", own: 5)?.interval == 15_000_000_000)
        #expect(Watchdog(microseconds: "30000000", process: "6", own: 5) == nil)
        for text in [nil, "", "0", "1", "-5", "soon", "18446744073709551615"] {
            #expect(Watchdog(microseconds: text, process: nil, own: 5) == nil, "\(text ?? "unset")")
        }
    }

    @Test("It is fed only where the consumer has drained since the last time")
    func onlyProgressFeedsTheWatchdog() {
        var watchdog = Watchdog(interval: 1)
        let fed = [0, 100, 100, 100, 101].map { watchdog.mayFeed(drained: $0) }
        #expect(fed == [false, true, false, false, true])
    }
}
